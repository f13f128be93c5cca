"""The commands `entities list`, `retire` and `watch`."""

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from jobs.commands.options import monitor_argument, user_name, with_app
from jobs.wording import duration

if TYPE_CHECKING:
    from jobs.app import App
    from jobs.output import Output
    from jobs.store.entities import Entity
    from schemas.config import MonitorConfig


@click.group("entities")
def entities_command() -> None:
    """Entities of a monitor, such as machines: list, retire, watch."""


@entities_command.command("list")
@monitor_argument
@with_app
def list_command(app: "App", out: "Output", monitor: str) -> None:
    """List the entities of a monitor, with their last records and usual pauses."""
    settings = app.config.monitor(monitor)
    entities = app.store.entities.activity(monitor).entities
    rows = [
        (item.name, _state(item, settings), item.rhythm.last_at, duration(item.rhythm.usual_seconds))
        for item in entities
    ]
    hint = "No entity has been scored. An entity needs a time and an entity column; to score: plumbline score MONITOR"
    columns = ["entity", "state", "last record", "usual pause"]
    out.result([asdict(item) for item in entities], lambda: out.table(columns, rows) if rows else out.line(hint))


def _state(item: "Entity", monitor: "MonitorConfig") -> str:
    if item.retired_at is not None or item.name in monitor.retired:
        return "retired"
    return "active" if item.silent_since is None else "silent"


@entities_command.command("retire")
@click.argument("monitor", metavar="MONITOR")
@click.argument("entity", metavar="ENTITY")
@with_app
def retire_command(app: "App", out: "Output", monitor: str, entity: str) -> None:
    """Retire an entity that no longer sends: its silence is no event, and an ongoing one ends."""
    app.config.monitor(monitor)
    app.store.entities.retire(monitor, entity, app.clock(), user_name())
    sentence = (
        f"Entity {entity!r} of monitor {monitor!r} is retired. To undo: plumbline entities watch {monitor} ENTITY"
    )
    out.result({"monitor": monitor, "entity": entity, "is_retired": True}, lambda: out.line(sentence))


@entities_command.command("watch")
@click.argument("monitor", metavar="MONITOR")
@click.argument("entity", metavar="ENTITY")
@with_app
def watch_command(app: "App", out: "Output", monitor: str, entity: str) -> None:
    """Watch a retired entity again."""
    app.config.monitor(monitor)
    app.store.entities.watch(monitor, entity, app.clock(), user_name())
    sentence = f"Entity {entity!r} of monitor {monitor!r} is watched again."
    out.result({"monitor": monitor, "entity": entity, "is_retired": False}, lambda: out.line(sentence))
