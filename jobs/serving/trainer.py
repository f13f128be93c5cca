"""Trainings in a process of their own: their memory returns to the system, and a crash there stops no scoring."""

import logging
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO

_log = logging.getLogger("plumbline")
_GRACE_SECONDS = 8.0  # in which a training gives its request back; else that waits for its lease to run out


class Trainer:
    """Works off the retrain requests, one process at a time; what it says goes into the log.

    Args:
        config_path: the configuration file.
    """

    def __init__(self, config_path: Path) -> None:
        # -P: a folder named jobs where the service was started is not ours.
        self._command = [sys.executable, "-P", "-m", "jobs.cli", "retrain", "--work", "--config", str(config_path)]
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._is_stopped = False

    @property
    def is_busy(self) -> bool:
        """Whether a training goes on."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start a process that works off what waits, unless it is time to stop."""
        with self._lock:
            if self._is_stopped:
                return
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
        _log.info("a training has started", extra={"facts": {"pid": process.pid}})

    def take_result(self) -> int | None:
        """The exit code of a process that has ended, once; None where there is none."""
        if self._process is None or (code := self._process.poll()) is None:
            return None
        self._process = None
        return code

    def stop(self) -> None:
        """End a training, and start none any more; its request is left to whoever claims it next."""
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
        """End a training at once."""
        if self._process is not None and self.is_busy:
            self._process.kill()


def _log_lines(output: IO[str], pid: int) -> None:
    with output:
        for line in output:
            if text := line.strip():
                _log.info("%s", text, extra={"facts": {"pid": pid}})
