"""Records the runs of jobs: when a run started, what started it, and how it ended."""

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
    """The cause of a run: the scheduled time that it serves, and the serving process."""

    scheduled_for: datetime | None = None
    worker: str | None = None


@contextmanager
def recorded_run(
    store: Store, monitor: str, kind: str, clock: Callable[[], datetime], origin: RunOrigin | None = None
) -> Iterator[dict[str, Any]]:
    """Record a run of a job around a block, which fills in the counts; log lines of the block carry the run's id."""
    counts: dict[str, Any] = {}
    origin = origin or RunOrigin()
    run_id = store.runs.start(monitor, kind, clock(), scheduled_for=origin.scheduled_for, worker=origin.worker)
    add_to_log_context(run=run_id)
    try:
        yield counts
    except BaseException as exc:
        outcome = "interrupted" if isinstance(exc, KeyboardInterrupt) else "failed"
        with suppress(StoreError):  # the database that failed the run may fail to record it
            store.runs.finish(run_id, outcome, str(exc) or type(exc).__name__, counts, clock())
        raise
    store.runs.finish(run_id, "done", None, counts, clock())
