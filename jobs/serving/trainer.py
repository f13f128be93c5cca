"""Trainings in a child process, which returns its memory to the system and cannot crash the service."""

import logging
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO
from uuid import uuid4

_log = logging.getLogger("plumbline")
_GRACE_SECONDS = 8.0  # for a training to release its request and to end


class Trainer:
    """Processes retrain requests in one child process at a time, and copies its output to the log.

    Args:
        config_path: the configuration file.

    Attributes:
        claimant: the beginning of the tokens of the requests that its processes claim.
        has_started: whether it has started a process.
    """

    def __init__(self, config_path: Path) -> None:
        self.claimant = uuid4().hex[:12]
        # -P and the package plumbline: do not import from a folder named jobs in the current folder or on PYTHONPATH.
        program = [sys.executable, "-P", "-m", "plumbline"]
        options = ["--config", str(config_path), "--claimant", self.claimant]
        self._command = [*program, "retrain", "--work", *options]
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._is_stopped = self.has_started = False

    @property
    def is_busy(self) -> bool:
        """Whether a training is running."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start a process that processes the pending requests, unless the trainer is stopped."""
        with self._lock:
            if self._is_stopped:
                return
            self.has_started = True
            process = self._process = subprocess.Popen(  # noqa: S603 - our own command
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            )
        self._reader = threading.Thread(target=_log_lines, args=(process.stdout, process.pid), daemon=True)
        self._reader.start()
        _log.info("training started", extra={"facts": {"pid": process.pid}})

    def take_exit_code(self) -> int | None:
        """Return the exit code of a process that has ended, once, or None."""
        if self._process is None or (code := self._process.poll()) is None:
            return None
        self._process = None
        return code

    def stop(self) -> None:
        """Terminate the running training and start no more; another process can claim its request."""
        with self._lock:
            self._is_stopped = True
        if self._process is None or not self.is_busy:
            return
        self._process.terminate()
        try:
            self._process.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def kill(self) -> None:
        """Kill the running training."""
        if self._process is not None and self.is_busy:
            self._process.kill()


def _log_lines(output: IO[str], pid: int) -> None:
    with output:
        for line in output:
            if text := line.strip():
                _log.info("%s", text, extra={"facts": {"pid": pid}})
