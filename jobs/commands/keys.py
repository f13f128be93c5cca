"""The commands `keys add`, `list` and `revoke`."""

from datetime import timedelta
from typing import TYPE_CHECKING

import click

from jobs.commands.options import Length, user_name, with_app

if TYPE_CHECKING:
    from jobs.app import App
    from jobs.output import Output
    from jobs.store.api_keys import Scope


@click.group("keys")
def keys_command() -> None:
    """API keys: add, list, revoke."""


@keys_command.command("add")
@click.argument("name", metavar="NAME")
@click.option(
    "--scope",
    type=click.Choice(["read", "operate", "write", "admin"]),
    default="read",
    show_default=True,
    help="Permissions of the key. operate: label, acknowledge, maintain, request trainings; admin: also promote, tune "
    "and manage keys; write: as operate, and promote.",
)
@click.option("--monitor", "monitors", multiple=True, help="A monitor that it may see; all by default.")
@click.option("--expires", type=Length(), help="How long it is valid, such as 90d; for ever by default.")
@with_app
def add_command(
    app: "App",
    out: "Output",
    name: str,
    scope: "Scope",
    monitors: tuple[str, ...],
    expires: timedelta | None,
) -> None:
    """Create a key and print it once; the store keeps only its digest."""
    import secrets

    from jobs.store.api_keys import KeyRights

    for monitor in monitors:
        app.config.monitor(monitor)
    rights = KeyRights(scope, monitors or None, None if expires is None else app.clock() + expires)
    secret = secrets.token_urlsafe(32)
    key_id = app.store.api_keys.add(name, rights, secret, app.clock(), user_name())
    click.echo("Save the key now: it is not shown again. From now on, every request requires a key.", err=True)
    out.result({"id": key_id, "name": name, "scope": scope, "key": secret}, lambda: out.line(secret))


@keys_command.command("list")
@with_app
def list_command(app: "App", out: "Output") -> None:
    """List the keys, without their secrets."""
    columns = ("name", "scope", "monitors", "created_at", "expires_at", "last_used_at", "revoked_at")
    keys = [{name: getattr(key, name) for name in columns} for key in app.store.api_keys.all()]
    rows = [[", ".join(cell) if isinstance(cell, list) else cell for cell in key.values()] for key in keys]
    titles = ["name", "scope", "monitors", "created", "expires", "last used", "revoked"]
    hint = "There is no key: only this machine may call the API. Create one: plumbline keys add NAME"
    out.result(keys, lambda: out.table(titles, rows) if rows else out.line(hint))


@keys_command.command("revoke")
@click.argument("name", metavar="NAME")
@with_app
def revoke_command(app: "App", out: "Output", name: str) -> None:
    """Revoke a key at once; the API requires a key even if this was the last one."""
    app.store.api_keys.revoke(name, app.clock(), user_name())
    out.result({"name": name, "revoked": True}, lambda: out.line(f"Key {name!r} is revoked."))
