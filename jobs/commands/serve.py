"""The commands `serve` and `work`: processes that run until they are stopped."""

import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from jobs.commands.options import config_option
from schemas.errors import UsageError

if TYPE_CHECKING:
    from jobs.serving.service import Role


@click.command("serve")
@config_option
@click.option("--demo", "is_demo", is_flag=True, help="Serve the demo in the folder `demo`, which `demo` writes.")
def serve_command(config_path: Path, is_demo: bool) -> None:
    """Run the monitors by schedule, send alerts and serve HTTP. It ends with SIGTERM or Ctrl-C."""
    _run(_demo_config() if is_demo else config_path, "serve")


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
    end_at_once()


def end_at_once() -> None:
    """End the process without its threads: one that still draws a picture would abort the interpreter as it ends."""
    logging.shutdown()
    sys.stdout.flush()
    os._exit(0)


def _demo_config() -> Path:
    path = Path("demo") / "config.toml"
    if not path.exists():
        raise UsageError("There is no demo in this folder. Make it first: plumbline demo")
    return path
