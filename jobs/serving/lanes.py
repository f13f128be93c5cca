"""Threads for named work: one run at a time for each name, and what falls due meanwhile follows at once."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

_log = logging.getLogger("plumbline")


class Lanes:
    """A lane for each name; a run that overruns is not started twice, and not forgotten either.

    Args:
        work: called with a name and the first due time that the run stands for; None where nothing was due.
        threads: runs of different names that go on at the same time.
    """

    def __init__(self, work: Callable[[str, datetime | None], None], threads: int) -> None:
        self._work = work
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="lane")
        self._changed = threading.Condition()
        self._waiting: dict[str, datetime | None] = {}
        self._busy: set[str] = set()
        self._is_stopped = False

    def submit(self, name: str, due_at: datetime | None) -> None:
        """Run a name's work as soon as its lane and a thread are free; what waits already is joined."""
        with self._changed:
            if self._is_stopped:
                return
            times = [time for time in (due_at, self._waiting.get(name)) if time is not None]
            self._waiting[name] = min(times, default=None)
            if name not in self._busy:
                self._start(name)

    def is_busy(self, name: str) -> bool:
        """Whether a run of this name goes on or waits."""
        with self._changed:
            return name in self._busy

    def stop(self) -> None:
        """Start nothing more; what runs goes on to its end."""
        with self._changed:
            self._is_stopped = True
            self._waiting.clear()
        self._pool.shutdown(wait=False)

    def wait(self) -> None:
        """Wait until nothing runs."""
        with self._changed:
            self._changed.wait_for(lambda: not self._busy)

    def _start(self, name: str) -> None:
        self._busy.add(name)
        self._pool.submit(self._run, name)

    def _run(self, name: str) -> None:
        with self._changed:
            is_wanted, due_at = name in self._waiting, self._waiting.pop(name, None)
        try:
            if is_wanted:
                self._work(name, due_at)
        except Exception:  # noqa: BLE001 - it is logged, and the lane must become free
            _log.exception("the work %r failed where nothing expects it", name)
        finally:
            self._finish(name)

    def _finish(self, name: str) -> None:
        """Free the lane, or queue up anew behind the other names."""
        with self._changed:
            self._busy.discard(name)
            if name in self._waiting and not self._is_stopped:
                self._start(name)
            self._changed.notify_all()
