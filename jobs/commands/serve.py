"""The command `serve`: run schedules, alerts, trainings and the API until stopped."""

from pathlib import Path

import click

from jobs.commands.options import config_option


@click.command("serve")
@config_option
def serve_command(config_path: Path) -> None:
    """Run the monitors by schedule, send alerts and serve HTTP. It ends with SIGTERM or Ctrl-C."""
    from jobs.app import App
    from jobs.logs import configure_logs
    from jobs.serving.service import Service

    with App.opened(config_path) as app:
        configure_logs(app.config.service.log)
        service = Service(app)
        service.handle_signals()
        service.run()
