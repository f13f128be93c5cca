"""Processes of the service, kept alive as often as they are killed."""

import itertools
import json
import os
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass

from tests.chaos.waiting import until
from tests.workspace import ROOT

_RIPE_AFTER_SECONDS = itertools.cycle([6.0, 4.0, 9.0, 7.0, 12.0])
_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}


@dataclass(frozen=True)
class Role:
    """What a process does, under a name that the database knows it by."""

    name: str
    arguments: tuple[str, ...]
    is_serving: bool = True


class Process:
    """A running process and the end of its log.

    Args:
        role: what it does.
        config: its configuration file.
        was_harmed: whether its database fails now.
    """

    def __init__(self, role, config, *, was_harmed):
        self.role, self.name = role, role.name
        environment = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", *role.arguments, "--config", str(config)],
            env=environment | _ENVIRONMENT | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid
        self.log = []
        self.was_harmed = was_harmed
        self._ripe_at = time.monotonic() + next(_RIPE_AFTER_SECONDS)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def is_ready(self):
        """Whether it listens to signals; a command always does, in its way."""
        return not self.role.is_serving or self.said("serving") > 0

    @property
    def is_at_work(self):
        """Whether it has begun to score; a command, which says nothing, is given a time that differs each time."""
        if self.role.is_serving:
            return self.code is None and self.said("loaded the champion") > 0
        return self.code is None and time.monotonic() > self._ripe_at

    @property
    def code(self):
        """The exit code; None while it runs."""
        return self._process.poll()

    def said(self, *beginnings):
        """How many lines of its log begin so."""
        return sum(line["message"].startswith(beginnings) for line in list(self.log))

    def kill(self):
        """SIGKILL."""
        self._process.kill()
        self._end()

    def stop(self):
        """SIGTERM."""
        self._process.terminate()

    def ended(self):
        """Wait for the end; the exit code."""
        until(lambda: self.code is not None, f"{self.name} ends")
        self._end()
        return self.code

    def _end(self):
        self._process.wait()
        self._reader.join()
        self._process.stderr.close()

    def _read(self):
        for line in self._process.stderr:
            self.log.append(json.loads(line) if line.startswith("{") else {"message": line.strip()})


class Pool:
    """One process for each role, started anew when it has ended.

    Args:
        roles: what they do.
        configure: writes the configuration of a name and gives its file.
    """

    def __init__(self, roles, configure):
        self._configs = {role: configure(role.name) for role in roles}
        self._by_role = {}
        self.logs = []
        self._is_harmed = False

    def __enter__(self):
        self.tend()
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.kill()

    @property
    def processes(self):
        """Those that were started last."""
        return list(self._by_role.values())

    def tend(self, *, with_commands=True):
        """Start what has ended; a service must not end by itself, and no command may fail without a reason."""
        for role, config in self._configs.items():
            process = self._by_role.get(role)
            if process is not None and process.code is None:
                continue
            if process is not None:
                self._bury(process)
            if role.is_serving or with_commands:
                self._by_role[role] = Process(role, config, was_harmed=self._is_harmed)

    @contextmanager
    def excused(self):
        """Whatever lives in the time of a block may fail for what happens in it."""
        for process in self.processes:
            process.was_harmed = True
        self._is_harmed = True
        yield
        self._is_harmed = False

    def kill(self, process):
        """Kill a process, and start its successor."""
        process.kill()
        self.logs += process.log
        del self._by_role[process.role]
        self.tend()

    def stop(self):
        """Stop all, the services after their current batch, once they listen to signals."""
        self.until(lambda: all(process.is_ready for process in self.processes), "all serve", with_commands=False)
        for process in self.processes:
            process.stop()
        for process in self.processes:
            self._bury(process, is_stopped=True)

    def until(self, condition, what, pause=0.02, *, with_commands=True):
        """Wait for a condition while the processes are kept alive."""

        def look():
            self.tend(with_commands=with_commands)
            return condition()

        return until(look, what, pause)

    def _bury(self, process, *, is_stopped=False):
        code = process.ended()
        # What cannot be begun, and a command that fails or is stopped, is begun again by whoever began it.
        is_excused = (process.was_harmed and not process.said("serving")) or (
            is_stopped and not process.role.is_serving
        )
        is_expected = code == 0 and (is_stopped or not process.role.is_serving)
        if not is_expected and not is_excused:
            raise AssertionError(f"{process.name} ended with code {code}: {process.log[-5:]}")
        self.logs += process.log
        self._by_role.pop(process.role, None)
