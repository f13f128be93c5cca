"""Notes of incidents: who acknowledged, assigned and commented them. Rows are only added."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

from sqlalchemy import Connection, Engine, or_, select

from jobs.databases import reading, writing
from jobs.store.alert_past import owners_of
from jobs.store.audit import Act, record_act
from jobs.store.chunks import chunks
from jobs.store.incidents import no_incident
from jobs.store.numbering import insert_numbered
from jobs.store.paging import columns_of
from schemas.errors import UsageError
from schemas.tables import incident_notes, incidents

NoteKind: TypeAlias = Literal["acknowledge", "assign", "comment"]
MAX_COMMENT = 2_000  # characters
MAX_ASSIGNEE = 128
MAX_NOTES_READ = 200


@dataclass(frozen=True)
class NewNote:
    """A note before it has a row."""

    kind: NoteKind
    assignee: str | None = None
    """Of an assignment; None takes the incident from everybody."""
    text: str | None = None


@dataclass(frozen=True)
class IncidentNote:
    """What a person did with an incident."""

    id: int
    incident_id: int
    at: datetime
    actor: str
    kind: NoteKind
    assignee: str | None
    text: str | None


@dataclass(frozen=True)
class Handling:
    """Who takes care of an incident, by its notes."""

    acknowledged_at: datetime | None = None
    acknowledged_by: str | None = None
    assignee: str | None = None


class IncidentNotes:
    """The notes of every incident.

    Args:
        engine: of the store's database.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def add(self, incident_id: int, note: NewNote, at: datetime, actor: str) -> int:
        """Add a note to an incident, and return its id.

        Raises:
            UsageError: If there is no such incident, or the note has no text or one that is too long.
        """
        _refuse_bad(note)
        with writing(self.engine) as connection:
            monitor = connection.scalar(select(incidents.c.monitor).where(incidents.c.id == incident_id))
            if monitor is None:
                raise no_incident(incident_id)
            row = {**vars(note), "incident_id": incident_id, "monitor": monitor, "at": at, "actor": actor}
            note_id = insert_numbered(connection, incident_notes, row)
            detail = {"assignee": note.assignee} if note.kind == "assign" else None
            record_act(connection, Act(actor, note.kind, f"incident {incident_id}", monitor, detail), at)
        return note_id

    def of(self, incident_id: int) -> list[IncidentNote]:
        """Return the newest notes of an incident and of those merged into it, oldest first."""
        c, i = incident_notes.c, incidents.c
        merged = select(i.id).where(i.merged_into == incident_id)
        is_about = or_(c.incident_id == incident_id, c.incident_id.in_(merged))
        newest = select(*columns_of(incident_notes, IncidentNote)).where(is_about).order_by(c.id.desc())
        with reading(self.engine) as connection:
            rows = connection.execute(newest.limit(MAX_NOTES_READ)).mappings().all()
        return [IncidentNote(**row) for row in reversed(rows)]

    def handling(self, incident_ids: Collection[int]) -> dict[int, Handling]:
        """Return who takes care of each incident that was acknowledged or assigned, itself or one merged into it."""
        by_incident: dict[int, list[IncidentNote]] = {}
        with reading(self.engine) as connection:
            for ids in chunks(sorted(set(incident_ids))):
                owner = owners_of(connection, ids)
                for note in _handling_notes(connection, owner):
                    by_incident.setdefault(owner[note.incident_id], []).append(note)
        return {incident_id: handling_of(notes) for incident_id, notes in by_incident.items()}


def _handling_notes(connection: Connection, incident_ids: Collection[int]) -> list[IncidentNote]:
    """Return the acknowledgements and assignments of incidents, oldest first."""
    c = incident_notes.c
    found: list[IncidentNote] = []
    for ids in chunks(sorted(incident_ids)):
        of_incidents = select(*columns_of(incident_notes, IncidentNote)).where(c.incident_id.in_(ids))
        found += (IncidentNote(**row) for row in connection.execute(of_incidents.where(c.kind != "comment")).mappings())
    return sorted(found, key=lambda note: note.id)


def handling_of(notes: Iterable[IncidentNote]) -> Handling:
    """Return who takes care of an incident, by its notes, oldest first."""
    acknowledged_at = acknowledged_by = assignee = None
    for note in notes:
        if note.kind == "acknowledge":
            acknowledged_at, acknowledged_by = note.at, note.actor
        elif note.kind == "assign":
            assignee = note.assignee
    return Handling(acknowledged_at, acknowledged_by, assignee)


def _refuse_bad(note: NewNote) -> None:
    if note.kind == "comment" and not (note.text or "").strip():
        raise UsageError("The comment is empty. Write a text.")
    if len(note.text or "") > MAX_COMMENT:
        msg = f"The comment has more than {MAX_COMMENT:,} characters. Shorten it."
        raise UsageError(msg)
    if len(note.assignee or "") > MAX_ASSIGNEE:
        msg = f"The name has more than {MAX_ASSIGNEE} characters. Shorten it."
        raise UsageError(msg)
