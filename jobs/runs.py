"""Runs on record: when a job started, what started it, and how it ended, whatever ended it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from jobs.logs import add_to_log_context
from jobs.store import Store
from schemas.errors import StoreError


@dataclass(frozen=True)
class RunOrigin:
    """What started a run: the time in the schedule that it stands for, and the process that serves."""

    scheduled_for: datetime | None = None
    worker: str | None = None


@contextmanager
def recorded_run(
    store: Store, monitor: str, kind: str, clock: Callable[[], datetime], origin: RunOrigin | None = None
) -> Iterator[dict[str, Any]]:
    """A run of a job; the block fills in the counts that are kept with it, and what is logged has its id."""
    counts: dict[str, Any] = {}
    origin = origin or RunOrigin()
    run_id = store.runs.start(monitor, kind, clock(), scheduled_for=origin.scheduled_for, worker=origin.worker)
    add_to_log_context(run=run_id)
    try:
        yield counts
    except BaseException as exc:
        outcome = "interrupted" if isinstance(exc, KeyboardInterrupt) else "failed"
        with suppress(StoreError):  # the database that failed the run may not record it either
            store.runs.finish(run_id, outcome, str(exc) or type(exc).__name__, counts, clock())
        raise
    store.runs.finish(run_id, "done", None, counts, clock())
