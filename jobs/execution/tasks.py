"""Runs tasks on an engine; tasks that it loses are submitted again, in a new executor."""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any, Generic, ParamSpec, TypeVar

from jobs.execution.engine import Engine
from schemas.errors import ExecutorError

P = ParamSpec("P")
Result = TypeVar("Result")

_log = logging.getLogger("plumbline")

MAX_LOSSES = 3  # in a row, of tasks that were submitted
MAX_ATTEMPTS = 10  # to open an executor
_LONGEST_PAUSE = 30.0  # seconds between two attempts


@dataclass(frozen=True)
class Tasks:
    """The tasks of one command.

    Attributes:
        engine: that runs them.
        at_once: maximum number of tasks that wait or run.
        pause: waits for a number of seconds.
    """

    engine: Engine
    at_once: int
    pause: Callable[[float], None] = time.sleep

    def results(self, function: Callable[..., Result], calls: Iterable[tuple[Any, ...]]) -> Iterator[Result]:
        """Yield the result of each call, in the order of the calls, which are drawn when there is room for them.

        Args:
            function: of a module that the workers can import; a lost call is repeated.
            calls: the arguments of each call.

        Raises:
            ExecutorError: If the engine cannot be reached, or loses tasks again and again.
        """
        session = _Session(self, function)
        try:
            for call in calls:
                session.submit(call)
                if len(session.waiting) >= self.at_once:
                    yield session.next_result()
            while session.waiting:
                yield session.next_result()
        finally:
            session.close()


@dataclass
class _Task(Generic[Result]):
    call: tuple[Any, ...]
    future: "Future[Result]"


class _Session(Generic[Result]):
    """Submitted tasks, oldest first, and the executor that has them."""

    def __init__(self, tasks: Tasks, function: Callable[..., Result]) -> None:
        self._tasks, self._function = tasks, function
        self.waiting: deque[_Task[Result]] = deque()
        self._losses = 0
        self._stack = ExitStack()
        self._executor = self._open()

    def submit(self, call: tuple[Any, ...]) -> None:
        """Submit one more task."""
        self.waiting.append(_Task(call, self._submitted(call)))

    def next_result(self) -> Result:
        """Wait for the oldest task, and return its result."""
        while True:
            task = self.waiting[0]
            try:
                result = task.future.result()
            except self._tasks.engine.losses as exc:
                self._recover(exc)
                continue
            self.waiting.popleft()
            self._losses = 0
            return result

    def close(self) -> None:
        """Cancel the tasks that have not begun, and close the executor."""
        for task in self.waiting:
            task.future.cancel()
        with suppress(*self._tasks.engine.losses):
            self._stack.close()

    def _submitted(self, call: tuple[Any, ...]) -> "Future[Result]":
        try:
            return self._executor.submit(self._function, *call)
        except RuntimeError as exc:  # the executor is broken, or shut down
            lost: Future[Result] = Future()
            lost.set_exception(OSError(str(exc)))
            return lost

    def _recover(self, cause: Exception) -> None:
        """Open a new executor, and submit the tasks that are not finished there."""
        self._losses += 1
        engine = self._tasks.engine
        if self._losses > MAX_LOSSES:
            raise ExecutorError(
                f"The executor {engine.name!r} lost a task {MAX_LOSSES} times in a row: {_text(cause)}. A worker that "
                "runs out of memory is killed: lower batch_size, or give the workers more memory."
            ) from cause
        _log.warning("the executor lost tasks, which are submitted again: %s", _text(cause))
        with suppress(*engine.losses):
            self._stack.close()
        self._executor = self._open()
        for task in self.waiting:
            if not task.future.done() or task.future.cancelled() or task.future.exception() is not None:
                task.future = self._submitted(task.call)

    def _open(self) -> Executor:
        engine, pause = self._tasks.engine, 1.0
        for attempt in range(1, MAX_ATTEMPTS + 1):
            try:
                self._stack = ExitStack()
                return self._stack.enter_context(engine.open())
            except engine.losses as exc:
                if attempt == MAX_ATTEMPTS:
                    raise ExecutorError(
                        f"The executor {engine.name!r} cannot be reached: {_text(exc)}. Start it, or correct its "
                        "address under [runtime] in config.toml."
                    ) from exc
                _log.warning("the executor cannot be reached yet: %s", _text(exc))
            self._tasks.pause(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        raise AssertionError


def _text(exc: Exception) -> str:
    return str(exc) or type(exc).__name__
