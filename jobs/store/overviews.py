"""The overview of a monitor: its lag, its last day, and its open incidents, requests and events."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, func, select

from jobs.databases import reading
from jobs.store.entities import silent_since
from jobs.store.labelled import is_labelled
from jobs.store.runs import MonitorStatus, Runs
from jobs.store.unreadable import newest_unreadable_of
from jobs.store.workers import Workers
from schemas.labels import REAL_LABELS
from schemas.tables import anomalies, batch_hours, events, incidents, monitors, retrain_requests

_DAY = timedelta(days=1)
_UNREADABLE_SHOWN = 5
_HEARTBEAT_TIMEOUT = timedelta(minutes=5)  # a process may be silent for so long; its clock may be off


@dataclass(frozen=True)
class LastDay:
    """Numbers of the last day of record time, in whole hours including the current one."""

    records: int
    anomalies: int
    confirmed: int
    """Anomalies with a label of `REAL_LABELS`."""
    realised_rate_at_most: float | None
    """The false-positive rate if no other anomaly is real; None if there are no other records."""

    @classmethod
    def of(cls, records: int, anomalies: int, confirmed: int) -> "LastDay":
        """Return the day with its rate.

        >>> LastDay.of(1_002, 12, 2).realised_rate_at_most
        0.01
        """
        normal = records - confirmed
        rate = (anomalies - confirmed) / normal if normal > 0 else None
        return cls(records, anomalies, confirmed, rate)


@dataclass(frozen=True)
class MonitorOverview(MonitorStatus):
    """The status of a monitor, and its recent numbers as of a moment."""

    scored_until: datetime | None
    """The newest record time scored."""
    lag_seconds: float | None
    """Time from then to now."""
    next_run: datetime | None
    """None if no process serves the monitor, or it has no schedule."""
    last_day: LastDay
    open_incidents: int
    pending_requests: int
    """Retrain requests that are pending or running."""
    too_late_records: int
    unreadable_records: int
    """Records that cannot be read, and are not scored."""
    newest_unreadable: Sequence[str]
    """Key, column and reason of the newest few of them."""
    events_of_last_day: Mapping[str, int]
    """By kind."""
    ongoing_since: Mapping[str, datetime]
    """Start of the oldest ongoing event of each kind."""
    silent_since: Mapping[str, datetime]
    """Last record of each silent entity."""


class Overviews:
    """The overviews of every monitor.

    Args:
        engine: of the store's database.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._runs, self._workers = Runs(engine), Workers(engine)

    def get(self, monitor: str, at: datetime) -> MonitorOverview:
        """Return the overview of a monitor as of a moment."""
        status = self._runs.status(monitor)
        with reading(self.engine) as connection:
            scored_until, too_late_records = _progress(connection, monitor)
            unreadable_records, newest_unreadable = newest_unreadable_of(connection, monitor, _UNREADABLE_SHOWN)
            return MonitorOverview(
                **vars(status),
                scored_until=scored_until,
                lag_seconds=None if scored_until is None else (at - scored_until).total_seconds(),
                next_run=self._workers.next_runs(at - _HEARTBEAT_TIMEOUT).get(monitor),
                last_day=_last_day(connection, monitor, at),
                open_incidents=_count(connection, incidents.c.monitor == monitor, incidents.c.state == "open"),
                pending_requests=_pending_requests(connection, monitor),
                too_late_records=too_late_records,
                unreadable_records=unreadable_records,
                newest_unreadable=newest_unreadable,
                events_of_last_day=_event_counts(connection, monitor, at - _DAY),
                ongoing_since=_ongoing_since(connection, monitor),
                silent_since=silent_since(connection, monitor),
            )


def _count(connection: Connection, *conditions: ColumnElement[bool]) -> int:
    return int(connection.scalar(select(func.count()).where(*conditions)) or 0)


def _progress(connection: Connection, monitor: str) -> tuple[datetime | None, int]:
    c = monitors.c
    row = connection.execute(select(c.scored_until, c.too_late_records).where(c.monitor == monitor)).first()
    return (None, 0) if row is None else (row.scored_until, row.too_late_records)


def _last_day(connection: Connection, monitor: str, at: datetime) -> LastDay:
    since = at.replace(minute=0, second=0, microsecond=0) - _DAY + timedelta(hours=1)
    h, a = batch_hours.c, anomalies.c
    sums = [func.coalesce(func.sum(column), 0) for column in (h.records, h.anomalies)]
    records, flagged = connection.execute(select(*sums).where(h.monitor == monitor, h.hour >= since)).one()
    is_real = (a.monitor == monitor) & is_labelled() & a.label.in_(REAL_LABELS) & a.superseded_at.is_(None)
    # Two counts, as one condition with OR would use neither index.
    timed = _count(connection, is_real, a.record_time >= since)
    untimed = _count(connection, is_real, a.record_time.is_(None), a.flagged_at >= since)
    return LastDay.of(int(records), int(flagged), timed + untimed)


def _pending_requests(connection: Connection, monitor: str) -> int:
    c = retrain_requests.c
    return _count(connection, c.monitor == monitor, c.state.in_(("pending", "running")))


def _event_counts(connection: Connection, monitor: str, since: datetime) -> dict[str, int]:
    c = events.c
    counts = select(c.kind, func.count()).where(c.monitor == monitor, c.at >= since).group_by(c.kind).order_by(c.kind)
    return dict(connection.execute(counts).all())


def _ongoing_since(connection: Connection, monitor: str) -> dict[str, datetime]:
    c = events.c
    is_ongoing: Any = (c.monitor == monitor) & c.since.is_not(None) & c.until.is_(None)
    starts = select(c.kind, func.min(c.since)).where(is_ongoing).group_by(c.kind).order_by(c.kind)
    return dict(connection.execute(starts).all())
