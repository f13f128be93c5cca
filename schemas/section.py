"""Building blocks of the configuration: sections, durations, schedules, columns."""

import re
from datetime import timedelta
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict

from schemas.errors import UsageError

MONITOR_NAME = r"^[a-z][a-z0-9_]{0,40}$"
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_CRON_FIELDS = 5
_NEVER = "never"  # TOML has no value for nothing
_MAX_DURATION = timedelta(days=36_525)  # beyond it, times of today plus or minus a duration leave the calendar


class Section(BaseModel):
    """A table of the configuration: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


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


Duration = Annotated[timedelta, BeforeValidator(parse_duration), AfterValidator(_check_duration)]
Schedule = Annotated[str | None, AfterValidator(_check_schedule)]
TimeZone = Annotated[str, AfterValidator(_check_time_zone)]
Columns = Annotated[tuple[str, ...], BeforeValidator(_as_tuple)]
