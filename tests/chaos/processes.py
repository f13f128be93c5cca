"""Processes of the service, restarted whenever they are killed."""

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from tests.chaos.waiting import until
from tests.workspace import ROOT

_SECONDS_BEFORE_WORK = itertools.cycle([6.0, 4.0, 9.0, 7.0, 12.0])
_WAITS_FOR_LOCKS = ("Lock wait timeout exceeded", "due to lock timeout", "database is locked")
_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}


@dataclass(frozen=True)
class Role:
    """The task of a process, with its name for the database.

    Attributes:
        name: for the database.
        arguments: of each process in turn.
        is_serving: whether it runs until it is stopped.
    """

    name: str
    arguments: tuple[tuple[str, ...], ...]
    is_serving: bool = True


class Process:
    """A running process and the end of its log.

    Args:
        role: its task.
        arguments: of the interpreter.
        config: its configuration file.
        had_fault: whether its database has failed since its start.
    """

    def __init__(self, role, arguments, config, *, had_fault):
        self.role, self.name, self.reloads = role, role.name, 0
        environment = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", *arguments, "--config", str(config)],
            env=environment | _ENVIRONMENT | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # so that its trainings can be ended with it
        )
        self.pid = self._process.pid
        self.log = []
        self.had_fault = had_fault
        self._works_from = time.monotonic() + next(_SECONDS_BEFORE_WORK)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def is_ready(self):
        """Whether it handles signals; a command always does."""
        return not self.role.is_serving or self.count_logged("serving") > 0

    @property
    def is_at_work(self):
        """Whether it has begun to score; for a command, which logs nothing, this is assumed after a varying time."""
        if self.role.is_serving:
            return self.code is None and self.count_logged("loaded the champion") > 0
        return self.code is None and time.monotonic() > self._works_from

    @property
    def code(self):
        """The exit code, or None while it runs."""
        return self._process.poll()

    def count_logged(self, *beginnings):
        """Count the lines of its log with these beginnings."""
        return sum(line["message"].startswith(beginnings) for line in list(self.log))

    @property
    def waited_in_vain(self):
        """Whether another process held a lock for longer than the timeout, which a busy machine may bring about."""
        return any(text in line["message"] for line in self.log for text in _WAITS_FOR_LOCKS)

    def kill(self):
        """Send SIGKILL."""
        self._process.kill()
        self._end()

    def stop(self):
        """Send SIGTERM."""
        self._process.terminate()

    def reload(self):
        """Send SIGHUP."""
        self.reloads = self.count_logged("configuration reloaded") + 1
        self._process.send_signal(signal.SIGHUP)

    @contextmanager
    def hung(self):
        """Stop the process for the time of a block, as a machine does that swaps or is moved."""
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def end_family(self):
        """Kill the process and the trainings that it has started, also if it has ended before them."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def ended(self):
        """Wait for the end, and return the exit code."""
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
    """One process for each role, restarted when it has ended.

    Args:
        roles: their tasks.
        configure: writes the configuration of a name and returns its file.
    """

    def __init__(self, roles, configure):
        self._configs = {role: configure(role.name) for role in roles}
        self._arguments = {role: itertools.cycle(role.arguments) for role in roles}
        self._by_role, self._started = {}, []
        self.logs = []
        self._has_fault = False

    def __enter__(self):
        self.tend()
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.kill()
        for process in self._started:
            process.end_family()

    @property
    def processes(self):
        """The latest process of each role."""
        return list(self._by_role.values())

    def tend(self, *, with_commands=True):
        """Restart ended processes; a service must not end by itself, and a command must not fail without a reason."""
        for role, config in self._configs.items():
            process = self._by_role.get(role)
            if process is not None and process.code is None:
                continue
            if process is not None:
                self._bury(process)
            if role.is_serving or with_commands:
                self._by_role[role] = Process(role, next(self._arguments[role]), config, had_fault=self._has_fault)
                self._started.append(self._by_role[role])

    @contextmanager
    def excused(self):
        """Let processes that run during a block fail."""
        for process in self.processes:
            process.had_fault = True
        self._has_fault = True
        yield
        self._has_fault = False

    def kill(self, process):
        """Kill a process, and start its successor."""
        process.kill()
        self.logs += process.log
        del self._by_role[process.role]
        self.tend()

    def stop(self):
        """Stop all processes once they handle signals; services finish their current batch."""
        self.until(lambda: all(process.is_ready for process in self.processes), "all serve", with_commands=False)
        for process in self.processes:
            process.stop()
        for process in self.processes:
            self._bury(process, is_stopped=True)

    def lines(self):
        """Return the number of lines that the processes have logged."""
        return len(self.logs) + sum(len(process.log) for process in self.processes)

    def until(self, condition, what, pause=0.02, *, with_commands=True):
        """Wait for a condition while ended processes are restarted."""

        def look():
            self.tend(with_commands=with_commands)
            return condition()

        return until(look, what, pause, self.lines)

    def _bury(self, process, *, is_stopped=False):
        code = process.ended()
        # A service that cannot start, and a command that fails or is stopped, would be restarted by its supervisor.
        is_excused = (process.had_fault and not process.count_logged("serving")) or (
            is_stopped and not process.role.is_serving
        )
        is_excused = is_excused or (process.waited_in_vain and not process.role.is_serving)
        is_expected = code == 0 and (is_stopped or not process.role.is_serving)
        if not is_expected and not is_excused:
            raise AssertionError(f"{process.name} ended with code {code}: {process.log[-5:]}")
        self.logs += process.log
        self._by_role.pop(process.role, None)
