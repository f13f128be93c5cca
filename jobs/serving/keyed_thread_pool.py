"""A thread pool that runs the tasks of one name one after the other."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

_log = logging.getLogger("plumbline")


class KeyedThreadPool:
    """Runs tasks by name: different names in parallel, the same name never twice at a time.

    A task that is submitted while its name is running starts as soon as that run ends. Several such submissions are
    merged into one.

    Args:
        task: called with a name and the first due time that the call covers, or None if no schedule was due.
        threads: the number of names that run in parallel.
    """

    def __init__(self, task: Callable[[str, datetime | None], None], threads: int) -> None:
        self._task = task
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="task")
        self._changed = threading.Condition()
        self._pending: dict[str, datetime | None] = {}
        self._busy: set[str] = set()
        self._is_stopped = False

    def submit(self, name: str, due_at: datetime | None) -> None:
        """Run the task of a name as soon as the name and a thread are free."""
        with self._changed:
            if self._is_stopped:
                return
            due_times = [time for time in (due_at, self._pending.get(name)) if time is not None]
            self._pending[name] = min(due_times, default=None)
            if name not in self._busy:
                self._start(name)

    def is_busy(self, name: str) -> bool:
        """Return whether a task of this name is running or pending."""
        with self._changed:
            return name in self._busy

    def stop(self) -> None:
        """Start no more tasks; running ones finish."""
        with self._changed:
            self._is_stopped = True
            self._pending.clear()
        self._pool.shutdown(wait=False)

    def wait(self) -> None:
        """Wait until no task is running."""
        with self._changed:
            self._changed.wait_for(lambda: not self._busy)

    def _start(self, name: str) -> None:
        self._busy.add(name)
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
            self._busy.discard(name)
            if name in self._pending and not self._is_stopped:
                self._start(name)
            self._changed.notify_all()
