"""The command `mcp`: the monitors, for language models to read."""

import os
import signal
from pathlib import Path

import click

from jobs.commands.options import config_option
from schemas.errors import UsageError


@click.command("mcp")
@config_option
def mcp_command(config_path: Path) -> None:
    """Let a language model read monitors, incidents and causes, by the Model Context Protocol.

    A client such as an assistant starts it, and talks to it over standard input and output. It writes nothing.
    """
    from jobs.app import App
    from jobs.mcp.newest_config import NewestConfig
    from jobs.mcp.tools import Tools

    try:
        from jobs.mcp.server import serve_tools
    except ModuleNotFoundError as exc:
        if (exc.name or "").partition(".")[0] not in {"mcp", "mcp_types"}:
            raise
        raise UsageError("The package 'mcp' is not installed. Install it: pip install 'plumbline[mcp]'") from None
    with App.opened(config_path) as app:
        tools, newest = Tools(app), NewestConfig(app)
        _end_at_signals()
        serve_tools(tools, newest.refresh)


def _end_at_signals() -> None:
    """End the process at once by a signal: a thread that waits for standard input holds up any other end."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: os._exit(1))
