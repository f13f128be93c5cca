"""The command `rescore`: score history again with the champion."""

from datetime import datetime
from typing import TYPE_CHECKING

import click

from jobs.commands.modelling import describe_scoring, scoring_progress
from jobs.commands.options import Moment, monitor_argument, with_app, workers_if_configured
from jobs.wording import counted_noun, shown, utc

if TYPE_CHECKING:
    from jobs.app import App
    from jobs.output import Output


@click.command("rescore")
@monitor_argument
@click.option("--from", "since", type=Moment(), required=True, help="Record times from this one on (UTC).")
@click.option("--to", "until", type=Moment(), required=True, help="Record times before this one (UTC).")
@with_app
def rescore_command(app: "App", out: "Output", monitor: str, since: datetime, until: datetime) -> None:
    """Rescore the batches of a time range with the champion. Rows of older models stay, marked as superseded."""
    source, store = app.source(monitor), app.store
    from jobs.scoring.rescoring import Window, rescore_monitor

    window = Window(since, until)
    workers = workers_if_configured(app)
    with scoring_progress(out, monitor) as show:
        elsewhere = workers.score_batches if workers else None
        report = rescore_monitor(source, store, app.clock, window, show, elsewhere=elsewhere)

    def describe() -> None:
        batches = counted_noun(report.reopened, "batch", "batches")
        out.line(f"Reopened {batches} of {shown(since)} to {utc(until)} for rescoring.")
        describe_scoring(app, out, report.scoring)

    out.result(report, describe)
