"""The commands `incidents list`, `show` and `label`."""

from typing import TYPE_CHECKING, Any

import click

from jobs.commands.anomalies import print_anomalies
from jobs.commands.options import Moment, row_id, with_app
from jobs.wording import cell, counted_noun
from schemas.labels import LABELS

if TYPE_CHECKING:
    from datetime import datetime

    from jobs.app import App
    from jobs.output import Output
    from jobs.store import StoredIncident

_STATES = ("open", "ended", "merged", "withdrawn")
_MAX_RECORDS_SHOWN = 20


@click.group("incidents")
def incidents_command() -> None:
    """Incidents, which group flagged records close in time: list, show, label."""


@incidents_command.command("list")
@click.argument("monitor", metavar="[MONITOR]", required=False)
@click.option("--state", type=click.Choice(_STATES), help="Only incidents in this state [default: open and ended].")
@click.option("--label", type=click.Choice(LABELS), help="Only incidents with a record that has this label.")
@click.option("--entity", help="Only incidents of this entity.")
@click.option("--since", type=Moment(), help="Only incidents that end at this time or later (UTC).")
@click.option("--until", type=Moment(), help="Only incidents that start before this time (UTC).")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="Maximum number of rows.")
@click.option("--before", "before_id", type=row_id, help="Only ids below this one, to get the next page.")
@with_app
def list_command(app: "App", out: "Output", monitor: str | None, **filters: Any) -> None:
    """List incidents, newest first."""
    from jobs.store import IncidentQuery

    if monitor:
        app.config.monitor(monitor)
    incidents = app.store.incidents.page(IncidentQuery(monitor=monitor, **filters))
    columns = ["id", "monitor", "entity", "state", "from", "to", "records", "severity", "cause", "value", "expected"]
    rows = []
    for row in incidents:
        cause = row.causes[0] if row.causes else {}
        main_cause = (cause.get("feature"), cell(cause.get("value")), cell(cause.get("expected")))
        incident = (str(row.id), row.monitor, row.entity, row.state, row.start_time, row.end_time)
        rows.append((*incident, row.records, round(row.peak_severity), *main_cause))
    hint = "No matching incidents. To score new records: plumbline score MONITOR"
    out.result(incidents, lambda: out.table(columns, rows) if rows else out.line(hint))


@incidents_command.command("show")
@click.argument("incident_id", metavar="ID", type=row_id)
@with_app
def show_command(app: "App", out: "Output", incident_id: int) -> None:
    """Show one incident with its causes and its newest flagged records."""
    from dataclasses import asdict

    from jobs.store import AnomalyQuery

    row = app.store.incidents.get(incident_id)
    newest = app.store.anomalies.page(AnomalyQuery(incident_id=incident_id, limit=_MAX_RECORDS_SHOWN))

    def describe() -> None:
        _describe(out, row)
        if newest:
            print_anomalies(out, newest)

    out.result(asdict(row) | {"newest_anomalies": newest}, describe)


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
            "merged into": None if row.merged_into is None else str(row.merged_into),
            "opened": row.opened_at,
            "updated": row.updated_at,
        }
    )
    causes = [
        (c["feature"], cell(c["value"]), cell(c["expected"]), c["deviation"], c["share"], _time(c["time"]))
        for c in row.causes
    ]
    out.table(["feature", "value", "expected", "deviation (sd)", "largest share", "at"], causes, "Causes")


def _time(text: str) -> "datetime":
    from datetime import datetime

    return datetime.fromisoformat(text)


@incidents_command.command("label")
@click.argument("incident_id", metavar="ID", type=row_id)
@click.argument("label", type=click.Choice(LABELS))
@with_app
def label_command(app: "App", out: "Output", incident_id: int, label: str) -> None:
    """Label every flagged record of an incident; the next training uses the labels."""
    records = app.store.incidents.label(incident_id, label, app.clock())
    sentence = f"Incident {incident_id} is labelled {label}: {counted_noun(records, 'record')}."
    out.result({"id": incident_id, "label": label, "records": records}, lambda: out.line(sentence))
