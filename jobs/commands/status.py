"""status: every monitor at a glance."""

from typing import TYPE_CHECKING

import click

from jobs.commands.options import with_app

if TYPE_CHECKING:
    from jobs.app import App
    from jobs.output import Output


@click.command("status")
@with_app
def status_command(app: "App", out: "Output") -> None:
    """Show each monitor's champion, progress, anomalies and last runs."""
    found = [app.store.monitor_status(name) for name in app.config.monitors]
    columns = [
        "monitor",
        "champion",
        "since",
        "records",
        "anomalies",
        "open",
        "waiting",
        "last training",
        "last scoring",
    ]
    rows = []
    for status in found:
        waiting = status.pending_batches + status.running_batches
        champion = None if status.champion_id is None else f"model {status.champion_id}"
        counts = (status.records, status.anomalies, status.open_anomalies, waiting)
        runs = [status.last_runs.get(kind) for kind in ("train", "score")]
        ended = [None if run is None else f"{run.outcome or 'running'} {run.started_at:%Y-%m-%d %H:%M}" for run in runs]
        rows.append((status.monitor, champion, status.champion_since, *counts, *ended))
    nothing = "The configuration has no monitor. Add one; see: plumbline init --help"
    out.result(found, lambda: out.table(columns, rows) if rows else out.say(nothing))
