"""The command `serve`: run schedules, alerts, trainings and the API until stopped."""

from pathlib import Path

import click

from jobs.commands.options import config_option
from schemas.errors import UsageError


@click.command("serve")
@config_option
@click.option("--demo", "is_demo", is_flag=True, help="Serve the demo in the folder `demo`, which `demo` writes.")
def serve_command(config_path: Path, is_demo: bool) -> None:
    """Run the monitors by schedule, send alerts and serve HTTP. It ends with SIGTERM or Ctrl-C."""
    config_path = _demo_config() if is_demo else config_path
    from jobs.app import App
    from jobs.logs import configure_logs
    from jobs.serving.service import Service

    with App.opened(config_path) as app:
        configure_logs(app.config.service.log)
        service = Service(app)
        service.handle_signals()
        service.run()


def _demo_config() -> Path:
    path = Path("demo") / "config.toml"
    if not path.exists():
        raise UsageError("There is no demo in this folder. Make it first: plumbline demo")
    return path
