"""The commands `anomalies list`, `show` and `label`."""

import json
from typing import TYPE_CHECKING, Any, Literal

import click

from jobs.commands.columns import ANOMALY_COLUMNS, cells_of, columns_option
from jobs.commands.options import Moment, any_monitor_argument, row_id, user_name, with_app
from jobs.wording import cell, counted_noun, expected_cell, share_of, shown
from schemas.errors import UsageError
from schemas.labels import LABELS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from jobs.app import App
    from jobs.output import Output
    from jobs.store import StoredAnomaly

CAUSE_COLUMNS = ("cause", "value", "expected")


@click.group("anomalies")
def anomalies_command() -> None:
    """Flagged records: list, show, label."""


@anomalies_command.command("list")
@any_monitor_argument
@click.option("--label", type=click.Choice(LABELS), help="Only anomalies with this label.")
@click.option("--entity", help="Only anomalies of this entity.")
@click.option("--since", type=Moment(), help="Only records from this time on: 2026-03-01, 1h, yesterday (UTC).")
@click.option("--until", type=Moment(), help="Only records before this time (UTC).")
@click.option("--incident", "incident_id", type=row_id, help="Only anomalies of this incident.")
@click.option("--superseded", "is_superseded", is_flag=True, help="Only anomalies that a later scoring superseded.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="Maximum number of rows.")
@click.option("--newest", "is_newest_first", is_flag=True, help="Newest first, not the most anomalous.")
@click.option("--before", "before_id", type=row_id, help="Only ids below this one, for the next page; newest first.")
@columns_option(ANOMALY_COLUMNS)
@with_app
def list_command(
    app: "App",
    out: "Output",
    monitor: str | None,
    is_superseded: bool,
    is_newest_first: bool,
    columns: tuple[str, ...] | None,
    **filters: Any,
) -> None:
    """List flagged records, the most anomalous first: by score against threshold."""
    from jobs.store import AnomalyQuery

    if monitor:
        app.config.monitor(monitor)
    is_newest_first = is_newest_first or filters["before_id"] is not None
    order: Literal["newest", "most_anomalous"] = "newest" if is_newest_first else "most_anomalous"
    query = AnomalyQuery(monitor=monitor, is_current=not is_superseded, order=order, **filters)
    anomalies, total = app.store.anomalies.page(query), app.store.anomalies.count(query)

    def describe() -> None:
        if not anomalies:
            out.line("No matching anomalies. To score new records: plumbline score MONITOR")
            return
        if columns is None:
            print_anomalies(out, anomalies, with_monitor=monitor is None and len(app.config.monitors) > 1)
        else:
            out.table(columns, [cells_of(row, columns) for row in anomalies])
        out.line(share_of(len(anomalies), total, "anomaly", "anomalies"))

    out.result([{**vars(row), "threshold_ratio": row.threshold_ratio} for row in anomalies], describe)


def print_anomalies(out: "Output", anomalies: "Sequence[StoredAnomaly]", *, with_monitor: bool) -> None:
    """Print a table of flagged records with their main causes; their labels if one is labelled."""
    columns = ["id", "monitor", "key", "time", "entity", "severity", "score / threshold"]
    columns += ["label", "incident", "muted", "suppressed by"]
    has_labels = any(row.label != "open" for row in anomalies)
    rows = []
    for row in anomalies:
        incident = None if row.incident_id is None else str(row.incident_id)
        key = key_cell(row.record_key, row.record_time, row.entity)
        record = (str(row.id), row.monitor if with_monitor else None, key, row.record_time, row.entity)
        numbers = (round(row.severity), row.threshold_ratio)
        suppressed_by = None if row.suppressed_by is None else str(row.suppressed_by)
        states = (row.label if has_labels else None, incident, "yes" if row.is_muted else None, suppressed_by)
        rows.append((*record, *numbers, *states, *cause_cells(row.attribution)))
    out.table([*columns, *CAUSE_COLUMNS], rows)


def key_cell(key: str, time: "datetime | None", entity: str | None) -> str | None:
    """Return the parts of a record's key that a list does not show as its time or its entity; None if there are none.

    >>> from datetime import UTC, datetime
    >>> noon = datetime(2026, 1, 31, 12, tzinfo=UTC)
    >>> key_cell('["2026-01-31 12:00:00", "pump-7", 3]', noon, "pump-7"), key_cell("42", noon, "42")
    ('3', '42')
    >>> key_cell('["2026-01-31T13:00:00+01:00", "pump-7"]', noon, "pump-7"), key_cell('["a", 3]', None, None)
    (None, 'a, 3')
    """
    try:
        parts = json.loads(key)
    except ValueError:
        parts = key
    if not isinstance(parts, list):
        return None if _is_time(key, time) else key
    rest = [str(part) for part in parts if str(part) != entity and not _is_time(str(part), time)]
    return ", ".join(rest) or None


def _is_time(text: str, time: "datetime | None") -> bool:
    from datetime import UTC, datetime

    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        return False
    return (read if read.tzinfo else read.replace(tzinfo=UTC)) == time


def cause_cells(causes: "Sequence[Mapping[str, Any]]") -> tuple[Any, ...]:
    """Return the first cause as the cells of `CAUSE_COLUMNS`; empty cells if there is none."""
    if not causes:
        return (None, None, None)
    value, expected = causes[0]["value"], causes[0]["expected"]
    return (causes[0]["feature"], cell(value), expected_cell(value, expected))


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
                "score / threshold": row.threshold_ratio,
                "p-value": row.p_value,
                "severity (0-100)": row.severity,
                "reconstruction error": row.reconstruction_error,
                "negative ELBO (nats)": row.elbo,
                "label": row.label,
                "incident": None if row.incident_id is None else str(row.incident_id),
                "in maintenance": row.is_muted,
                "suppressed by": _labelled(row.suppressed_by, row.suppressed_distance),
                "raised by": _labelled(row.raised_by, row.raised_distance),
                "flagged": row.flagged_at,
                "superseded": row.superseded_at,
                "model / batch": f"{row.model_id} / {row.batch_id}",
            }
        )
        causes = [
            (
                c["feature"],
                cell(c["value"]),
                expected_cell(c["value"], c["expected"]),
                c["deviation"],
                _relative(c["share"], row.anomaly_score),
            )
            for c in row.attribution
        ]
        out.table(["feature", "value", "expected", "deviation (sd)", "share of the score"], causes, "Causes")

    out.result(row, describe)


