"""Incidents in the store: paged for people and programs, labelled by people, ended by the clock."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from operator import eq, ge, lt
from typing import Any

from sqlalchemy import ColumnElement, Engine, Select, exists, select, update

from jobs.databases import reading, writing
from jobs.store.anomalies import label_records, refuse_unknown_label
from schemas.errors import UsageError
from schemas.tables import anomalies, incidents

_STANDING = ("open", "ended")


@dataclass(frozen=True)
class IncidentQuery:
    """Which incidents are asked for; a part that is None does not restrict.

    A page is followed by the next with `before_id` set to the last id seen.
    """

    monitor: str | None = None
    state: str | None = None
    entity: str | None = None
    label: str | None = None
    """Only those that hold a record labelled so."""
    since: datetime | None = None
    """Incidents that end then or later."""
    until: datetime | None = None
    """Incidents that start before this."""
    is_current: bool | None = True
    """Whether it still stands on its own: neither merged into another nor withdrawn; both kinds where None.
    A state that is asked for decides alone."""
    limit: int = 50
    before_id: int | None = None


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
    """The largest share of each feature, with its value, the expected one and its time; largest first."""
    is_muted: bool
    """Whether every record lies in a maintenance window."""
    merged_into: int | None
    opened_at: datetime
    updated_at: datetime


_STORED = [incidents.c[field.name] for field in fields(StoredIncident)]


class Incidents:
    """The incidents of every monitor.

    Args:
        engine: the store's.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def page(self, query: IncidentQuery) -> list[StoredIncident]:
        """A page of incidents, newest first."""
        with reading(self.engine) as connection:
            return [StoredIncident(**row) for row in connection.execute(_page(query)).mappings()]

    def get(self, incident_id: int) -> StoredIncident:
        """One incident."""
        with reading(self.engine) as connection:
            row = connection.execute(select(*_STORED).where(incidents.c.id == incident_id)).mappings().first()
        if row is None:
            raise _no_incident(incident_id)
        return StoredIncident(**row)

    def label(self, incident_id: int, label: str, at: datetime) -> int:
        """Record what a person made of an incident, on each of its flagged records; how many those are.

        Raises:
            UsageError: where there is no such incident, it holds no record any more, or the label is none.
        """
        refuse_unknown_label(label)
        with writing(self.engine) as connection:
            labelled = label_records(connection, anomalies.c.incident_id == incident_id, label, at)
        if labelled == 0:
            raise _unlabelled(self.get(incident_id))
        return labelled

    def end_quiet(self, monitor: str, before: datetime) -> int:
        """End the open incidents whose last record is older than this; how many those are."""
        c = incidents.c
        is_over = (c.monitor == monitor, c.state == "open", c.end_time < before)
        with writing(self.engine) as connection:
            return connection.execute(update(incidents).where(*is_over).values(state="ended")).rowcount


def _page(query: IncidentQuery) -> Select[Any]:
    c = incidents.c
    conditions = (
        (c.monitor, eq, query.monitor),
        (c.state, eq, query.state),
        (c.entity, eq, query.entity),
        (c.end_time, ge, query.since),
        (c.start_time, lt, query.until),
        (c.state.in_(_STANDING), eq, query.is_current if query.state is None else None),
        (c.id, lt, query.before_id),
    )
    asked = [compare(column, value) for column, compare, value in conditions if value is not None]
    asked += [] if query.label is None else [_holds(query.label)]
    return select(*_STORED).where(*asked).order_by(c.id.desc()).limit(query.limit)


def _holds(label: str) -> ColumnElement[bool]:
    """Whether an incident holds a record that is labelled so."""
    return exists().where(anomalies.c.incident_id == incidents.c.id, anomalies.c.label == label)


def _no_incident(incident_id: int) -> UsageError:
    return UsageError(f"There is no incident {incident_id}. List them with: plumbline incidents list")


def _unlabelled(incident: StoredIncident) -> UsageError:
    if incident.merged_into is not None:
        msg = f"Incident {incident.id} was merged into incident {incident.merged_into}. Label that one."
        return UsageError(msg)
    msg = f"Incident {incident.id} is {incident.state} and holds no flagged record any more. There is nothing to label."
    return UsageError(msg)
