"""A thread pool that runs the tasks of one name one after the other."""

import logging
import threading
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

_log = logging.getLogger("plumbline")

MAX_WAITING = 12
"""Number of waiting tasks that do not count as running; each holds a thread and a connection."""


class KeyedThreadPool:
    """Runs tasks by name: different names in parallel, the same name never twice at a time.

    A task that is submitted while its name is running starts as soon as that run ends. Several such submissions are
    merged into one.

    A task that only waits for a database holds up no other: while it waits, it does not count as running.

    Args:
        task: called with a name and the first due time that the call covers, or None if no schedule was due.
        threads: the number of names that run in parallel.
        waiting: returns the names whose tasks wait for a database.
    """

    def __init__(
        self,
        task: Callable[[str, datetime | None], None],
        threads: int,
        waiting: Callable[[], Collection[str]] = frozenset,
    ) -> None:
        self._task, self._threads, self._waiting = task, threads, waiting
        self._pool = ThreadPoolExecutor(threads + MAX_WAITING, thread_name_prefix="task")
        self._changed = threading.Condition()
        self._pending: dict[str, datetime | None] = {}
        self._queue: list[str] = []  # names that wait for a thread, first come first served
        self._running: set[str] = set()
        self._is_stopped = False

    def submit(self, name: str, due_at: datetime | None) -> None:
        """Run the task of a name as soon as the name and a thread are free."""
        with self._changed:
            if self._is_stopped:
                return
            due_times = [time for time in (due_at, self._pending.get(name)) if time is not None]
            self._pending[name] = min(due_times, default=None)
            if name not in self._running and name not in self._queue:
                self._queue.append(name)
            self._start_queued()

    def is_busy(self, name: str) -> bool:
        """Return whether a task of this name is running or pending."""
        with self._changed:
            return name in self._running or name in self._queue

    def running(self) -> set[str]:
        """Return the names whose tasks are running."""
        with self._changed:
            return set(self._running)

    def start_queued(self) -> None:
        """Start queued tasks in place of those that have begun to wait for a database."""
        with self._changed:
            self._start_queued()

    def stop(self) -> None:
        """Start no more tasks; running ones finish."""
        with self._changed:
            self._is_stopped = True
            self._pending.clear()
            self._queue.clear()
        self._pool.shutdown(wait=False)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until no task is running; return False if one still is after the timeout, in seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._running, timeout)

    def _start_queued(self) -> None:
        waiting = min(len(self._running & {*self._waiting()}), MAX_WAITING)
        while self._queue and len(self._running) - waiting < self._threads and not self._is_stopped:
            name = self._queue.pop(0)
            self._running.add(name)
            self._pool.submit(self._run, name)

    def _run(self, name: str) -> None:
        with self._changed:
            is_pending, due_at = name in self._pending, self._pending.pop(name, None)
        try:
            if is_pending:
                self._task(name, due_at)
        except Exception:  # noqa: BLE001 - it is logged, and the name must become free
            _log.exception("unexpected error in the task %r", name)
        finally:
            self._finish(name)

    def _finish(self, name: str) -> None:
        """Free the name, or queue its next task behind the other names."""
        with self._changed:
            self._running.discard(name)
            if name in self._pending and not self._is_stopped:
                self._queue.append(name)
            self._start_queued()
            self._changed.notify_all()
