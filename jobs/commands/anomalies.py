"""anomalies list, show, label."""

from typing import TYPE_CHECKING

import click

from jobs.commands.options import with_app

if TYPE_CHECKING:
    from jobs.app import App
    from jobs.output import Output


LABELS = ("open", "confirmed", "false_positive", "known")


@click.group("anomalies")
def anomalies_command() -> None:
    """The flagged records: list, show, label."""


@anomalies_command.command("list")
@click.argument("monitor", metavar="[MONITOR]", required=False)
@click.option("--label", type=click.Choice(LABELS), help="Only those labelled so.")
@click.option("--entity", help="Only those of this entity.")
@click.option("--since", type=click.DateTime(), help="Record times from this one on (UTC).")
@click.option("--until", type=click.DateTime(), help="Record times before this one (UTC).")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True)
@click.option("--before", "before_id", type=int, help="Only ids below this one: the next page.")
@with_app
def list_command(app: "App", out: "Output", monitor: str | None, **asked: object) -> None:
    """List flagged records, newest first."""
    from datetime import UTC, datetime

    from jobs.output import cell
    from jobs.store import AnomalyQuery

    if monitor:
        app.config.monitor(monitor)
    aware = {k: v.replace(tzinfo=UTC) if isinstance(v, datetime) else v for k, v in asked.items()}
    found = app.store.anomalies(AnomalyQuery(monitor=monitor, **aware))  # type: ignore[arg-type]
    columns = ["id", "monitor", "key", "time", "entity", "severity", "p-value", "label", "cause", "value", "expected"]
    rows = []
    for row in found:
        cause = row.attribution[0] if row.attribution else {}
        values = (cause.get("feature"), cell(cause.get("value")), cell(cause.get("expected")))
        known = (str(row.id), row.monitor, row.record_key, row.record_time, row.entity)
        rows.append((*known, round(row.severity), row.p_value, row.label, *values))
    nothing = "No anomaly fits. Score new records: plumbline score MONITOR"
    out.result(found, lambda: out.table(columns, rows) if rows else out.say(nothing))


@anomalies_command.command("show")
@click.argument("anomaly_id", metavar="ID", type=int)
@with_app
def show_command(app: "App", out: "Output", anomaly_id: int) -> None:
    """Show one flagged record with its causes."""
    from jobs.output import cell

    row = app.store.anomaly(anomaly_id)

    def describe() -> None:
        out.say(f"Anomaly {row.id} of monitor {row.monitor!r}: record {row.record_key}")
        out.facts(
            {
                "record time": row.record_time,
                "entity": row.entity,
                "anomaly score": row.anomaly_score,
                "threshold": row.threshold,
                "p-value": row.p_value,
                "severity (0-100)": row.severity,
                "label": row.label,
                "flagged": row.flagged_at,
                "model / batch": f"{row.model_id} / {row.batch_id}",
            }
        )
        causes = [
            (c["feature"], cell(c["value"]), cell(c["expected"]), c["deviation"], c["share"] / row.anomaly_score)
            for c in row.attribution
        ]
        out.table(["feature", "value", "expected", "deviation (sd)", "share of the score"], causes, "Causes")

    out.result(row, describe)


@anomalies_command.command("label")
@click.argument("anomaly_id", metavar="ID", type=int)
@click.argument("label", type=click.Choice(LABELS))
@with_app
def label_command(app: "App", out: "Output", anomaly_id: int, label: str) -> None:
    """Say what a flagged record turned out to be."""
    app.store.label_anomaly(anomaly_id, label, app.clock())
    out.result({"id": anomaly_id, "label": label}, lambda: out.say(f"Anomaly {anomaly_id} is labelled {label}."))
