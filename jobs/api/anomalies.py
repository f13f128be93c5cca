"""What was found: anomalies, incidents and events, and what people make of them."""

from typing import Annotated, Literal

from fastapi import APIRouter, HTTPException, Path, Query
from pydantic import BaseModel, Field

from jobs.api.common import CHANGES, Body, Id, Page, Paging, Service, Text, Time, page
from jobs.api.problems import documented
from jobs.store import AnomalyQuery, EventQuery, IncidentQuery, StoredAnomaly, StoredEvent, StoredIncident
from jobs.store.events import EventKind
from schemas.errors import UsageError
from schemas.labels import Label

router = APIRouter()


class AnomalyFilter(Paging):
    """Which anomalies are asked for."""

    monitor: Text | None = None
    """Only those of this monitor."""
    entity: Text | None = None
    """Only those of this entity."""
    label: Label | None = None
    """Only those labelled so."""
    incident: Id | None = None
    """Only those of this incident."""
    since: Time | None = None
    """Record times from this one on."""
    until: Time | None = None
    """Record times before this one."""
    current: bool = True
    """Leave out those that a later scoring of their record no longer flagged."""


class IncidentFilter(Paging):
    """Which incidents are asked for."""

    monitor: Text | None = None
    """Only those of this monitor."""
    entity: Text | None = None
    """Only those of this entity."""
    state: Literal["open", "ended", "merged", "withdrawn"] | None = None
    """Only those in this state."""
    label: Label | None = None
    """Only those that hold a record labelled so."""
    since: Time | None = None
    """Those that end then or later."""
    until: Time | None = None
    """Those that start before this time."""
    current: bool = True
    """Leave out those that were merged into others, or withdrawn."""


class LabelledIncident(BaseModel):
    """An incident whose flagged records were labelled."""

    id: int
    label: Label
    records: int = Field(description="How many records were labelled.")


class EventFilter(Paging):
    """Which events are asked for."""

    monitor: Text | None = None
    """Only those of this monitor."""
    kind: EventKind | None = None
    """Only those of this kind."""
    since: Time | None = None
    """Noticed from this time on."""
    until: Time | None = None
    """Noticed before this time."""


class Judgement(Body):
    """What something turned out to be."""

    label: Label
    """open takes an earlier label back."""


@router.get("/anomalies", responses=documented(422))
def list_anomalies(asked: Annotated[AnomalyFilter, Query()], service: Service) -> Page[StoredAnomaly]:
    """Anomalies, newest first."""
    query = AnomalyQuery(
        monitor=asked.monitor,
        label=asked.label,
        entity=asked.entity,
        since=asked.since,
        until=asked.until,
        incident_id=asked.incident,
        is_current=True if asked.current else None,
        limit=asked.limit,
        before_id=asked.before,
    )
    return Page[StoredAnomaly](**page(service.store.anomalies.page(query), asked.limit))


@router.get("/anomalies/{anomaly_id}", responses=documented(404, 422))
def show_anomaly(anomaly_id: Annotated[Id, Path()], service: Service) -> StoredAnomaly:
    """One anomaly with its causes."""
    return service.store.anomalies.get(anomaly_id)


@router.post(
    "/anomalies/{anomaly_id}/label",
    dependencies=CHANGES,
    responses=documented(400, 403, 404, 408, 413, 415, 422),
)
def label_anomaly(anomaly_id: Annotated[Id, Path()], judgement: Judgement, service: Service) -> StoredAnomaly:
    """Say what an anomaly turned out to be; the next training and comparison heed it."""
    service.store.anomalies.label(anomaly_id, judgement.label, service.clock())
    return service.store.anomalies.get(anomaly_id)


@router.get("/incidents", responses=documented(422))
def list_incidents(asked: Annotated[IncidentFilter, Query()], service: Service) -> Page[StoredIncident]:
    """Incidents, newest first: anomalies of an entity that are close in time."""
    query = IncidentQuery(
        monitor=asked.monitor,
        entity=asked.entity,
        state=asked.state,
        label=asked.label,
        since=asked.since,
        until=asked.until,
        is_current=True if asked.current else None,
        limit=asked.limit,
        before_id=asked.before,
    )
    return Page[StoredIncident](**page(service.store.incidents.page(query), asked.limit))


@router.get("/incidents/{incident_id}", responses=documented(404, 422))
def show_incident(incident_id: Annotated[Id, Path()], service: Service) -> StoredIncident:
    """One incident."""
    return service.store.incidents.get(incident_id)


@router.post(
    "/incidents/{incident_id}/label",
    dependencies=CHANGES,
    responses=documented(400, 403, 404, 408, 409, 413, 415, 422),
)
def label_incident(incident_id: Annotated[Id, Path()], judgement: Judgement, service: Service) -> LabelledIncident:
    """Say what an incident turned out to be: each of its anomalies gets the label."""
    service.store.incidents.get(incident_id)
    try:
        records = service.store.incidents.label(incident_id, judgement.label, service.clock())
    except UsageError as exc:  # it is there, but holds nothing any more
        raise HTTPException(409, str(exc)) from exc
    return LabelledIncident(id=incident_id, label=judgement.label, records=records)


@router.get("/events", responses=documented(422))
def list_events(asked: Annotated[EventFilter, Query()], service: Service) -> Page[StoredEvent]:
    """What happened beside anomalies: gaps, late records, missed runs, drift, refused models; newest first."""
    query = EventQuery(
        monitor=asked.monitor,
        kind=asked.kind,
        since=asked.since,
        until=asked.until,
        limit=asked.limit,
        before_id=asked.before,
    )
    return Page[StoredEvent](**page(service.store.events.page(query), asked.limit))
