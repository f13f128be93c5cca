"""What operators do on the page of an incident, apart from labels: acknowledge, assign and comment it."""

from typing import get_args

from fastapi import APIRouter, HTTPException, Response

from jobs.api.dependencies import CallerOf, Service
from jobs.api.pages.forms import Form
from jobs.api.pages.rendering import PageRoute, address, back_to
from jobs.api.pages.shown import ShownIncident
from jobs.store import NewNote
from jobs.store.incident_notes import NoteKind

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.post("/page/incidents/{incident_id}/notes")
def add_note(incident: ShownIncident, form: Form, service: Service, caller: CallerOf) -> Response:
    """Acknowledge, assign or comment an incident."""
    kind = form.get("kind", "")
    if kind not in get_args(NoteKind):
        raise HTTPException(422, "The form has no valid kind of note. Use the buttons of the page.")
    assignee, text = form.get("assignee", "").strip(), form.get("text", "").strip()
    note = NewNote(kind, assignee or None, text or None)  # type: ignore[arg-type]  # checked above
    service.store.incident_notes.add(incident.id, note, service.clock(), caller.name)
    return back_to(address("incidents", incident.id))
