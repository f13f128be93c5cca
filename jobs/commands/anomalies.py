"""The commands `anomalies list`, `show` and `label`."""

from typing import TYPE_CHECKING, Any

import click

from jobs.commands.options import Moment, row_id, with_app
from jobs.wording import cell
from schemas.labels import LABELS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobs.app import App
    from jobs.output import Output
    from jobs.store import StoredAnomaly


@click.group("anomalies")
def anomalies_command() -> None:
    """Flagged records: list, show, label."""


@anomalies_command.command("list")
@click.argument("monitor", metavar="[MONITOR]", required=False)
@click.option("--label", type=click.Choice(LABELS), help="Only anomalies with this label.")
@click.option("--entity", help="Only anomalies of this entity.")
@click.option("--since", type=Moment(), help="Only records from this time on (UTC).")
@click.option("--until", type=Moment(), help="Only records before this time (UTC).")
@click.option("--incident", "incident_id", type=row_id, help="Only anomalies of this incident.")
@click.option("--superseded", "is_superseded", is_flag=True, help="Only anomalies that a later scoring superseded.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="Maximum number of rows.")
@click.option("--before", "before_id", type=row_id, help="Only ids below this one, to get the next page.")
@with_app
def list_command(app: "App", out: "Output", monitor: str | None, is_superseded: bool, **filters: Any) -> None:
    """List flagged records, newest first."""
    from jobs.store import AnomalyQuery

    if monitor:
        app.config.monitor(monitor)
    query = AnomalyQuery(monitor=monitor, is_current=not is_superseded, **filters)
    anomalies = app.store.anomalies.page(query)
    hint = "No matching anomalies. To score new records: plumbline score MONITOR"
    out.result(anomalies, lambda: print_anomalies(out, anomalies) if anomalies else out.line(hint))


def print_anomalies(out: "Output", anomalies: "Sequence[StoredAnomaly]") -> None:
    """Print a table of flagged records with their main causes."""
    columns = ["id", "monitor", "key", "time", "entity", "severity", "p-value", "label", "incident", "muted"]
    rows = []
    for row in anomalies:
        cause = row.attribution[0] if row.attribution else {}
        main_cause = (cause.get("feature"), cell(cause.get("value")), cell(cause.get("expected")))
        incident = None if row.incident_id is None else str(row.incident_id)
        record = (str(row.id), row.monitor, row.record_key, row.record_time, row.entity, round(row.severity))
        rows.append((*record, row.p_value, row.label, incident, "yes" if row.is_muted else None, *main_cause))
    out.table([*columns, "cause", "value", "expected"], rows)


@anomalies_command.command("show")
@click.argument("anomaly_id", metavar="ID", type=row_id)
@with_app
def show_command(app: "App", out: "Output", anomaly_id: int) -> None:
    """Show one flagged record with its causes."""
    row = app.store.anomalies.get(anomaly_id)

    def describe() -> None:
        out.line(f"Anomaly {row.id} of monitor {row.monitor!r}: record {row.record_key}")
        out.facts(
            {
                "record time": row.record_time,
                "entity": row.entity,
                "anomaly score": row.anomaly_score,
                "threshold": row.threshold,
                "p-value": row.p_value,
                "severity (0-100)": row.severity,
                "label": row.label,
                "incident": None if row.incident_id is None else str(row.incident_id),
                "in maintenance": row.is_muted,
                "flagged": row.flagged_at,
                "superseded": row.superseded_at,
                "model / batch": f"{row.model_id} / {row.batch_id}",
            }
        )
        causes = [
            (
                c["feature"],
                cell(c["value"]),
                cell(c["expected"]),
                c["deviation"],
                _relative(c["share"], row.anomaly_score),
            )
            for c in row.attribution
        ]
        out.table(["feature", "value", "expected", "deviation (sd)", "share of the score"], causes, "Causes")

    out.result(row, describe)


def _relative(share: float | None, score: float) -> float | None:
    """Return a share relative to the score, or None if the score is 0."""
    return None if share is None or score == 0 else share / score


@anomalies_command.command("label")
@click.argument("anomaly_id", metavar="ID", type=row_id)
@click.argument("label", type=click.Choice(LABELS))
@with_app
def label_command(app: "App", out: "Output", anomaly_id: int, label: str) -> None:
    """Label a flagged record; the next training uses the label."""
    app.store.anomalies.label(anomaly_id, label, app.clock())
    out.result({"id": anomaly_id, "label": label}, lambda: out.line(f"Anomaly {anomaly_id} is labelled {label}."))
