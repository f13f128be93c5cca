"""Incidents: read by page, labelled by people, and ended when they are quiet."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import eq, ge, lt
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, Connection, Engine, RowMapping, and_, exists, select, update

from jobs.databases import reading, writing
from jobs.store.alert_rule import IncidentRule
from jobs.store.alerts import AlertTexts
from jobs.store.anomalies import label_records, lock_monitors_of, refuse_unknown_label
from jobs.store.audit import SERVICE, Act, record_act
from jobs.store.chunks import chunks
from jobs.store.incident_alerts import IncidentAlerts, NumberedIncident
from jobs.store.incident_summary import IncidentSummary
from jobs.store.locking import lock_monitor
from jobs.store.paging import Filter, columns_of, count_rows, is_among, read_page, without_index
from schemas.errors import UsageError
from schemas.tables import anomalies, incidents

CURRENT_STATES = ("open", "ended")
LONGEST_PAUSE_GAPS = 4  # by time, of an incident that goes on by its scores; its source may have stopped
SUMMARY_COLUMNS = [column.name for column in columns_of(incidents, IncidentSummary)]

GoesOn: TypeAlias = Callable[[Collection[str | None]], Mapping[str | None, bool]]
"""Returns for entities whether their last incident goes on by its scores; unknown ones are left out."""


def _unknown(_entities: Collection[str | None]) -> Mapping[str | None, bool]:
    return {}


@dataclass(frozen=True)
class IncidentQuery:
    """A filter of incidents; a field that is None does not restrict.

    The next page has `before_id` set to the last id of this one.
    """

    monitor: str | None = None
    state: str | None = None
    entity: str | None = None
    label: str | None = None
    """Only incidents that hold a record with this label."""
    since: datetime | None = None
    """The earliest end."""
    until: datetime | None = None
    """The latest start, exclusive."""
    is_current: bool | None = True
    """Whether it is neither merged into another incident nor withdrawn; None for both kinds. Ignored with `state`."""
    limit: int = 50
    before_id: int | None = None
    monitors: Collection[str] | None = None
    """Only these; None for all."""


@dataclass(frozen=True)
class StoredIncident:
    """Flagged records of one entity that are close in time."""

    id: int
    monitor: str
    entity: str | None
    state: str
    start_time: datetime
    end_time: datetime
    peak_time: datetime
    peak_score: float
    peak_severity: float
    records: int
    top_feature: str | None
    causes: Sequence[Mapping[str, Any]]
    """The largest share of each feature, with its value, expected value and time; largest first."""
    is_muted: bool
    """Whether every record lies in a maintenance window."""
    held_back: str | None
    """Why no channel is alerted: maintenance, rules, label, severity, records, consecutive or age; else None."""
    suppressed_by: int | None
    """The anomaly labelled false_positive that it resembles."""
    raised_by: int | None
    """The confirmed anomaly that it resembles, because of which severity and number of records hold it back no more."""
    merged_into: int | None
    opened_at: datetime
    updated_at: datetime


class Incidents:
    """The incidents of every monitor.

    Args:
        engine: of the store's database.
        texts: write the texts of alerts.
    """

    def __init__(self, engine: Engine, texts: AlertTexts) -> None:
        self.engine = engine
        self._texts = texts

    def page(self, query: IncidentQuery) -> list[StoredIncident]:
        """Return a page of incidents, newest first."""
        time = incidents.c.end_time if query.since is not None else None
        if query.until is not None:
            time = incidents.c.start_time
        return read_page(self.engine, incidents, StoredIncident, query, _filters(query), time)

    def count(self, query: IncidentQuery) -> int:
        """Return the number of incidents that a query selects, on all of its pages."""
        return count_rows(self.engine, incidents, _filters(query))

    def get(self, incident_id: int) -> StoredIncident:
        """Return one incident.

        Raises:
            UsageError: If there is no such incident.
        """
        statement = select(*columns_of(incidents, StoredIncident)).where(incidents.c.id == incident_id)
        with reading(self.engine) as connection:
            row = connection.execute(statement).mappings().first()
        if row is None:
            raise no_incident(incident_id)
        return StoredIncident(**row)

    def label(self, incident_id: int, label: str, at: datetime, actor: str = SERVICE) -> int:
        """Label every flagged record of an incident, and return their number.

        Raises:
            UsageError: If there is no such incident or label, or the incident no longer holds a record.
        """
        return self.label_all([incident_id], label, at, actor)

    def label_all(self, incident_ids: Collection[int], label: str, at: datetime, actor: str = SERVICE) -> int:
        """Label every flagged record of incidents, all of them or none, and return their number.

        A label that every record has already changes nothing.

        Raises:
            UsageError: As `label`, for the first incident that cannot be labelled; nothing is labelled then.
        """
        refuse_unknown_label(label)
        ids, labelled = sorted(set(incident_ids)), 0
        with writing(self.engine) as connection:
            lock_monitors_of(connection, [anomalies.c.incident_id.in_(portion) for portion in chunks(ids)])
            for incident_id in ids:
                records = label_records(connection, anomalies.c.incident_id == incident_id, label, at)
                if records.selected == 0:
                    raise _nothing_to_label(self.get(incident_id))
                labelled += records.selected
                if records.changed == 0:
                    continue
                monitor = connection.scalar(select(incidents.c.monitor).where(incidents.c.id == incident_id))
                detail = {"label": label, "records": records.selected}
                record_act(connection, Act(actor, "label", f"incident {incident_id}", monitor, detail), at)
        return labelled

    def follow_up(
        self,
        monitor: str,
        rule: IncidentRule,
        at: datetime,
        goes_on: GoesOn = _unknown,
        started_at: datetime | None = None,
    ) -> int:
        """End the open incidents that are over, and alert it; send reminders of the others.

        An incident that follows the scores is over once they have calmed down, or is quiet for `LONGEST_PAUSE_GAPS`;
        any other one once it is quiet for the gap of the rule.

        Args:
            monitor: its name.
            rule: of its incidents.
            at: the time now.
            goes_on: returns which incidents go on by their scores.
            started_at: the start of the run: an incident that is open since an earlier one went on until now.

        Returns:
            The number of incidents that have ended.
        """
        c = incidents.c
        is_open = and_(c.monitor == monitor, c.state == "open")
        with reading(self.engine) as connection:
            if connection.execute(select(c.id).where(is_open).limit(1)).first() is None:
                return 0
            following = _following(connection, is_open) if rule.follows_scores else []
        by_scores = _by_scores(following, goes_on({row["entity"] for row in following}) if following else {})
        with writing(self.engine) as connection:
            lock_monitor(connection, monitor)
            incident_alerts = IncidentAlerts(connection, monitor, rule.alerts, self._texts, at)
            ended, still_open = _split_by_end(connection, is_open, _Calm(at, rule.gap, by_scores, rule.follows_scores))
            for ids in chunks([incident_id for incident_id, _ in ended]):
                connection.execute(update(incidents).where(c.id.in_(ids)).values(state="ended"))
            incident_alerts.add_ends(ended, rule.gap, started_at)
            incident_alerts.add_reminders(still_open)
        return len(ended)


def summary_of_row(row: RowMapping) -> IncidentSummary:
    """Return the summary that a row of incidents holds."""
    return IncidentSummary(**{name: row[name] for name in SUMMARY_COLUMNS})


@dataclass(frozen=True)
class _Calm:
    """Which incidents are over.

    Attributes:
        at: the time now.
        gap: the longest pause inside an incident that goes by time alone.
        goes_on: whether incidents go on by their scores, None if that is unknown, by id and last change.
        follows_scores: whether that counts.
    """

    at: datetime
    gap: timedelta
    goes_on: Mapping[tuple[int, datetime], bool | None]
    follows_scores: bool

    def ends(self, row: RowMapping) -> bool:
        """Return whether the incident of a row is over; the next run decides about what another worker has changed."""
        change = (row["id"], row["updated_at"])
        by_scores = self.follows_scores and row["began_at"] is not None
        if by_scores and change not in self.goes_on:
            return False
        goes_on = self.goes_on[change] if by_scores else None
        if goes_on is None:
            return bool(row["end_time"] < self.at - self.gap)
        return not goes_on or row["end_time"] < self.at - LONGEST_PAUSE_GAPS * self.gap


def _following(connection: Connection, condition: ColumnElement[bool]) -> list[RowMapping]:
    """Return those of some incidents that follow the scores, in order of their ends."""
    c = incidents.c
    rows = select(c.id, c.entity, c.updated_at).where(condition, c.began_at.is_not(None)).order_by(c.end_time, c.id)
    return list(connection.execute(rows).mappings())


def _by_scores(
    following: Sequence[RowMapping], goes_on: Mapping[str | None, bool]
) -> dict[tuple[int, datetime], bool | None]:
    """Return whether incidents go on by their scores, None if that is unknown, by id and last change.

    The scores are about the last incident of an entity: an earlier one is over.
    """
    last = {row["entity"]: row["id"] for row in following}
    known: dict[tuple[int, datetime], bool | None] = {}
    for row in following:
        by_entity = goes_on.get(row["entity"])
        known[row["id"], row["updated_at"]] = by_entity and last[row["entity"]] == row["id"]
    return known


def _split_by_end(
    connection: Connection, condition: ColumnElement[bool], calm: _Calm
) -> tuple[list[NumberedIncident], list[NumberedIncident]]:
    """Return id and summary of incidents: those that are over, and the others."""
    ended: list[NumberedIncident] = []
    others: list[NumberedIncident] = []
    for row in connection.execute(select(incidents).where(condition).order_by(incidents.c.id)).mappings():
        (ended if calm.ends(row) else others).append((row["id"], summary_of_row(row)))
    return ended, others


def _filters(query: IncidentQuery) -> tuple[Filter, ...]:
    c = incidents.c
    is_timed = query.since is not None or query.until is not None
    monitor = c.monitor if query.entity is None or is_timed else without_index(c.monitor)
    return (
        (monitor, eq, query.monitor),
        (monitor, is_among, query.monitors),
        (c.state, eq, query.state),
        (c.entity, eq, query.entity),
        (c.end_time, ge, query.since),
        (c.start_time, lt, query.until),
        (c.state.in_(CURRENT_STATES), eq, query.is_current if query.state is None else None),
        (c.id, _holds_label, query.label),
    )


def _holds_label(incident_id: ColumnElement[int], label: str) -> ColumnElement[bool]:
    """Return the condition that an incident holds a record with a label."""
    return exists().where(anomalies.c.incident_id == incident_id, anomalies.c.label == label)


def no_incident(incident_id: int) -> UsageError:
    """Return the error for an incident that does not exist, or that a caller may not see."""
    return UsageError(f"There is no incident {incident_id}. List them with: plumbline incidents list")


def _nothing_to_label(incident: StoredIncident) -> UsageError:
    if incident.merged_into is not None:
        msg = f"Incident {incident.id} was merged into incident {incident.merged_into}. Label that incident."
        return UsageError(msg)
    msg = f"Incident {incident.id} is {incident.state} and no longer holds a flagged record. There is nothing to label."
    return UsageError(msg)
