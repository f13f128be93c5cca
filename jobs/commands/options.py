"""Options that the commands share."""

import getpass
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from jobs.wording import counted_noun
from schemas.errors import UsageError

if TYPE_CHECKING:
    from jobs.app import App
    from jobs.execution.elsewhere import Workers
    from jobs.output import Output
    from schemas.config import Config

NO_MONITOR = "The configuration has no monitor. Add one: plumbline init --append --table NAME"

config_option = click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("config.toml"),
    show_default=True,
    help="Configuration file.",
)
json_option = click.option("--json", "is_json", is_flag=True, help="Print the result as one JSON document.")
MAX_ROW_ID = 2**63 - 1  # databases fail on larger integers
row_id = click.IntRange(0, MAX_ROW_ID)
_ONLY_MONITOR = object()  # stands for the one monitor of the configuration until that is read
_DAYS_AGO = {"today": 0, "yesterday": 1}


def monitor_names(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Return the monitors that complete a word in a shell; none if there is no valid configuration."""
    import tomllib

    path = ctx.params.get("config_path") or "config.toml"
    try:
        monitors = tomllib.loads(Path(path).read_text(encoding="utf-8")).get("monitors", {})
    except (OSError, ValueError):
        return []
    return [name for name in monitors if name.startswith(incomplete)]


monitor_argument = click.argument(
    "monitor",
    metavar="[MONITOR]",
    required=False,
    callback=lambda _ctx, _param, value: _ONLY_MONITOR if value is None else value,
    shell_complete=monitor_names,
)
"""A monitor; the only one of the configuration if it is left out."""
any_monitor_argument = click.argument("monitor", metavar="[MONITOR]", required=False, shell_complete=monitor_names)
"""A monitor, or None for all of them."""


def user_name() -> str:
    """Return the name of the user for the audit."""
    try:
        return f"user {getpass.getuser()}"
    except (KeyError, OSError):  # a number without an entry, as in containers
        return f"user {os.getuid()}"


def only_monitor(config: "Config") -> str:
    """Return the name of the monitor of a configuration that has exactly one.

    Raises:
        UsageError: If it has none, or more than one.
    """
    if len(config.monitors) == 1:
        return next(iter(config.monitors))
    if not config.monitors:
        raise UsageError(NO_MONITOR)
    raise UsageError(f"The configuration has several monitors. Name one of them: {', '.join(sorted(config.monitors))}.")


class Length(click.ParamType[timedelta]):
    """How long something lasts, such as 2h or 1h 30m."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """Parse a duration."""
        from schemas.section import is_duration, parse_duration

        if isinstance(value, timedelta):
            return value
        try:
            length = parse_duration(value) if is_duration(value) else None
        except ValueError:  # longer than the calendar
            length = None
        if not isinstance(length, timedelta) or not length:
            self.fail(f"{value!r} is not a duration of up to 36525d. Use a form such as 90d, 2h or 1h 30m.", param, ctx)
        return length


class Moment(click.ParamType[datetime]):
    """A time in ISO 8601, in UTC unless it has a time zone; or how long ago, such as 1h; or `today` or `yesterday`.

    Args:
        clock: the time now.
    """

    name = "time"

    def __init__(self, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._clock = clock

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Parse a time."""
        from jobs.dialects import END_OF_VALID_TIMES as END
        from jobs.dialects import FIRST_VALID_TIME as FIRST

        if isinstance(value, datetime):
            return value
        try:
            time = self._time(value.strip())
        except (ValueError, OverflowError):
            self.fail(
                f"{value!r} is not a valid time. Use a form such as 2026-03-01, 2026-03-01T12:30:00, 1h or yesterday.",
                param,
                ctx,
            )
        if not FIRST <= time < END:
            self.fail(f"{value!r} is not in the years {FIRST.year} to {END.year - 1}.", param, ctx)
        return time

    def _time(self, text: str) -> datetime:
        from schemas.section import is_duration, parse_duration

        now, word = self._clock(), text.lower()
        if word == "now":
            return now
        if word in _DAYS_AGO:
            midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
            return midnight - timedelta(days=_DAYS_AGO[word])
        ago = word.removesuffix(" ago")
        if is_duration(ago) and isinstance(duration := parse_duration(ago), timedelta):
            return now - duration
        time = datetime.fromisoformat(text)
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def with_app(function: Callable[..., None]) -> Callable[..., None]:
    """Add the options --config and --json to a command, and pass it `app` and `out` instead."""

    @config_option
    @json_option
    @wraps(function)
    def command(config_path: Path, is_json: bool, **arguments: Any) -> None:
        from jobs.app import App
        from jobs.output import Output

        with App.opened(config_path) as app:
            if arguments.get("monitor") is _ONLY_MONITOR:
                arguments["monitor"] = only_monitor(app.config)
            function(app=app, out=Output(is_json=is_json), **arguments)

    return command


def workers_if_configured(app: "App") -> "Workers | None":
    """Return the workers of the configured executor; None if commands compute in their own process.

    Raises:
        ConfigError: If the executor is not installed, or cannot be found.
    """
    if app.config.runtime.executor == "local":
        return None
    from jobs.execution.elsewhere import workers_of

    return workers_of(app)


@contextmanager
def counted_progress(out: "Output", title: str) -> Iterator[Callable[[int], None]]:
    """Show the progress of work on an unknown number of records."""
    with out.progress(title) as update:
        yield lambda records: update(records, None, counted_noun(records, "record"))
