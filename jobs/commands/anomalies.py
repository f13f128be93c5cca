"""anomalies list, show, label."""

from typing import TYPE_CHECKING, Any

import click

from jobs.commands.options import Moment, row_id, with_app
from schemas.labels import LABELS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobs.app import App
    from jobs.output import Output
    from jobs.store import StoredAnomaly


@click.group("anomalies")
def anomalies_command() -> None:
    """The flagged records: list, show, label."""


@anomalies_command.command("list")
@click.argument("monitor", metavar="[MONITOR]", required=False)
@click.option("--label", type=click.Choice(LABELS), help="Only those labelled so.")
@click.option("--entity", help="Only those of this entity.")
@click.option("--since", type=Moment(), help="Record times from this one on (UTC).")
@click.option("--until", type=Moment(), help="Record times before this one (UTC).")
@click.option("--incident", "incident_id", type=row_id, help="Only those of this incident.")
@click.option("--superseded", "is_superseded", is_flag=True, help="Only those that a later scoring took back.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True)
@click.option("--before", "before_id", type=row_id, help="Only ids below this one: the next page.")
@with_app
def list_command(app: "App", out: "Output", monitor: str | None, is_superseded: bool, **asked: Any) -> None:
    """List flagged records, newest first."""
    from jobs.store import AnomalyQuery

    if monitor:
        app.config.monitor(monitor)
    query = AnomalyQuery(monitor=monitor, is_current=not is_superseded, **asked)
    found = app.store.anomalies.page(query)
    nothing = "No anomaly fits. Score new records: plumbline score MONITOR"
    out.result(found, lambda: print_anomalies(out, found) if found else out.say(nothing))


def print_anomalies(out: "Output", found: "Sequence[StoredAnomaly]") -> None:
    """A table of flagged records with their main causes."""
    from jobs.wording import cell

    known = ["id", "monitor", "key", "time", "entity", "severity", "p-value", "label", "incident", "muted"]
    rows = []
    for row in found:
        cause = row.attribution[0] if row.attribution else {}
        values = (cause.get("feature"), cell(cause.get("value")), cell(cause.get("expected")))
        incident = None if row.incident_id is None else str(row.incident_id)
        what = (str(row.id), row.monitor, row.record_key, row.record_time, row.entity, round(row.severity))
        rows.append((*what, row.p_value, row.label, incident, "yes" if row.is_muted else None, *values))
    out.table([*known, "cause", "value", "expected"], rows)


@anomalies_command.command("show")
@click.argument("anomaly_id", metavar="ID", type=row_id)
@with_app
def show_command(app: "App", out: "Output", anomaly_id: int) -> None:
    """Show one flagged record with its causes."""
    from jobs.wording import cell

    row = app.store.anomalies.get(anomaly_id)

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
                "incident": None if row.incident_id is None else str(row.incident_id),
                "in maintenance": row.is_muted,
                "flagged": row.flagged_at,
                "taken back": row.superseded_at,
                "model / batch": f"{row.model_id} / {row.batch_id}",
            }
        )
        causes = [
            (c["feature"], cell(c["value"]), cell(c["expected"]), c["deviation"], _part(c["share"], row.anomaly_score))
            for c in row.attribution
        ]
        out.table(["feature", "value", "expected", "deviation (sd)", "share of the score"], causes, "Causes")

    out.result(row, describe)


def _part(share: float | None, score: float) -> float | None:
    """What part of a score a share is; of a score of 0 there is none."""
    return None if share is None or score == 0 else share / score


@anomalies_command.command("label")
@click.argument("anomaly_id", metavar="ID", type=row_id)
@click.argument("label", type=click.Choice(LABELS))
@with_app
def label_command(app: "App", out: "Output", anomaly_id: int, label: str) -> None:
    """Say what a flagged record turned out to be."""
    app.store.anomalies.label(anomaly_id, label, app.clock())
    out.result({"id": anomaly_id, "label": label}, lambda: out.say(f"Anomaly {anomaly_id} is labelled {label}."))
