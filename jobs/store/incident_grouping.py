"""Incidents kept up to date, as flagged rows come, change and go."""

import heapq
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Any

from sqlalchemy import ColumnElement, Connection, Update, and_, bindparam, func, or_, select, update

from jobs.store.alert_rule import IncidentChange, IncidentRule
from jobs.store.alerts import AlertTexts
from jobs.store.chunks import chunks
from jobs.store.incident_alerts import IncidentAlerts, withdraw_incident_alerts
from jobs.store.incident_summary import IncidentSummary, merge_nearby, summary_of_record
from jobs.store.incidents import CURRENT_STATES, SUMMARY_COLUMNS, summary_of_row
from jobs.store.numbering import insert_all_numbered
from schemas.tables import anomalies, incidents

_ROWS_PER_FETCH = 2_000
_TIME = func.coalesce(anomalies.c.record_time, anomalies.c.flagged_at)
_by_start = attrgetter("start_time")

ChangedTimes = Mapping[str | None, Sequence[datetime]]
"""The times of flagged rows that were written, changed or superseded, by entity.

The time of a row is its record time, or flagged_at if that is null. A row whose time has changed counts with both.
"""


@dataclass(frozen=True)
class _Existing:
    """An incident in the store."""

    id: int
    state: str
    summary: IncidentSummary


@dataclass(frozen=True)
class _Planned:
    """An incident to write.

    Attributes:
        summary: of its rows.
        parts: the incidents of the store that it consists of, oldest first; none if it is new.
        overlapping_ids: the incidents that may hold rows of it.
    """

    summary: IncidentSummary
    parts: tuple[_Existing, ...]
    overlapping_ids: tuple[int, ...]

    @property
    def is_open(self) -> bool:
        """Whether it may go on: one of its parts was open, or it has grown."""
        has_grown = self.summary.records > sum(part.summary.records for part in self.parts)
        return has_grown or any(part.state == "open" for part in self.parts)

    @property
    def severity_before(self) -> float | None:
        """The largest severity of its parts; None if it is new."""
        return max((part.summary.peak_severity for part in self.parts), default=None)

    @property
    def row(self) -> dict[str, Any]:
        """The columns that follow from its rows."""
        row = {name: getattr(self.summary, name) for name in SUMMARY_COLUMNS}
        return row | {"top_feature": self.summary.top_feature, "state": "open" if self.is_open else "ended"}


@dataclass(frozen=True)
class _Refresh:
    """The incidents to refresh, and the rule and time of the refresh."""

    monitor: str
    rule: IncidentRule
    texts: AlertTexts
    at: datetime
    first: datetime
    """The start of the time in which changed rows, and the incidents that they may join, lie."""
    last: datetime
    """Its end."""
    stale_ids: frozenset[int]
    """Incidents that hold a changed row, and so are summarised from their rows again."""


def refresh_incidents(
    connection: Connection, monitor: str, changed: ChangedTimes, rule: IncidentRule, texts: AlertTexts, at: datetime
) -> None:
    """Bring the incidents around changed rows up to date, in the transaction that changed the rows.

    The caller holds the lock of the monitor. Incidents follow from the rows alone, so neither the order in which the
    rows were written nor their batches make a difference.

    Args:
        connection: in a transaction.
        monitor: the name of the monitor.
        changed: the times of the rows that changed.
        rule: of the monitor.
        texts: write the texts of alerts.
        at: the time now.
    """
    times = [time for times_of_entity in changed.values() for time in times_of_entity]
    if not times:
        return
    stale_ids = _stale_ids(connection, monitor, changed)
    first, last = _shifted(min(times), -rule.gap), _shifted(max(times), rule.gap)
    refresh = _Refresh(monitor, rule, texts, at, first, last, stale_ids)
    existing = _existing(connection, refresh, changed)
    _release_left(connection, stale_ids)
    unchanged = sorted((incident.summary for incident in existing if incident.id not in stale_ids), key=_by_start)
    rows = _ungrouped_rows(connection, refresh)
    merged = merge_nearby(heapq.merge(*rows, unchanged, key=_by_start), rule.gap)
    unchanged_objects = {id(summary) for summary in unchanged}
    new_summaries = [summary for summary in merged if id(summary) not in unchanged_objects]
    surviving_ids = _write(connection, refresh, new_summaries, existing)
    _withdraw(connection, refresh, sorted(stale_ids - surviving_ids))


def _shifted(time: datetime, by: timedelta) -> datetime:
    """Return a time later or earlier, at most an end of the calendar, since a source may hold any time."""
    try:
        return time + by
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC) if by > timedelta(0) else datetime.min.replace(tzinfo=UTC)


