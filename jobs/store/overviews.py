"""The overviews of monitors: their lag, their last day, and their open incidents, requests and events."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Engine, func, select

from jobs.databases import reading
from jobs.store.entities import silences_of
from jobs.store.labelled import is_labelled
from jobs.store.paging import without_index
from jobs.store.runs import MonitorStatus, statuses_of
from jobs.store.unreadable import newest_unreadable_of
from jobs.store.workers import read_next_runs
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


@dataclass(frozen=True)
class _Progress:
    """How far the records of a monitor are scored."""

    scored_until: datetime | None = None
    too_late_records: int = 0

    def lag_seconds(self, at: datetime) -> float | None:
        """Return the time from the newest record time scored to a moment, or None before the first."""
        return None if self.scored_until is None else (at - self.scored_until).total_seconds()


class Overviews:
    """The overviews of every monitor.

    Args:
        engine: of the store's database.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def get(self, monitor: str, at: datetime) -> MonitorOverview:
        """Return the overview of a monitor as of a moment."""
        return self.of([monitor], at)[monitor]

    def of(self, names: Collection[str], at: datetime) -> dict[str, MonitorOverview]:
        """Return the overviews of monitors by name as of a moment, read in one transaction.

        There are as many statements for 200 monitors as for one.
        """
        with reading(self.engine) as connection:
            statuses = statuses_of(connection, names)
            progress = _progress(connection, names)
            next_runs = read_next_runs(connection, at - _HEARTBEAT_TIMEOUT)
            last_days = _last_days(connection, names, at)
            open_incidents = _counts(connection, incidents.c.monitor, names, incidents.c.state == "open")
            requests = _pending_requests(connection, names)
            unreadable = newest_unreadable_of(connection, names, _UNREADABLE_SHOWN)
            event_counts = _by_kind(connection, func.count(), names, events.c.at >= at - _DAY)
            ongoing_since = _ongoing_since(connection, names)
            silences = silences_of(connection, names)
        return {
            name: MonitorOverview(
                **vars(statuses[name]),
                scored_until=progress[name].scored_until,
                lag_seconds=progress[name].lag_seconds(at),
                next_run=next_runs.get(name),
                last_day=last_days[name],
                open_incidents=open_incidents[name],
                pending_requests=requests[name],
                too_late_records=progress[name].too_late_records,
                unreadable_records=unreadable[name][0],
                newest_unreadable=unreadable[name][1],
                events_of_last_day=event_counts[name],
                ongoing_since=ongoing_since[name],
                silent_since=silences[name],
            )
            for name in names
        }


def _counts(
    connection: Connection, monitor: Column[Any], names: Collection[str], *conditions: ColumnElement[bool]
) -> dict[str, int]:
    """Return the number of rows of each monitor that meet conditions."""
    counts = select(monitor, func.count()).where(monitor.in_(names), *conditions).group_by(monitor)
    return dict.fromkeys(names, 0) | {name: int(number) for name, number in connection.execute(counts)}


def _progress(connection: Connection, names: Collection[str]) -> dict[str, _Progress]:
    c = monitors.c
    rows = connection.execute(select(c.monitor, c.scored_until, c.too_late_records).where(c.monitor.in_(names)))
    return dict.fromkeys(names, _Progress()) | {name: _Progress(*numbers) for name, *numbers in rows}


def _last_days(connection: Connection, names: Collection[str], at: datetime) -> dict[str, LastDay]:
    since = at.replace(minute=0, second=0, microsecond=0) - _DAY + timedelta(hours=1)
    h, a = batch_hours.c, anomalies.c
    sums = (func.sum(h.records), func.sum(h.anomalies))
    hours = select(h.monitor, *sums).where(h.monitor.in_(names), h.hour >= since).group_by(h.monitor)
    totals = {name: (int(records), int(flagged)) for name, records, flagged in connection.execute(hours)}
    is_real = is_labelled() & a.label.in_(REAL_LABELS) & a.superseded_at.is_(None)
    # Two counts, as one condition with OR would use neither index.
    timed = _counts(connection, a.monitor, names, is_real, a.record_time >= since)
    has_no_time = without_index(a.record_time).is_(None)  # true of every row if the monitor has no time
    untimed = _counts(connection, a.monitor, names, is_real, has_no_time, a.flagged_at >= since)
    return {name: LastDay.of(*totals.get(name, (0, 0)), timed[name] + untimed[name]) for name in names}


def _pending_requests(connection: Connection, names: Collection[str]) -> dict[str, int]:
    c = retrain_requests.c
    return _counts(connection, c.monitor, names, c.state.in_(("pending", "running")))


def _ongoing_since(connection: Connection, names: Collection[str]) -> dict[str, dict[str, datetime]]:
    c = events.c
    return _by_kind(connection, func.min(c.since), names, c.since.is_not(None) & c.until.is_(None))


def _by_kind(
    connection: Connection, value: ColumnElement[Any], names: Collection[str], condition: ColumnElement[bool]
) -> dict[str, dict[str, Any]]:
    """Return an aggregate of the events of each monitor that meet a condition, by kind in order."""
    c = events.c
    values = select(c.monitor, c.kind, value).where(c.monitor.in_(names), condition).group_by(c.monitor, c.kind)
    by_kind: dict[str, dict[str, Any]] = {name: {} for name in names}
    for name, kind, number in connection.execute(values.order_by(c.kind)):
        by_kind[name][kind] = number
    return by_kind
