"""The command `top`: the most anomalous records, whether flagged or not."""

from datetime import datetime
from typing import TYPE_CHECKING

import click

from jobs.commands.anomalies import CAUSE_COLUMNS, cause_cells, key_cell
from jobs.commands.columns import RANKED_COLUMNS, cells_of, columns_option
from jobs.commands.options import Moment, counted_progress, monitor_argument, with_app
from jobs.wording import share_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobs.app import App
    from jobs.output import Output
    from jobs.ranking import RankedRecord


@click.command("top")
@monitor_argument
@click.option("--limit", type=click.IntRange(1, 1_000), default=10, show_default=True, help="Maximum number of rows.")
@click.option("--since", type=Moment(), help="Only records from this time on: 2026-03-01, 1h, yesterday (UTC).")
@click.option("--until", type=Moment(), help="Only records before this time (UTC).")
@columns_option(RANKED_COLUMNS)
@with_app
def top_command(
    app: "App",
    out: "Output",
    monitor: str,
    limit: int,
    since: datetime | None,
    until: datetime | None,
    columns: tuple[str, ...] | None,
) -> None:
    """List the most anomalous records, whether flagged or not. Nothing is written.

    Records are ranked by score against threshold: those above 1 are flagged.
    """
    source, store = app.source(monitor), app.store
    from jobs.ranking import Span, top_records

    with counted_progress(out, f"scoring {monitor}") as progress:
        ranking = top_records(source, store, limit, Span(since, until), progress)

    def describe() -> None:
        if columns is None:
            print_ranked(out, ranking.top)
        else:
            out.table(columns, [cells_of(record, columns) for record in ranking.top])
        origin = "stored scores" if ranking.is_stored else "the table"
        records = share_of(len(ranking.top), ranking.records, "record")
        out.line(f"{records}, by model {ranking.model_id}, from {origin}.")

    out.result(ranking, describe)


def print_ranked(out: "Output", records: "Sequence[RankedRecord]", title: str | None = None) -> None:
    """Print a table of records with their scores and main causes."""
    columns = ("key", "time", "entity", "score / threshold", "p-value", "flagged", *CAUSE_COLUMNS)
    rows = [
        (
            key_cell(record.record_key, record.record_time, record.entity),
            record.record_time,
            record.entity,
            record.threshold_ratio,
            record.p_value,
            "yes" if record.is_anomaly else None,
            *cause_cells(record.causes),
        )
        for record in records
    ]
    out.table(columns, rows, title)
