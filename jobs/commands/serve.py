"""The commands `serve` and `work`: processes that run until they are stopped."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from jobs.commands.options import config_option

if TYPE_CHECKING:
    from jobs.serving.service import Role


@click.command("serve")
@config_option
def serve_command(config_path: Path) -> None:
    """Run the monitors by schedule, send alerts and serve HTTP. It ends with SIGTERM or Ctrl-C."""
    _run(config_path, "serve")


@click.command("work")
@config_option
def work_command(config_path: Path) -> None:
    """Score batches that `serve`, `score` or `rescore` planned, and nothing else. It ends with SIGTERM or Ctrl-C."""
    _run(config_path, "work")


def _run(config_path: Path, role: "Role") -> None:
    from jobs.app import App
    from jobs.logs import configure_logs
    from jobs.serving.service import Service

    with App.opened(config_path) as app:
        configure_logs(app.config.service.log)
        service = Service(app, role)
        service.handle_signals()
        service.run()
