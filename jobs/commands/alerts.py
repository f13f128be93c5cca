"""The command `alerts test`."""

from typing import TYPE_CHECKING

import click

from jobs.commands.options import with_app

if TYPE_CHECKING:
    from jobs.app import App
    from jobs.output import Output


@click.group("alerts")
def alerts_command() -> None:
    """Alert channels: test."""


@alerts_command.command("test")
@click.argument("channel", metavar="CHANNEL")
@with_app
def test_command(app: "App", out: "Output", channel: str) -> None:
    """Send a test message to a channel."""
    from jobs.alerting import send_test

    send_test(app.config.alerts.channels, channel, app.clock())
    out.result({"channel": channel, "sent": True}, lambda: out.line(f"A test message was sent to channel {channel!r}."))
