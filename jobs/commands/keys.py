"""The commands `keys add`, `list` and `revoke`."""

from typing import TYPE_CHECKING, Literal

import click

from jobs.commands.options import with_app

if TYPE_CHECKING:
    from jobs.app import App
    from jobs.output import Output


@click.group("keys")
def keys_command() -> None:
    """API keys: add, list, revoke."""


@keys_command.command("add")
@click.argument("name", metavar="NAME")
@click.option(
    "--scope",
    type=click.Choice(["read", "write"]),
    default="read",
    show_default=True,
    help="Permissions of the key; write also allows labels and retrain requests.",
)
@with_app
def add_command(app: "App", out: "Output", name: str, scope: Literal["read", "write"]) -> None:
    """Create a key and print it once; the store keeps only its digest."""
    import secrets

    secret = secrets.token_urlsafe(32)
    key_id = app.store.api_keys.add(name, scope, secret, app.clock())
    click.echo("Save the key now: it is not shown again. From now on, every request requires a key.", err=True)
    out.result({"id": key_id, "name": name, "scope": scope, "key": secret}, lambda: out.line(secret))


@keys_command.command("list")
@with_app
def list_command(app: "App", out: "Output") -> None:
    """List the keys, without their secrets."""
    columns = ("name", "scope", "created_at", "revoked_at")
    keys = [{name: getattr(key, name) for name in columns} for key in app.store.api_keys.all()]
    rows = [list(key.values()) for key in keys]
    hint = "There is no key: only this machine may call the API. Create one: plumbline keys add NAME"
    out.result(keys, lambda: out.table(["name", "scope", "created", "revoked"], rows) if rows else out.line(hint))


@keys_command.command("revoke")
@click.argument("name", metavar="NAME")
@with_app
def revoke_command(app: "App", out: "Output", name: str) -> None:
    """Revoke a key at once; the API requires a key even if this was the last one."""
    app.store.api_keys.revoke(name, app.clock())
    out.result({"name": name, "revoked": True}, lambda: out.line(f"Key {name!r} is revoked."))
