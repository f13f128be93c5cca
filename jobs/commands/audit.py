"""The command `audit`: who labelled, promoted, requested trainings, and managed keys, monitors and entities."""

from typing import TYPE_CHECKING

import click

from jobs.commands.options import any_monitor_argument, with_app

if TYPE_CHECKING:
    from jobs.app import App
    from jobs.output import Output


@click.command("audit")
@any_monitor_argument
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="Maximum number of rows.")
@with_app
def audit_command(app: "App", out: "Output", monitor: str | None, limit: int) -> None:
    """List who labelled, promoted, requested trainings, and managed keys, monitors and entities; newest first."""
    from jobs.store import AuditQuery

    acts = app.store.audit.page(AuditQuery(monitor, limit=limit))
    rows = [(act.at, act.actor, act.action, act.subject, act.monitor) for act in acts]
    columns = ["at", "actor", "action", "subject", "monitor"]
    out.result(acts, lambda: out.table(columns, rows) if rows else out.line("No recorded acts."))
