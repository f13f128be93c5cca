"""Flagged rows grouped into incidents, kept up to date as rows come, change and go."""

import heapq
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import TypeVar

from sqlalchemy import ColumnElement, Connection, and_, func, insert, or_, select, update

from jobs.store.incident_summary import IncidentSummary, extent_of_record, grouped
from jobs.store.outbox import AlertRule, Growth, alert_rule, tell_incident, untell_incidents
from schemas.config import MonitorConfig
from schemas.tables import anomalies, incidents

_VALUES_AT_ONCE = 500  # in one statement
_ROWS_AT_ONCE = 2_000
_Value = TypeVar("_Value")

Touched = Mapping[str | None, Sequence[datetime]]
_LIVE = ("open", "ended")
_EXTENT = [field.name for field in fields(IncidentSummary)]
_TIME = func.coalesce(anomalies.c.record_time, anomalies.c.flagged_at)


@dataclass(frozen=True)
class IncidentRule:
    """What makes flagged rows one incident, and who is told."""

    gap: timedelta
    alerts: AlertRule


def incident_rule(monitor: MonitorConfig) -> IncidentRule:
    """The rule of a monitor."""
    return IncidentRule(monitor.incident_gap, alert_rule(monitor))


@dataclass(frozen=True)
class _Known:
    """An incident as the store has it."""

    id: int
    state: str
    extent: IncidentSummary


@dataclass(frozen=True)
class _Scope:
    """Which incidents are refreshed, by what rule, when."""

    monitor: str
    rule: IncidentRule
    at: datetime
    first: datetime
    last: datetime
    """Touched rows lie between these, and so does what they may join."""
    stale: frozenset[int]
    """Incidents that hold a touched row, and so have to be summed up anew."""


def refresh_incidents(connection: Connection, monitor: str, touched: Touched, rule: IncidentRule, at: datetime) -> None:
    """Bring the incidents around flagged rows up to date, in the transaction that changed the rows.

    The caller holds the lock of the monitor. Incidents follow from the rows alone, so it makes no difference
    in which order, or cut into which batches, they were written.

    Args:
        connection: of the open transaction.
        monitor: whose rows they are.
        touched: by entity, the record time (flagged_at where that is null) of each row that was written,
            changed or superseded; both times where that is what changed.
        rule: of the monitor.
        at: the time now.
    """
    times = [time for of_entity in touched.values() for time in of_entity]
    if not times:
        return
    stale = _stale(connection, monitor, touched)
    scope = _Scope(monitor, rule, at, _moved(min(times), -rule.gap), _moved(max(times), rule.gap), stale)
    known = _around(connection, scope)
    _release_superseded(connection, stale)
    whole = sorted((incident.extent for incident in known if incident.id not in stale), key=_start)
    rows = _loose_rows(connection, scope)
    found = grouped(heapq.merge(*rows, whole, key=_start), rule.gap)
    untouched = {id(extent) for extent in whole}
    changed = [extent for extent in found if id(extent) not in untouched]
    survived = _write(connection, scope, changed, known)
    _withdraw(connection, scope, sorted(stale - survived))


_start = attrgetter("start_time")


def _moved(time: datetime, by: timedelta) -> datetime:
    """A time later or earlier, at most to an end of the calendar: a source may hold any time."""
    try:
        return time + by
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC) if by > timedelta(0) else datetime.min.replace(tzinfo=UTC)


def _stale(connection: Connection, monitor: str, touched: Touched) -> frozenset[int]:
    """Incidents that hold a touched row."""
    c = anomalies.c
    asked = {(entity, time) for entity, times in touched.items() for time in times}
    found: set[int] = set()
    for chunk in _chunks(sorted({time for _, time in asked})):
        is_at = or_(c.record_time.in_(chunk), and_(c.record_time.is_(None), c.flagged_at.in_(chunk)))
        held = select(c.entity, _TIME, c.incident_id).where(c.monitor == monitor, c.incident_id.is_not(None), is_at)
        found |= {incident for entity, time, incident in connection.execute(held) if (entity, time) in asked}
    return frozenset(found)


def _around(connection: Connection, scope: _Scope) -> list[_Known]:
    """The incidents that touched rows may belong to, and the stale ones."""
    c = incidents.c
    is_near = and_(c.end_time >= scope.first, c.start_time <= scope.last)
    conditions = [and_(c.monitor == scope.monitor, c.state.in_(_LIVE), is_near)]
    conditions += [c.id.in_(chunk) for chunk in _chunks(sorted(scope.stale))]
    rows = [
        row for condition in conditions for row in connection.execute(select(incidents).where(condition)).mappings()
    ]
    known = {
        row["id"]: _Known(row["id"], row["state"], IncidentSummary(**{name: row[name] for name in _EXTENT}))
        for row in rows
    }
    return list(known.values())


def _release_superseded(connection: Connection, stale: Collection[int]) -> None:
    c = anomalies.c
    for chunk in _chunks(sorted(stale)):
        is_gone = and_(c.incident_id.in_(chunk), c.superseded_at.is_not(None))
        connection.execute(update(anomalies).where(is_gone).values(incident_id=None))