def _stale_ids(connection: Connection, monitor: str, changed: ChangedTimes) -> frozenset[int]:
    """Return the incidents that hold a changed row."""
    c = anomalies.c
    changed_rows = {(entity, time) for entity, times in changed.items() for time in times}
    ids: set[int] = set()
    for times in chunks(sorted({time for _, time in changed_rows})):
        is_at = or_(c.record_time.in_(times), and_(c.record_time.is_(None), c.flagged_at.in_(times)))
        grouped = select(c.entity, _TIME, c.incident_id).where(c.monitor == monitor, c.incident_id.is_not(None), is_at)
        ids |= {incident for entity, time, incident in connection.execute(grouped) if (entity, time) in changed_rows}
    return frozenset(ids)


def _existing(connection: Connection, refresh: _Refresh, changed: Collection[str | None]) -> list[_Existing]:
    """Return the incidents that changed rows of some entities may belong to, and the stale ones."""
    c = incidents.c
    is_current = and_(c.monitor == refresh.monitor, c.state.in_(CURRENT_STATES))
    is_near = and_(c.end_time >= refresh.first, or_(c.start_time <= refresh.last, c.began_at <= refresh.last))
    conditions = [and_(is_current, is_near)]
    reach = _reach(connection, refresh) if refresh.rule.follows_scores else refresh.first
    if reach < refresh.first:
        is_reached = and_(is_current, c.end_time.between(reach, refresh.first))
        conditions += [and_(is_reached, is_changed) for is_changed in _is_of(changed)]
    conditions += [c.id.in_(ids) for ids in chunks(sorted(refresh.stale_ids))]
    rows = [
        row for condition in conditions for row in connection.execute(select(incidents).where(condition)).mappings()
    ]
    existing = {row["id"]: _Existing(row["id"], row["state"], summary_of_row(row)) for row in rows}
    return list(existing.values())


def _is_of(entities: Collection[str | None]) -> list[ColumnElement[bool]]:
    """Return the conditions that incidents are of some entities."""
    c = incidents.c
    of_none = [c.entity.is_(None)] if None in entities else []
    return [*of_none, *(c.entity.in_(names) for names in chunks(name for name in entities if name is not None))]


def _release_left(connection: Connection, stale_ids: Collection[int]) -> None:
    """Take the rows that no longer count out of the stale incidents."""
    c = anomalies.c
    for ids in chunks(sorted(stale_ids)):
        is_left = and_(c.incident_id.in_(ids), ~_counts())
        connection.execute(update(anomalies).where(is_left).values(incident_id=None))


def _ungrouped_rows(connection: Connection, refresh: _Refresh) -> list[Iterator[IncidentSummary]]:
    """Return the rows that belong to no incident yet, and the rows of stale ones, each by time."""
    return [_summaries(connection, condition) for condition in _ungrouped(refresh)]


def _ungrouped(refresh: _Refresh) -> list[ColumnElement[bool]]:
    """Return the conditions of rows that belong to no incident yet, and of rows of stale ones."""
    c = anomalies.c
    is_new = and_(c.monitor == refresh.monitor, c.incident_id.is_(None), _is_within(refresh.first, refresh.last))
    return [is_new, *(c.incident_id.in_(ids) for ids in chunks(sorted(refresh.stale_ids)))]


def _reach(connection: Connection, refresh: _Refresh) -> datetime:
    """Return the time back to which changed rows may join incidents."""
    farthest = [select(func.min(anomalies.c.began_at)).where(condition, _counts()) for condition in _ungrouped(refresh)]
    reached: list[datetime | None] = [connection.scalar(statement) for statement in farthest]
    return min([refresh.first, *(time for time in reached if time is not None)])


def _summaries(connection: Connection, condition: ColumnElement[bool]) -> Iterator[IncidentSummary]:
    c = anomalies.c
    numbers = (c.anomaly_score, c.severity, c.attribution)
    statement = (
        select(c.entity, _TIME, *numbers, c.is_muted, c.held_back, c.in_row, c.began_at)
        .where(condition, _counts())
        .order_by(_TIME, c.id)
    )
    for row in connection.execute(statement, execution_options={"yield_per": _ROWS_PER_FETCH}):
        yield summary_of_record(*row)


def _counts() -> ColumnElement[bool]:
    """Return the condition that a row belongs to an incident: it is current, and no label suppresses it."""
    return and_(anomalies.c.superseded_at.is_(None), anomalies.c.suppressed_by.is_(None))


def _is_within(start: Any, end: Any) -> ColumnElement[bool]:
    """Return the condition that a row lies in a time span, in a form that uses the indexes on time."""
    c = anomalies.c
    return or_(c.record_time.between(start, end), and_(c.record_time.is_(None), c.flagged_at.between(start, end)))


def _write(
    connection: Connection, refresh: _Refresh, summaries: Iterable[IncidentSummary], existing: Iterable[_Existing]
) -> set[int]:
    """Write the new summaries; return the ids of the incidents that live on, as themselves or merged into another."""
    planned = _planned(summaries, existing)
    ids = _write_incidents(connection, refresh, planned)
    _assign_rows(connection, refresh, list(zip(ids, planned, strict=True)))
    changes = [
        IncidentChange(incident_id, item.summary, item.severity_before, item.is_open)
        for incident_id, item in zip(ids, planned, strict=True)
    ]
    rule = refresh.rule.alerts
    IncidentAlerts(connection, refresh.monitor, rule, refresh.texts, refresh.at).add_changes(changes)
    return {part.id for item in planned for part in item.parts}


