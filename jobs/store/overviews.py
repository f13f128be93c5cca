"""A monitor at a glance, as of a moment: how far behind, what the last day brought, what waits for somebody."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, func, select

from jobs.databases import reading
from jobs.store.feedback import REAL
from jobs.store.runs import MonitorStatus, Runs
from jobs.store.workers import Workers
from schemas.tables import anomalies, batch_hours, events, incidents, monitors, retrain_requests

_DAY = timedelta(days=1)
_SILENCE = timedelta(minutes=5)  # after which a process counts as gone; its clock may be off by some


@dataclass(frozen=True)
class LastDay:
    """What the last day of record time brought, in whole hours up to the one that goes on."""

    records: int
    anomalies: int
    confirmed: int
    """Anomalies of which people say that something was wrong."""
    realised_rate_at_most: float | None
    """The false-positive rate if no other anomaly is real; None where there are no other records."""

    @classmethod
    def of(cls, records: int, anomalies: int, confirmed: int) -> "LastDay":
        """The day of these counts.

        >>> LastDay.of(1_002, 12, 2).realised_rate_at_most
        0.01
        """
        normal = records - confirmed
        rate = (anomalies - confirmed) / normal if normal > 0 else None
        return cls(records, anomalies, confirmed, rate)


@dataclass(frozen=True)
class MonitorOverview(MonitorStatus):
    """A monitor at a glance, as of a moment."""

    scored_until: datetime | None
    """The newest record time scored."""
    lag_seconds: float | None
    """How far that lies behind."""
    next_run: datetime | None
    """None where no process serves the monitor, or it has no schedule."""
    last_day: LastDay
    open_incidents: int
    pending_requests: int
    """For retraining: waiting or being worked off."""
    too_late_records: int
    events_of_last_day: Mapping[str, int]
    """By kind."""
    ongoing_since: Mapping[str, datetime]
    """When each kind of event began that goes on."""


class Overviews:
    """Monitors at a glance.

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
            until, too_late = _marks(connection, monitor)
            return MonitorOverview(
                **vars(status),
                scored_until=until,
                lag_seconds=None if until is None else (at - until).total_seconds(),
                next_run=self._workers.next_runs(at - _SILENCE).get(monitor),
                last_day=_last_day(connection, monitor, at),
                open_incidents=_count(connection, incidents.c.monitor == monitor, incidents.c.state == "open"),
                pending_requests=_pending_requests(connection, monitor),
                too_late_records=too_late,
                events_of_last_day=_events(connection, monitor, at - _DAY),
                ongoing_since=_ongoing(connection, monitor),
            )


def _count(connection: Connection, *conditions: ColumnElement[bool]) -> int:
    return int(connection.scalar(select(func.count()).where(*conditions)) or 0)


def _marks(connection: Connection, monitor: str) -> tuple[datetime | None, int]:
    c = monitors.c
    row = connection.execute(select(c.scored_until, c.too_late_records).where(c.monitor == monitor)).first()
    return (None, 0) if row is None else (row.scored_until, row.too_late_records)


def _last_day(connection: Connection, monitor: str, at: datetime) -> LastDay:
    since = at.replace(minute=0, second=0, microsecond=0) - _DAY + timedelta(hours=1)
    h, a = batch_hours.c, anomalies.c
    sums = [func.coalesce(func.sum(column), 0) for column in (h.records, h.anomalies)]
    records, flagged = connection.execute(select(*sums).where(h.monitor == monitor, h.hour >= since)).one()
    is_real = (a.monitor == monitor) & a.label.in_(REAL) & a.superseded_at.is_(None)
    timed = _count(connection, is_real, a.record_time >= since)
    # Two counts, as one condition with an OR would keep either index from being used.
    untimed = _count(connection, is_real, a.record_time.is_(None), a.flagged_at >= since)
    return LastDay.of(int(records), int(flagged), timed + untimed)


def _pending_requests(connection: Connection, monitor: str) -> int:
    c = retrain_requests.c
    return _count(connection, c.monitor == monitor, c.state.in_(("pending", "running")))


def _events(connection: Connection, monitor: str, since: datetime) -> dict[str, int]:
    c = events.c
    wanted = select(c.kind, func.count()).where(c.monitor == monitor, c.at >= since).group_by(c.kind).order_by(c.kind)
    return dict(connection.execute(wanted).all())


def _ongoing(connection: Connection, monitor: str) -> dict[str, datetime]:
    c = events.c
    goes_on: Any = (c.monitor == monitor) & c.since.is_not(None) & c.until.is_(None)
    wanted = select(c.kind, func.min(c.since)).where(goes_on).group_by(c.kind).order_by(c.kind)
    return dict(connection.execute(wanted).all())
