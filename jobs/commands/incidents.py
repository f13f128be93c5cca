"""The commands `incidents list`, `show`, `label`, `ack`, `assign` and `comment`."""

from typing import TYPE_CHECKING, Any

import click

from jobs.commands.anomalies import CAUSE_COLUMNS, cause_cells, ids_or_id, incidents_sentence, print_anomalies
from jobs.commands.options import Moment, any_monitor_argument, row_id, user_name, with_app
from jobs.wording import duration, share_of
from schemas.labels import LABELS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from jobs.app import App
    from jobs.output import Output
    from jobs.store import NewNote, StoredIncident

_STATES = ("open", "ended", "merged", "withdrawn")
_MAX_RECORDS_SHOWN = 20


@click.group("incidents")
def incidents_command() -> None:
    """Flagged records close in time: list, show, label, acknowledge, assign, comment."""


@incidents_command.command("list")
@any_monitor_argument
@click.option("--state", type=click.Choice(_STATES), help="Only incidents in this state [default: open and ended].")
@click.option("--label", type=click.Choice(LABELS), help="Only incidents with a record that has this label.")
@click.option("--entity", help="Only incidents of this entity.")
@click.option(
    "--since", type=Moment(), help="Only incidents that end at this time or later: 2026-03-01, 1h, yesterday (UTC)."
)
@click.option("--until", type=Moment(), help="Only incidents that start before this time (UTC).")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="Maximum number of rows.")
@click.option("--before", "before_id", type=row_id, help="Only ids below this one, to get the next page.")
@with_app
def list_command(app: "App", out: "Output", monitor: str | None, **filters: Any) -> None:
    """List incidents, newest first."""
    from jobs.store import IncidentQuery

    if monitor:
        app.config.monitor(monitor)
    query = IncidentQuery(monitor=monitor, **filters)
    incidents, total = app.store.incidents.page(query), app.store.incidents.count(query)

    def describe() -> None:
        if not incidents:
            out.line("No matching incidents. To score new records: plumbline score MONITOR")
            return
        _print_incidents(out, incidents, with_monitor=monitor is None and len(app.config.monitors) > 1)
        out.line(share_of(len(incidents), total, "incident"))

    out.result(incidents, describe)


def _print_incidents(out: "Output", incidents: "Sequence[StoredIncident]", *, with_monitor: bool) -> None:
    columns = ["id", "monitor", "entity", "state", "from", "lasts", "records", "severity"]
    rows = []
    for row in incidents:
        incident = (str(row.id), row.monitor if with_monitor else None, row.entity, row.state)
        numbers = (row.records, round(row.peak_severity))
        rows.append((*incident, row.start_time, _length(row), *numbers, *cause_cells(row.causes)))
    out.table([*columns, *CAUSE_COLUMNS], rows)


def _length(row: "StoredIncident") -> str | None:
    """Return how long an incident lasts; None if its records have one time."""
    return duration((row.end_time - row.start_time).total_seconds()) if row.end_time > row.start_time else None


@incidents_command.command("show")
@click.argument("incident_id", metavar="ID", type=row_id)
@with_app
def show_command(app: "App", out: "Output", incident_id: int) -> None:
    """Show one incident with its causes and its newest flagged records."""
    from dataclasses import asdict

    from jobs.store import AnomalyQuery

    row = app.store.incidents.get(incident_id)
    newest = app.store.anomalies.page(AnomalyQuery(incident_id=incident_id, limit=_MAX_RECORDS_SHOWN))
    notes = app.store.incident_notes.of(incident_id)

    def describe() -> None:
        _describe(out, row)
        if notes:
            rows = [(note.at, note.actor, note.kind, note.assignee, note.text) for note in notes]
            out.table(["at", "by", "what", "assigned to", "text"], rows, "Notes")
        if newest:
            print_anomalies(out, newest, with_monitor=False)

    out.result(asdict(row) | {"newest_anomalies": newest, "notes": notes}, describe)


def _describe(out: "Output", row: "StoredIncident") -> None:
    out.line(f"Incident {row.id} of monitor {row.monitor!r}: {row.state}")
    out.facts(
        {
            "entity": row.entity,
            "from": row.start_time,
            "to": row.end_time,
            "flagged records": row.records,
            "peak at": row.peak_time,
            "peak anomaly score": row.peak_score,
            "severity (0-100)": row.peak_severity,
            "in maintenance": row.is_muted,
            "alerts held back by": row.held_back,
            "resembles": _resembled(row),
            "merged into": None if row.merged_into is None else str(row.merged_into),
            "opened": row.opened_at,
            "updated": row.updated_at,
        }
    )
    causes = [(*cause_cells([c]), c["deviation"], c["share"], _time(c["time"])) for c in row.causes]
    out.table(["feature", "value", "expected", "deviation (sd)", "share or evidence", "at"], causes, "Causes")


def _resembled(row: "StoredIncident") -> str | None:
    labelled = {row.suppressed_by: "false_positive", row.raised_by: "confirmed"}
    return next((f"anomaly {number}, labelled {label}" for number, label in labelled.items() if number), None)


def _time(text: str) -> "datetime":
    from datetime import datetime

    return datetime.fromisoformat(text)


@incidents_command.command("label")
@click.argument("incident_ids", metavar="ID...", nargs=-1, type=row_id, required=True)
@click.argument("label", type=click.Choice(LABELS))
@with_app
def label_command(app: "App", out: "Output", incident_ids: tuple[int, ...], label: str) -> None:
    """Label every flagged record of incidents; the next batch and the next training use the labels."""
    records = app.store.incidents.label_all(incident_ids, label, app.clock(), user_name())
    result = ids_or_id(incident_ids) | {"label": label, "records": records}
    out.result(result, lambda: out.line(incidents_sentence(incident_ids, label, records)))


@incidents_command.command("ack")
@click.argument("incident_id", metavar="ID", type=row_id)
@with_app
def ack_command(app: "App", out: "Output", incident_id: int) -> None:
    """Acknowledge an incident, so that nobody is reminded of it."""
    from jobs.store import NewNote

    _add_note(app, out, incident_id, NewNote("acknowledge"))


@incidents_command.command("assign")
@click.argument("incident_id", metavar="ID", type=row_id)
@click.argument("name", metavar="[NAME]", required=False)
@with_app
def assign_command(app: "App", out: "Output", incident_id: int, name: str | None) -> None:
    """Assign an incident to a person; without a name, to nobody."""
    from jobs.store import NewNote

    _add_note(app, out, incident_id, NewNote("assign", name))


@incidents_command.command("comment")
@click.argument("incident_id", metavar="ID", type=row_id)
@click.argument("text", metavar="TEXT")
@with_app
def comment_command(app: "App", out: "Output", incident_id: int, text: str) -> None:
    """Comment an incident."""
    from jobs.store import NewNote

    _add_note(app, out, incident_id, NewNote("comment", text=text))


_DONE = {"acknowledge": "is acknowledged", "comment": "has the comment"}


def _add_note(app: "App", out: "Output", incident_id: int, note: "NewNote") -> None:
    note_id = app.store.incident_notes.add(incident_id, note, app.clock(), user_name())
    done = _DONE.get(note.kind) or f"is assigned to {note.assignee or 'nobody'}"
    result = {"id": note_id, "incident": incident_id, **vars(note)}
    out.result(result, lambda: out.line(f"Incident {incident_id} {done}."))
