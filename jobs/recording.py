"""Runs on record: when a job started, and how it ended, whatever ended it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from jobs.store import Store


@contextmanager
def recorded_run(store: Store, monitor: str, kind: str, clock: Callable[[], datetime]) -> Iterator[dict[str, Any]]:
    """A run of a job; the block fills in the counts that are kept with it."""
    counts: dict[str, Any] = {}
    run_id = store.start_run(monitor, kind, clock())
    try:
        yield counts
    except BaseException as exc:
        outcome = "interrupted" if isinstance(exc, KeyboardInterrupt) else "failed"
        store.finish_run(run_id, outcome, str(exc) or type(exc).__name__, counts, clock())
        raise
    store.finish_run(run_id, "done", None, counts, clock())