def _planned(summaries: Iterable[IncidentSummary], existing: Iterable[_Existing]) -> list[_Planned]:
    """Return what each summary is made of; an existing incident lives on in the first summary that overlaps it."""
    by_entity: dict[str | None, list[_Existing]] = {}
    for incident in existing:
        by_entity.setdefault(incident.summary.entity, []).append(incident)
    taken_ids: set[int] = set()
    planned = []
    for summary in summaries:
        overlapping = [part for part in by_entity.get(summary.entity, ()) if part.summary.overlaps(summary)]
        parts = sorted((part for part in overlapping if part.id not in taken_ids), key=attrgetter("id"))
        taken_ids |= {part.id for part in parts}
        planned.append(_Planned(summary, tuple(parts), tuple(part.id for part in overlapping)))
    return planned


def _write_incidents(connection: Connection, refresh: _Refresh, planned: Sequence[_Planned]) -> list[int]:
    """Write incidents and return their ids; of the incidents that one consists of, the oldest keeps its id."""
    new = {"monitor": refresh.monitor, "opened_at": refresh.at}
    rows = [item.row | new | {"updated_at": refresh.at} for item in planned if not item.parts]
    new_ids = iter(insert_all_numbered(connection, incidents, rows))
    for item in planned:
        if item.parts:
            incident_id, *merged_ids = (part.id for part in item.parts)
            change = item.row | {"updated_at": refresh.at}
            connection.execute(update(incidents).where(incidents.c.id == incident_id).values(change))
            _merge(connection, refresh, merged_ids, incident_id)
    return [item.parts[0].id if item.parts else next(new_ids) for item in planned]


def _merge(connection: Connection, refresh: _Refresh, merged_ids: Sequence[int], into: int) -> None:
    c = incidents.c
    change = {"state": "merged", "merged_into": into, "updated_at": refresh.at}
    for ids in chunks(merged_ids):
        is_merged = or_(c.id.in_(ids), c.merged_into.in_(ids))
        connection.execute(update(incidents).where(is_merged).values(change))
        withdraw_incident_alerts(connection, ids)


def _assign_rows(connection: Connection, refresh: _Refresh, numbered: Sequence[tuple[int, _Planned]]) -> None:
    """Assign the current rows of summaries to their incidents.

    As an incident may be long, only changed rows and rows of the overlapping incidents are looked at.
    """
    portions = [
        {
            "into": incident_id,
            "of": item.summary.entity,
            "first": max(item.summary.start_time, refresh.first),
            "last": min(item.summary.end_time, refresh.last),
        }
        for incident_id, item in numbered
    ]
    of_entities = [portion for portion in portions if portion["of"] is not None]
    of_none = [portion for portion in portions if portion["of"] is None]
    c = anomalies.c
    is_changed = _is_within(bindparam("first"), bindparam("last"))
    for is_of_entity, group in ((c.entity == bindparam("of"), of_entities), (c.entity.is_(None), of_none)):
        if group:
            connection.execute(_assignment(refresh, bindparam("into"), is_changed, is_of_entity), group)
    for incident_id, item in numbered:
        _assign_rows_of_others(connection, refresh, item, incident_id)


def _assign_rows_of_others(connection: Connection, refresh: _Refresh, item: _Planned, incident_id: int) -> None:
    """Assign the rows that a summary takes over from incidents that it overlaps."""
    c, summary = anomalies.c, item.summary
    is_inside = and_(c.entity == summary.entity, _is_within(summary.start_time, summary.end_time))
    for ids in chunks(other for other in item.overlapping_ids if other != incident_id):
        connection.execute(_assignment(refresh, incident_id, c.incident_id.in_(ids), is_inside))


def _assignment(refresh: _Refresh, incident_id: Any, *conditions: ColumnElement[bool]) -> Update:
    """Return the update that assigns the current rows of some conditions to an incident."""
    c = anomalies.c
    is_unassigned = or_(c.incident_id.is_(None), c.incident_id != incident_id)
    is_assigned = and_(c.monitor == refresh.monitor, *conditions, is_unassigned, _counts())
    return update(anomalies).where(is_assigned).values(incident_id=incident_id)


def _withdraw(connection: Connection, refresh: _Refresh, incident_ids: Sequence[int]) -> None:
    """Withdraw the incidents that no longer hold a flagged row."""
    change = update(incidents).values(state="withdrawn", updated_at=refresh.at)
    for ids in chunks(incident_ids):
        connection.execute(change.where(incidents.c.id.in_(ids)))
        withdraw_incident_alerts(connection, ids)
