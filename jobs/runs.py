"""Records runs: when a job started, what started it, and how it ended."""

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
    """The origin of a run: its scheduled time, and the serving process."""

    scheduled_for: datetime | None = None
    worker: str | None = None


@contextmanager
def recorded_run(
    store: Store, monitor: str, kind: str, clock: Callable[[], datetime], origin: RunOrigin | None = None
) -> Iterator[dict[str, Any]]:
    """Record a run of a job, with the counts that the block fills in, and add its id to the log context."""
    counts: dict[str, Any] = {}
    origin = origin or RunOrigin()
    run_id = store.runs.start(monitor, kind, clock(), scheduled_for=origin.scheduled_for, worker=origin.worker)
    add_to_log_context(run=run_id)
    try:
        yield counts
    except BaseException as exc:
        outcome = "interrupted" if isinstance(exc, KeyboardInterrupt) else "failed"
        with suppress(StoreError):  # the database that failed the run may also fail to record it
            store.runs.finish(run_id, outcome, str(exc) or type(exc).__name__, counts, clock())
        raise
    store.runs.finish(run_id, "done", None, counts, clock())
