"""The command `prune`: delete the rows that monitors no longer keep."""

from typing import TYPE_CHECKING

import click

from jobs.commands.options import with_app
from jobs.wording import counted_noun

if TYPE_CHECKING:
    from jobs.app import App
    from jobs.output import Output


@click.command("prune")
@click.argument("monitor", metavar="[MONITOR]", required=False)
@click.option("--dry-run", is_flag=True, help="Count the rows, and delete nothing.")
@with_app
def prune_command(app: "App", out: "Output", monitor: str | None, dry_run: bool) -> None:
    """Delete the rows that are older than the limits of [store]. `serve` does so every hour."""
    from jobs.retention import preview_pruning, prune

    config = app.config
    chosen = config.monitors if monitor is None else {monitor: config.monitor(monitor)}
    report = (preview_pruning if dry_run else prune)(config, app.store, app.clock, chosen)
    rows = [(name, kind, count) for name, kinds in report.deleted.items() for kind, count in kinds.items()]
    verb = "would be deleted" if dry_run else "deleted"

    def describe() -> None:
        if rows:
            out.table(["monitor", "rows", "number"], rows)
        out.line(f"{counted_noun(report.rows, 'row')} {verb}." if rows else "There is nothing to delete.")

    out.result({"dry_run": dry_run, "deleted": report.deleted}, describe)