def _labelled(anomaly_id: int | None, distance: float | None) -> str | None:
    return None if anomaly_id is None else f"the label of anomaly {anomaly_id}, at a distance of {shown(distance)}"


def _relative(share: float | None, score: float) -> float | None:
    """Return a share relative to the size of the score, in four decimals; None if the score is 0.

    >>> _relative(6.0, -8.0)
    0.75
    """
    return None if share is None or score == 0 else round(abs(share / score), 4)


@anomalies_command.command("label")
@click.argument("anomaly_ids", metavar="[ID]...", nargs=-1, type=row_id)
@click.argument("label", type=click.Choice(LABELS))
@click.option("--incident", "incident_ids", type=row_id, multiple=True, help="Also the records of this incident.")
@with_app
def label_command(
    app: "App", out: "Output", anomaly_ids: tuple[int, ...], incident_ids: tuple[int, ...], label: str
) -> None:
    """Label flagged records; the next batch and the next training use the labels."""
    if not anomaly_ids and not incident_ids:
        raise UsageError(f"Name the anomalies to label: plumbline anomalies label ID... {label}, or --incident ID.")
    at = app.clock()
    for incident_id in incident_ids:
        app.store.incidents.get(incident_id)  # raises before anything is labelled
    app.store.anomalies.label_all(anomaly_ids, label, at, user_name())
    records = app.store.incidents.label_all(incident_ids, label, at, user_name())
    sentences = []
    if incident_ids:
        sentences.append(incidents_sentence(incident_ids, label, records))
    if anomaly_ids:
        sentences.append(f"{_named('Anomaly', 'Anomalies', anomaly_ids)} labelled {label}.")
    result = ids_or_id(anomaly_ids) | ({"incidents": incident_ids} if incident_ids else {}) | {"label": label}
    out.result(result, lambda: out.line("\n".join(sentences)))


def ids_or_id(ids: "Sequence[int]") -> dict[str, Any]:
    """Return ids for programs: under `id` if there is one, as a command with a single id had it, else under `ids`."""
    return {"id": ids[0]} if len(ids) == 1 else {"ids": list(ids)}


def incidents_sentence(incident_ids: "Sequence[int]", label: str, records: int) -> str:
    """Return the outcome of labelling the records of incidents, as a sentence."""
    return f"{_named('Incident', 'Incidents', incident_ids)} labelled {label}: {counted_noun(records, 'record')}."


def _named(noun: str, plural: str, ids: "Sequence[int]") -> str:
    """Return the subject of a sentence with its verb, such as "Anomalies 3, 4 are"."""
    return f"{noun} {ids[0]} is" if len(ids) == 1 else f"{plural} {', '.join(map(str, ids))} are"
