"""Routes of incidents: list, show, label, acknowledge, assign, comment."""

from typing import Annotated, Literal

from fastapi import APIRouter, HTTPException, Path, Query
from pydantic import BaseModel, Discriminator, Field, StringConstraints

from jobs.api.anomalies import Judgement
from jobs.api.dependencies import WRITES, CallerOf, Service
from jobs.api.paging import Page, Paging, page
from jobs.api.parameters import Body, Id, Text, Time
from jobs.api.problems import documented
from jobs.store import IncidentNote, IncidentQuery, NewNote, StoredIncident
from jobs.store.incident_notes import MAX_ASSIGNEE, MAX_COMMENT
from jobs.store.incidents import no_incident
from schemas.errors import UsageError
from schemas.labels import Label

router = APIRouter()
_Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, pattern=r"^[^\x00]*$")]


class IncidentFilter(Paging):
    """The filters of a list of incidents."""

    monitor: Text | None = None
    """Only incidents of this monitor."""
    entity: Text | None = None
    """Only incidents of this entity."""
    state: Literal["open", "ended", "merged", "withdrawn"] | None = None
    """Only incidents in this state."""
    label: Label | None = None
    """Only incidents with a record that has this label."""
    since: Time | None = None
    """Only incidents that end at this time or later."""
    until: Time | None = None
    """Only incidents that start before this time."""
    current: bool = True
    """Exclude incidents that were merged into others or withdrawn."""


class Acknowledgement(Body):
    """A person takes note of the incident, so that nobody is reminded of it."""

    kind: Literal["acknowledge"]


class Assignment(Body):
    """The incident becomes the task of a person."""

    kind: Literal["assign"]
    assignee: Annotated[_Words, Field(max_length=MAX_ASSIGNEE)] | None
    """Null takes it from everybody."""


class Comment(Body):
    """A comment on the incident."""

    kind: Literal["comment"]
    text: Annotated[_Words, Field(max_length=MAX_COMMENT)]


SentNote = Annotated[Acknowledgement | Assignment | Comment, Discriminator("kind")]


class LabelledIncident(BaseModel):
    """An incident whose flagged records were labelled."""

    id: int
    label: Label
    records: int = Field(description="Number of labelled records.")


@router.get("/incidents", responses=documented(422))
def list_incidents(
    filters: Annotated[IncidentFilter, Query()], service: Service, caller: CallerOf
) -> Page[StoredIncident]:
    """List incidents, newest first: anomalies of one entity that are close in time."""
    query = IncidentQuery(
        monitor=filters.monitor,
        monitors=caller.monitors,
        entity=filters.entity,
        state=filters.state,
        label=filters.label,
        since=filters.since,
        until=filters.until,
        is_current=True if filters.current else None,
        limit=filters.limit,
        before_id=filters.before,
    )
    return Page[StoredIncident](**page(service.store.incidents.page(query), filters.limit))


@router.get("/incidents/{incident_id}", responses=documented(404, 422))
def show_incident(incident_id: Annotated[Id, Path()], service: Service, caller: CallerOf) -> StoredIncident:
    """Show one incident."""
    incident = service.store.incidents.get(incident_id)
    if not caller.sees(incident.monitor):
        raise no_incident(incident_id)
    return incident


@router.post(
    "/incidents/{incident_id}/label",
    dependencies=WRITES,
    responses=documented(400, 403, 404, 408, 409, 413, 415, 422),
)
def label_incident(
    incident_id: Annotated[Id, Path()], judgement: Judgement, service: Service, caller: CallerOf
) -> LabelledIncident:
    """Label every anomaly of an incident."""
    show_incident(incident_id, service, caller)
    try:
        records = service.store.incidents.label(incident_id, judgement.label, service.clock(), caller.name)
    except UsageError as exc:  # the incident exists, but is empty
        raise HTTPException(409, str(exc)) from exc
    return LabelledIncident(id=incident_id, label=judgement.label, records=records)


@router.get("/incidents/{incident_id}/notes", responses=documented(404, 422))
def list_notes(incident_id: Annotated[Id, Path()], service: Service, caller: CallerOf) -> list[IncidentNote]:
    """List who acknowledged, assigned and commented an incident, oldest first."""
    show_incident(incident_id, service, caller)
    return service.store.incident_notes.of(incident_id)


@router.post(
    "/incidents/{incident_id}/notes",
    dependencies=WRITES,
    responses=documented(400, 403, 404, 408, 413, 415, 422),
)
def add_note(
    incident_id: Annotated[Id, Path()], note: SentNote, service: Service, caller: CallerOf
) -> list[IncidentNote]:
    """Acknowledge, assign or comment an incident; the response is as of `GET`."""
    show_incident(incident_id, service, caller)
    new = NewNote(note.kind, getattr(note, "assignee", None), getattr(note, "text", None))
    service.store.incident_notes.add(incident_id, new, service.clock(), caller.name)
    return service.store.incident_notes.of(incident_id)
