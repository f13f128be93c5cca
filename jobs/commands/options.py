"""Options that every command has."""

from collections.abc import Callable, Iterator
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


class Moment(click.ParamType[datetime]):
    """A date or a time in ISO 8601, as a time in UTC; one without a zone is in UTC."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """The time that a text stands for."""
        from jobs.dialects import END_OF_VALID_TIMES as END
        from jobs.dialects import FIRST_VALID_TIME as FIRST

        if isinstance(value, datetime):
            return value
        try:
            time = datetime.fromisoformat(value)
            time = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is no time. Write it like 2026-03-01, or 2026-03-01T12:30:00.", param, ctx)
        if not FIRST <= time < END:
            self.fail(
                f"{value!r} is not within the years {FIRST.year} to {END.year - 1}.",
                param,
                ctx,
            )
        return time


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


@contextmanager
def counted(out: "Output", title: str) -> Iterator[Callable[[int], None]]:
    """Progress of work that counts records and does not know how many there are."""
    with out.progress(title) as update:
        yield lambda records: update(records, None, f"{records:,} records")
