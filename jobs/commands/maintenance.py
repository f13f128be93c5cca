"""The commands `maintenance add`, `list` and `end`."""

from typing import TYPE_CHECKING

import click

from jobs.commands.options import Length, Moment, any_monitor_argument, monitor_argument, row_id, user_name, with_app

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from jobs.app import App
    from jobs.output import Output

_TITLES = ("id", "monitor", "entity", "from", "to", "state", "reason", "by")


@click.group("maintenance")
def maintenance_command() -> None:
    """Maintenance windows in which anomalies are expected: add, list, end."""


@maintenance_command.command("add")
@monitor_argument
@click.option("--for", "length", type=Length(), required=True, help="Length of the window, such as 2h.")
@click.option("--from", "start", type=Moment(), help="Its start (UTC) [default: now].")
@click.option("--entity", help="The entity that it applies to; all by default.")
@click.option("--reason", help="Why, for others.")
@with_app
def add_command(
    app: "App",
    out: "Output",
    monitor: str,
    length: "timedelta",
    start: "datetime | None",
    entity: str | None,
    reason: str | None,
) -> None:
    """Store a maintenance window: records scored from now on are muted in it, and nobody is alerted."""
    from jobs.store import NewWindow

    app.config.monitor(monitor)
    at = app.clock()
    window = NewWindow.lasting(start or at, length, entity, reason)
    window_id = app.store.maintenance_windows.add(monitor, window, at, user_name())
    text = f"Maintenance window {window_id} of monitor {monitor!r} ends at {window.end_time:%Y-%m-%d %H:%M} UTC."
    out.result({"id": window_id, "monitor": monitor, **vars(window)}, lambda: out.line(text))


@maintenance_command.command("list")
@any_monitor_argument
@with_app
def list_command(app: "App", out: "Output", monitor: str | None) -> None:
    """List the maintenance windows of the configuration and of the store."""
    from jobs.maintenance import window_rows

    names = [monitor] if monitor else list(app.config.monitors)
    at = app.clock()
    rows = [
        row
        for name in names
        for row in window_rows(name, app.config.monitor(name), app.store.maintenance_windows.of(name), at)
    ]
    table = [(r.id, r.monitor, r.entity, r.start, r.end, r.state, r.reason, r.created_by) for r in rows]
    hint = "No maintenance windows. Add one: plumbline maintenance add MONITOR --for 2h"
    out.result(rows, lambda: out.table(_TITLES, table) if table else out.line(hint))


@maintenance_command.command("end")
@click.argument("window_id", metavar="ID", type=row_id)
@with_app
def end_command(app: "App", out: "Output", window_id: int) -> None:
    """End a stored maintenance window now, or cancel it before it starts."""
    window = app.store.maintenance_windows.end(window_id, app.clock(), user_name())
    done = "is cancelled" if window.is_cancelled else "has ended"
    out.result(window, lambda: out.line(f"Maintenance window {window_id} of monitor {window.monitor!r} {done}."))
