"""What a monitor keeps: times before which rows are old, and batches before which nothing is rescored by itself."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, func, select

from schemas.tables import batches

_ROWS_PER_FETCH = 500


@dataclass(frozen=True)
class RetentionLimits:
    """What a monitor keeps.

    Attributes:
        monitor: its name.
        at: the time now.
        keep_after: rows are kept that are newer.
        details_after: details of batches and runs are kept that are newer.
        trackers_after: states of tracked thresholds are kept that are newer.
        flagged_after: unlabelled flagged rows are kept that are newer; None keeps all.
        retired_models: number of retired models, and of challengers, that keep their artifact.
        drift_records: number of newest records that a drift assessment compares.
        late_after: how long batches are watched for changes.
        max_batch_records: the largest number of records in a merged batch.
    """

    monitor: str
    at: datetime
    keep_after: datetime
    details_after: datetime
    trackers_after: datetime
    flagged_after: datetime | None
    retired_models: int
    drift_records: int
    late_after: timedelta
    max_batch_records: int


@dataclass(frozen=True)
class BatchBounds:
    """Ids of batches; all batches with a smaller id are old, done, and no longer watched for changes.

    Attributes:
        keep: by the age of all rows.
        details: by the age of details.
        trackers: by the age of tracked thresholds.
    """

    keep: int
    details: int
    trackers: int


def settled_before_batch(connection: Connection, limits: RetentionLimits) -> BatchBounds:
    """Return the batches before which nothing is rescored unless a person requests it."""
    times = (limits.keep_after, limits.details_after, limits.trackers_after)
    keep, details, trackers = (_bound(connection, limits.monitor, time) for time in times)
    watched = _first_watched(connection, limits, max(keep, details, trackers))
    return BatchBounds(*(bound if watched is None else min(bound, watched) for bound in (keep, details, trackers)))


def _bound(connection: Connection, monitor: str, planned_after: datetime) -> int:
    """Return the first batch that is new or not done; if all are old and done, the newest, which is the watermark."""
    c = batches.c
    done = select(c.id).where(c.monitor == monitor, c.state == "done")
    newest = connection.scalar(done.order_by(c.id.desc()).limit(1)) or 0
    first_new = connection.scalar(done.where(c.planned_at >= planned_after).order_by(c.id).limit(1))
    unfinished = select(func.min(c.id)).where(c.monitor == monitor, c.state.in_(("pending", "running")))
    bounds = (newest, first_new, connection.scalar(unfinished))
    return min(bound for bound in bounds if bound is not None)


def _first_watched(connection: Connection, limits: RetentionLimits, before: int) -> int | None:
    """Return the first batch that a recount may still reopen, or None.

    The recount of such a batch is due: it would have been recounted at the latest after a ninth more than
    `late_after`, and a batch before the bounds is older.
    """
    c = batches.c
    is_due = (c.monitor == limits.monitor) & (c.state == "done") & (c.id < before) & (c.recount_at < limits.at)
    overdue = select(c.id, c.planned_at, c.recounted_at).where(is_due).order_by(c.id)
    with connection.execute(overdue.execution_options(yield_per=_ROWS_PER_FETCH)) as rows:
        for row in rows:
            if row.recounted_at is not None and row.recounted_at < row.planned_at + limits.late_after:
                return int(row.id)
    return None
