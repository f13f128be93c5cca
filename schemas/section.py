"""Building blocks of the configuration: sections, durations, schedules, columns."""

import re
from datetime import timedelta
from typing import Annotated, Any, Literal, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, WithJsonSchema

from schemas.errors import UsageError

MONITOR_NAME = r"^[a-z][a-z0-9_]{0,40}$"
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_CRON_FIELDS = 5
_NEVER = "never"  # TOML has no value for nothing
_MAX_DURATION = timedelta(days=36_525)  # beyond it, times of today plus or minus a duration leave the calendar


class Section(BaseModel):
    """A table of the configuration: frozen, and an unknown key is an error.

    The docstring of a field is its description in the JSON Schema, which reads the source: each start would read it if
    Pydantic collected the docstrings.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")


def refuse_wrong_name(name: str) -> None:
    """Raise an error unless a text can be the name of a monitor.

    Raises:
        UsageError: If it cannot.
    """
    if not re.fullmatch(MONITOR_NAME, name):
        msg = f"{name!r} cannot name a monitor. Use up to 41 lower-case letters, digits and _, and a letter first."
        raise UsageError(msg)


def parse_duration(value: object) -> object:
    """Return the duration of a text such as ``30s``, ``5m`` or ``1h 30m``, and any other value as it is.

    >>> parse_duration("1h 30m")
    datetime.timedelta(seconds=5400)
    """
    if not isinstance(value, str):
        return value
    if not is_duration(value):
        msg = f"expected a duration such as 30s, 5m or 1h 30m, received {value!r}"
        raise ValueError(msg)
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in _DURATION.findall(value))
    _check_length(seconds)
    return timedelta(seconds=seconds)


def duration_text(duration: timedelta) -> str:
    """Return the text of a duration, as `parse_duration` reads it.

    >>> duration_text(timedelta(minutes=90)), duration_text(timedelta(days=7)), duration_text(timedelta(0))
    ('90m', '7d', '0s')
    """
    seconds = duration.total_seconds()
    for unit in ("d", "h", "m"):
        if seconds and seconds % _SECONDS[unit] == 0:
            return f"{seconds / _SECONDS[unit]:.0f}{unit}"
    return f"{seconds:g}s"


def is_duration(text: str) -> bool:
    """Return whether a text is a duration.

    >>> is_duration("5m"), is_duration("*/5 * * * *")
    (True, False)
    """
    return bool(text.strip()) and not _DURATION.sub("", text).strip()


def interval_of(schedule: str) -> timedelta | None:
    """Return the interval of a schedule, or None for a cron expression.

    >>> interval_of("5m")
    datetime.timedelta(seconds=300)
    """
    parsed = parse_duration(schedule) if is_duration(schedule) else None
    return parsed if isinstance(parsed, timedelta) else None


def _check_length(seconds: float) -> None:
    if not 0 <= seconds <= _MAX_DURATION.total_seconds():
        msg = f"expected a duration from 0s to {_MAX_DURATION.days}d (100 years), received {seconds:g} s"
        raise ValueError(msg)


def _check_duration(duration: timedelta) -> timedelta:
    _check_length(duration.total_seconds())
    return duration


def _check_positive(duration: timedelta) -> timedelta:
    if duration <= timedelta(0):
        raise ValueError("expected a duration longer than 0s")
    return duration


def _parse_silence(value: object) -> object:
    if value in {"auto", _NEVER}:
        return value
    try:
        duration = parse_duration(value)
    except ValueError as exc:
        msg = f'{exc}, or "auto" or "never"'
        raise ValueError(msg) from None
    if isinstance(duration, timedelta) and duration <= timedelta(0):
        raise ValueError('expected a duration longer than 0, "auto" or "never"')
    return duration


def _parse_gap(value: object) -> object:
    if value == "auto":
        return value
    try:
        return parse_duration(value)
    except ValueError as exc:
        msg = f'{exc}, or "auto"'
        raise ValueError(msg) from None


def _check_gap(gap: timedelta | str) -> timedelta | str:
    return _check_duration(gap) if isinstance(gap, timedelta) else gap


def _check_schedule(schedule: str | None) -> str | None:
    if schedule is None or schedule == _NEVER:
        return None
    interval = interval_of(schedule)
    if interval is not None and interval < timedelta(seconds=1):
        msg = f"expected an interval of at least 1s, received {schedule!r}"
        raise ValueError(msg)
    if interval is None and len(schedule.split()) != _CRON_FIELDS:
        msg = f'expected a duration such as "5m", a cron expression of five fields or "never", received {schedule!r}'
        raise ValueError(msg)
    return schedule


def _check_time_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        msg = f"expected the name of a time zone such as UTC or Europe/Berlin, received {name!r}"
        raise ValueError(msg) from None
    return name


def _as_tuple(value: object) -> object:
    return (value,) if isinstance(value, str) else value


_DURATION_SCHEMA = {
    "type": ["string", "number"],
    "pattern": rf"^\s*({_DURATION.pattern}\s*)+$|\$\{{",  # or the name of an environment variable
    "examples": ["30s", "5m", "1h 30m"],
}
_COLUMNS_SCHEMA = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
_SCHEDULE_SCHEMA = {"type": "string", "examples": ["5m", "30 2 * * mon-fri", _NEVER]}

Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    AfterValidator(_check_duration),
    WithJsonSchema(_DURATION_SCHEMA, mode="validation"),
]
PositiveDuration = Annotated[Duration, AfterValidator(_check_positive)]
Schedule = Annotated[str | None, AfterValidator(_check_schedule), WithJsonSchema(_SCHEDULE_SCHEMA, mode="validation")]
SilentAfter = Annotated[
    timedelta | Literal["auto", "never"],
    BeforeValidator(_parse_silence),
    WithJsonSchema({"anyOf": [_DURATION_SCHEMA, {"enum": ["auto", "never"]}]}, mode="validation"),
]
IncidentGap = Annotated[
    timedelta | Literal["auto"],
    BeforeValidator(_parse_gap),
    AfterValidator(_check_gap),
    WithJsonSchema({"anyOf": [_DURATION_SCHEMA, {"const": "auto"}]}, mode="validation"),
]
TimeZone = Annotated[str, AfterValidator(_check_time_zone)]
Columns = Annotated[tuple[str, ...], BeforeValidator(_as_tuple), WithJsonSchema(_COLUMNS_SCHEMA, mode="validation")]


def known_keys(document: type[BaseModel], place: tuple[str | int, ...]) -> list[str]:
    """Return the keys of the section of a document at a place such as ("monitors", "pump", "model")."""
    section = document
    for part in place:
        if part in section.model_fields:
            section = _section_of(section.model_fields[str(part)].annotation) or section
    return list(section.model_fields)


def _section_of(annotation: Any) -> type[BaseModel] | None:
    """Return the section inside an annotation such as dict[str, MonitorConfig]."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_section_of, get_args(annotation))), None)
