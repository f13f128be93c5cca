"""Options that every command has."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from jobs.output import Output


config_option = click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("config.toml"),
    show_default=True,
    help="The configuration file.",
)
json_option = click.option("--json", "is_json", is_flag=True, help="Print one JSON document, for programs.")
row_id = click.IntRange(0, 2**63 - 1)  # beyond it, databases end in errors of their own
monitor_argument = click.argument("monitor", metavar="MONITOR")


def with_app(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options --config and --json, and call it with `app` and `out` in their place."""

    @config_option
    @json_option
    @wraps(function)
    def command(config_path: Path, is_json: bool, **arguments: Any) -> None:
        from jobs.app import App
        from jobs.output import Output

        with App.opened(config_path) as app:
            function(app=app, out=Output(is_json=is_json), **arguments)

    return command


def in_utc(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments in which times, typed without a zone, are in UTC."""
    return {
        name: value.replace(tzinfo=UTC) if isinstance(value, datetime) else value for name, value in arguments.items()
    }


@contextmanager
def counted(out: "Output", title: str) -> Iterator[Callable[[int], None]]:
    """Progress of work that counts records and does not know how many there are."""
    with out.progress(title) as update:
        yield lambda records: update(records, None, f"{records:,} records")
