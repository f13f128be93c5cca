"""keys add, list, revoke."""

from typing import TYPE_CHECKING, Literal

import click

from jobs.commands.options import with_app

if TYPE_CHECKING:
    from jobs.app import App
    from jobs.output import Output


@click.group("keys")
def keys_command() -> None:
    """The keys of the API: add, list, revoke."""


@keys_command.command("add")
@click.argument("name", metavar="NAME")
@click.option(
    "--scope",
    type=click.Choice(["read", "write"]),
    default="read",
    show_default=True,
    help="write may also label and retrain.",
)
@with_app
def add_command(app: "App", out: "Output", name: str, scope: Literal["read", "write"]) -> None:
    """Make a key and print it, this once; the store keeps its digest alone."""
    import secrets

    secret = secrets.token_urlsafe(32)
    key_id = app.store.api_keys.add(name, scope, secret, app.clock())
    click.echo("Keep it now: it is not shown again. From now on every request needs a key.", err=True)
    out.result({"id": key_id, "name": name, "scope": scope, "key": secret}, lambda: out.say(secret))


@keys_command.command("list")
@with_app
def list_command(app: "App", out: "Output") -> None:
    """List the keys, without their secrets."""
    columns = ("name", "scope", "created_at", "revoked_at")
    found = [{name: getattr(key, name) for name in columns} for key in app.store.api_keys.all()]
    rows = [list(key.values()) for key in found]
    nothing = "There is no key, so that the API answers this machine alone. Make one: plumbline keys add NAME"
    out.result(found, lambda: out.table(["name", "scope", "created", "revoked"], rows) if rows else out.say(nothing))


@keys_command.command("revoke")
@click.argument("name", metavar="NAME")
@with_app
def revoke_command(app: "App", out: "Output", name: str) -> None:
    """End a key at once; the API stays closed even if it was the last one."""
    app.store.api_keys.revoke(name, app.clock())
    out.result({"name": name, "revoked": True}, lambda: out.say(f"Key {name!r} opens nothing any more."))
