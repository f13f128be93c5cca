"""The commands `monitors list`, `rename` and `delete`."""

from typing import TYPE_CHECKING, Any

import click

from jobs.commands.options import user_name, with_app
from schemas.errors import UsageError

if TYPE_CHECKING:
    from jobs.app import App
    from jobs.output import Output
    from jobs.store.monitors import StoredMonitor

_COLUMNS = ("monitor", "configured", "champion", "models", "records", "anomalies", "scored until", "last run")
_YES = click.option("--yes", is_flag=True, help="Confirm the change.")


@click.group("monitors")
def monitors_command() -> None:
    """The monitors in the store: list, rename, delete."""


@monitors_command.command("list")
@with_app
def list_command(app: "App", out: "Output") -> None:
    """List the monitors of the store and of the configuration."""
    from jobs.status_texts import stored_settings_note
    from jobs.store.monitors import StoredMonitor

    configured = app.config.monitors
    stored = {item.monitor: item for item in app.store.monitors.all()}
    names, tunings = sorted({*stored, *configured}), app.store.tunings.all()
    documents = [
        {
            "monitor": name,
            "is_configured": name in configured,
            "stored_settings": dict(tunings[name].settings) if name in tunings else {},
            **(vars(stored[name]) if name in stored else {}),
        }
        for name in names
    ]
    rows = [_row(stored.get(name, StoredMonitor(name)), is_configured=name in configured) for name in names]
    hint = "There is no monitor yet. Propose one: plumbline init --table NAME"

    def describe() -> None:
        if not rows:
            out.line(hint)
            return
        out.table(_COLUMNS, rows)
        for name in tunings.keys() & set(names):
            out.line(f"{name}: {stored_settings_note(tunings[name])}")

    out.result(documents, describe)


def _row(item: "StoredMonitor", *, is_configured: bool) -> tuple[Any, ...]:
    champion = "none" if item.champion_id is None else f"model {item.champion_id}"
    counts = (item.models, item.records, item.anomalies)
    return (item.monitor, "yes" if is_configured else "no", champion, *counts, item.scored_until, item.last_run_at)


@monitors_command.command("rename")
@click.argument("old", metavar="OLD")
@click.argument("new", metavar="NEW")
@_YES
@with_app
def rename_command(app: "App", out: "Output", old: str, new: str, yes: bool) -> None:
    """Give a monitor another name, with its models, batches, anomalies, labels and history.

    Rename its section in config.toml too, before or after; until both agree, nothing is scored.
    """
    from schemas.section import refuse_wrong_name

    refuse_wrong_name(new)
    if not yes:
        raise UsageError(f"This renames all rows of monitor {old!r} in the store. Add --yes to do so.")
    app.store.monitors.rename(old, new, app.clock(), user_name())
    view_note = _replace_join_view(app, old, new)

    def describe() -> None:
        out.line(f"Monitor {old!r} is now {new!r} in the store.")
        if old in app.config.monitors or new not in app.config.monitors:
            out.line(f"Rename its section in config.toml too: [monitors.{new}]")
        if view_note:
            out.line(view_note)

    out.result({"old": old, "new": new}, describe)


@monitors_command.command("delete")
@click.argument("name", metavar="NAME")
@_YES
@with_app
def delete_command(app: "App", out: "Output", name: str, yes: bool) -> None:
    """Delete a monitor from the store with its models, batches, anomalies, labels and history; records stay."""
    if not yes:
        raise UsageError(
            f"This deletes all models, anomalies, labels and history of monitor {name!r} from the store. "
            "Add --yes to do so."
        )
    app.store.monitors.delete(name, app.clock(), user_name())
    note = _drop_join_view(app, name)

    def describe() -> None:
        out.line(f"Monitor {name!r} is deleted from the store.")
        if name in app.config.monitors:
            out.line(f"config.toml still has it: remove [monitors.{name}], or train it again: plumbline train {name}")
        if note:
            out.line(note)

    out.result({"deleted": name}, describe)


def _replace_join_view(app: "App", old: str, new: str) -> str | None:
    """Create the view of flagged rows under the new name; return a note if the old one has to be dropped by hand."""
    from jobs.join_view import join_anomalies

    note = _drop_join_view(app, old)
    if new in app.config.monitors:
        join_anomalies(app.store, app.source(new))
    return note


def _drop_join_view(app: "App", name: str) -> str | None:
    from schemas.errors import StoreError

    try:
        app.store.drop_join_view(name)
    except StoreError as exc:
        return f"The view of its flagged rows next to their records is left; drop it as its owner. {exc}"
    return None