def _loose_rows(connection: Connection, scope: _Scope) -> list[Iterator[IncidentSummary]]:
    """Rows that belong to no incident yet, and those of stale ones, each by time."""
    c = anomalies.c
    is_new = and_(c.monitor == scope.monitor, c.incident_id.is_(None), _is_within(scope.first, scope.last))
    conditions = [is_new, *(c.incident_id.in_(chunk) for chunk in _chunks(sorted(scope.stale)))]
    return [_extents(connection, condition) for condition in conditions]


def _extents(connection: Connection, condition: ColumnElement[bool]) -> Iterator[IncidentSummary]:
    c = anomalies.c
    columns = (c.entity, _TIME, c.anomaly_score, c.severity, c.attribution, c.is_muted)
    wanted = select(*columns).where(condition, c.superseded_at.is_(None)).order_by(_TIME, c.id)
    for row in connection.execute(wanted, execution_options={"yield_per": _ROWS_AT_ONCE}):
        yield extent_of_record(*row)


def _is_within(start: datetime, end: datetime) -> ColumnElement[bool]:
    """Whether the time of a flagged row lies there; written so that the indexes on time are used."""
    c = anomalies.c
    return or_(c.record_time.between(start, end), and_(c.record_time.is_(None), c.flagged_at.between(start, end)))


def _write(
    connection: Connection, scope: _Scope, changed: Iterable[IncidentSummary], known: Iterable[_Known]
) -> set[int]:
    """Write what incidents have become; the ids that live on, in themselves or in another."""
    by_entity: dict[str | None, list[_Known]] = {}
    for incident in known:
        by_entity.setdefault(incident.extent.entity, []).append(incident)
    taken: set[int] = set()
    for extent in changed:
        held = [part for part in by_entity.get(extent.entity, ()) if part.extent.overlaps(extent)]
        parts = sorted((part for part in held if part.id not in taken), key=attrgetter("id"))
        taken |= {part.id for part in parts}
        incident_id = _write_one(connection, scope, extent, parts)
        _assign(connection, scope, extent, incident_id, [part.id for part in held])
        before = max((part.extent.peak_severity for part in parts), default=None)
        tell_incident(connection, Growth(incident_id, scope.monitor, extent, before), scope.rule.alerts, scope.at)
    return taken


def _write_one(connection: Connection, scope: _Scope, extent: IncidentSummary, parts: Sequence[_Known]) -> int:
    """Write an incident that was these before, of which the oldest keeps its number; the number."""
    has_grown = extent.records > sum(part.extent.records for part in parts)
    is_open = has_grown or any(part.state == "open" for part in parts)
    row = {name: getattr(extent, name) for name in _EXTENT} | {"top_feature": extent.top_feature}
    row |= {"state": "open" if is_open else "ended", "updated_at": scope.at}
    if not parts:
        row |= {"monitor": scope.monitor, "opened_at": scope.at}
        return int(connection.execute(insert(incidents).values(row).returning(incidents.c.id)).scalar_one())
    incident_id, *merged = (part.id for part in parts)
    connection.execute(update(incidents).where(incidents.c.id == incident_id).values(row))
    _merge(connection, scope, merged, incident_id)
    return incident_id


def _merge(connection: Connection, scope: _Scope, merged: Sequence[int], into: int) -> None:
    c = incidents.c
    change = {"state": "merged", "merged_into": into, "updated_at": scope.at}
    for chunk in _chunks(merged):
        is_merged = or_(c.id.in_(chunk), c.merged_into.in_(chunk))
        connection.execute(update(incidents).where(is_merged).values(change))
        untell_incidents(connection, chunk)


def _assign(
    connection: Connection, scope: _Scope, extent: IncidentSummary, incident_id: int, held: Sequence[int]
) -> None:
    """Let the current rows of an extent say which incident they belong to.

    Only touched rows and those of the incidents that it came from are looked at: an incident may be long.
    """
    c = anomalies.c
    first, last = max(extent.start_time, scope.first), min(extent.end_time, scope.last)
    others = [other for other in held if other != incident_id]
    origins = [_is_within(first, last), *(c.incident_id.in_(chunk) for chunk in _chunks(others))]
    is_inside = and_(
        c.monitor == scope.monitor, c.entity == extent.entity, _is_within(extent.start_time, extent.end_time)
    )
    is_other = or_(c.incident_id.is_(None), c.incident_id != incident_id)
    for origin in origins:
        change = update(anomalies).where(origin, is_inside, is_other, c.superseded_at.is_(None))
        connection.execute(change.values(incident_id=incident_id))


def _withdraw(connection: Connection, scope: _Scope, incident_ids: Sequence[int]) -> None:
    """End incidents that have no flagged row any more."""
    change = update(incidents).values(state="withdrawn", updated_at=scope.at)
    for chunk in _chunks(incident_ids):
        connection.execute(change.where(incidents.c.id.in_(chunk)))
        untell_incidents(connection, chunk)


def _chunks(values: Sequence[_Value]) -> Iterator[Sequence[_Value]]:
    return (values[start : start + _VALUES_AT_ONCE] for start in range(0, len(values), _VALUES_AT_ONCE))
