"""When jobs are due: intervals and cron expressions with time zones."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from apscheduler.triggers.cron import CronTrigger

from schemas.errors import ConfigError
from schemas.section import interval_of

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MINUTE = timedelta(minutes=1)
_MAX_LOOK_BACK = timedelta(days=12 * 366)  # 29 February is skipped in most years that end a century
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_WEEKDAY = re.compile(r"(?:\*|(?P<first>\w+)(?:-(?P<last>\w+))?)(?:/(?P<step>[1-7]))?")


@dataclass(frozen=True)
class Timing:
    """A schedule: an interval, or a cron expression with its time zone."""

    schedule: str
    time_zone: str = "UTC"

    def next_due(self, after: datetime) -> datetime | None:
        """Return the first due time after a moment, in UTC, or None if the schedule never falls due again.

        Intervals count from the start of 1970, so that every process computes the same times.

        >>> Timing("15m").next_due(datetime(2026, 3, 1, 12, 15, tzinfo=UTC)).isoformat()
        '2026-03-01T12:30:00+00:00'
        """
        interval = interval_of(self.schedule)
        if interval is not None:
            return _EPOCH + ((after - _EPOCH) // interval + 1) * interval
        return _cron(self.schedule, self.time_zone).next_due(after)

    def last_due(self, before: datetime) -> datetime | None:
        """Return the last due time up to a moment, in UTC, or None if there is none within twelve years.

        >>> Timing("0 3 * * mon").last_due(datetime(2026, 3, 1, 12, 15, tzinfo=UTC)).isoformat()
        '2026-02-23T03:00:00+00:00'
        """
        interval = interval_of(self.schedule)
        if interval is not None:
            return _EPOCH + ((before - _EPOCH) // interval) * interval
        return _cron(self.schedule, self.time_zone).last_due(before)


def check_timing(timing: Timing) -> None:
    """Refuse a schedule that is invalid or never falls due.

    Raises:
        ConfigError: If the schedule is refused; with the reason.
    """
    if timing.next_due(_EPOCH.replace(year=2026)) is None:
        raise ConfigError(f"The schedule {timing.schedule!r} never falls due. Name a day that exists.")


class _Cron:
    """The due times of a cron expression, as in crontab(5).

    Sunday is 0 and 7, and if both the day of the month and the weekday are restricted, either suffices.
    At the end of daylight saving, a fixed hour that occurs twice is due once; at its start, a skipped time
    is due within the following hour.
    """

    def __init__(self, expression: str, time_zone: str) -> None:
        self._zone = ZoneInfo(time_zone)
        self._is_hourly = expression.split()[1].startswith("*")
        try:
            self._triggers = _triggers(expression, self._zone)
        except (ValueError, KeyError) as exc:
            raise ConfigError(
                f"The schedule {expression!r} is not a valid cron expression: {exc}. "
                'Expected minute, hour, day, month and weekday, for example "30 2 * * mon-fri".'
            ) from exc

    def next_due(self, after: datetime) -> datetime | None:
        times = [time for trigger in self._triggers if (time := self._next(trigger, after)) is not None]
        return min(times, default=None)

    def last_due(self, before: datetime) -> datetime | None:
        reach, low = _MINUTE, self.next_due(before - _MINUTE)
        while low is None or low > before:
            reach *= 2
            if reach > _MAX_LOOK_BACK:
                return None
            low = self.next_due(before - reach)
        high = before  # bisect: low is due, and nothing is due after high
        while high - low >= _MINUTE:
            middle = low + (high - low) / 2
            later = self.next_due(middle)
            if later is None or later > before:
                high = middle
            else:
                low = later
        return low

    def _next(self, trigger: CronTrigger, after: datetime) -> datetime | None:
        due = trigger.get_next_fire_time(None, (after + timedelta(microseconds=1)).astimezone(self._zone))
        while due is not None and not self._is_hourly and self._is_repeated(due):
            due = trigger.get_next_fire_time(None, due.astimezone(UTC) + _MINUTE)
        return None if due is None else due.astimezone(UTC)

    def _is_repeated(self, due: datetime) -> bool:
        """Return whether wall clocks show this time for the second time."""
        return bool(due.astimezone(UTC).astimezone(self._zone).fold)


@lru_cache(maxsize=256)
def _cron(expression: str, time_zone: str) -> _Cron:
    return _Cron(expression, time_zone)


def _triggers(expression: str, zone: ZoneInfo) -> list[CronTrigger]:
    minute, hour, day, month, weekday = expression.lower().split()
    weekdays = _weekdays(weekday)
    is_either = not (day.startswith("*") or weekday.startswith("*"))
    days = [(day, "*"), ("*", weekdays)] if is_either else [(day, weekdays)]
    return [
        CronTrigger(minute=minute, hour=hour, day=of_month, month=month, day_of_week=of_week, timezone=zone)
        for of_month, of_week in days
    ]


def _weekdays(field: str) -> str:
    """Convert a weekday field of cron to names, since APScheduler counts weekdays from Monday.

    >>> _weekdays("0"), _weekdays("5-7"), _weekdays("mon-fri/2"), _weekdays("*/2")
    ('sun', 'sun,fri,sat', 'mon,wed,fri', 'sun,tue,thu,sat')
    """
    days: set[int] = set()
    for part in field.split(","):
        match = _WEEKDAY.fullmatch(part)
        if match is None:
            msg = f"{part!r} is not a weekday"
            raise ValueError(msg)
        first, last, step = match.group("first", "last", "step")
        start = 0 if first is None else _weekday(first)
        end = 6 if first is None or (step and not last) else _weekday(last or first)
        end += 7 if end < start else 0
        days |= {day % 7 for day in range(start, end + 1, int(step or 1))}
    return ",".join(_WEEKDAYS[day] for day in sorted(days))


def _weekday(text: str) -> int:
    if text in _WEEKDAYS:
        return _WEEKDAYS.index(text)
    if text.isdecimal() and int(text) <= len(_WEEKDAYS):
        return int(text)
    msg = f"{text!r} is not a weekday"
    raise ValueError(msg)
