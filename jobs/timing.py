"""When jobs are due: intervals and cron expressions with time zones."""

import re
from bisect import bisect_right
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Literal
from zoneinfo import ZoneInfo

from apscheduler.triggers.cron.fields import BaseField, DayOfMonthField, DayOfWeekField, MonthField

from schemas.errors import ConfigError
from schemas.section import interval_of

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MINUTE = timedelta(minutes=1)
_DAY = timedelta(days=1)
_SOME_DAY = datetime(2000, 1, 1)  # noqa: DTZ001 - a time on a clock
_FIRST_DATE, _LAST_DATE = 366, date.max.toordinal() - 1  # no time zone moves their times out of the calendar
_MAX_DATES_SEARCHED = 40 * 366  # 29 February falls on each weekday within 40 years
_DATES_AROUND = 2
_DATES_CACHED = 16
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
        """Return the last due time up to a moment, in UTC, or None if there is none within forty years.

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
    When clocks go back, a time of a fixed hour that occurs twice is due once, at the first. When they go forward, the
    first due time that they leave out is made up for: it is due as long after the change as it lies inside the gap.

    APScheduler matches the fields. The times are computed here, since its own search adds steps to the wall clock and
    so skips days after a change.
    """

    def __init__(self, expression: str, time_zone: str) -> None:
        self._zone = ZoneInfo(time_zone)
        self._is_hourly = expression.split()[1].startswith("*")
        try:
            self._months, self._date_fields = _months(expression), _date_fields(expression)
            self._clock_times = _clock_times(expression)
        except (ValueError, KeyError) as exc:
            raise ConfigError(
                f"The schedule {expression!r} is not a valid cron expression: {exc}. "
                'Expected minute, hour, day, month and weekday, for example "30 2 * * mon-fri".'
            ) from exc
        self._due_on = lru_cache(_DATES_CACHED)(self._find_due_on)

    def next_due(self, after: datetime) -> datetime | None:
        return self._nearest(after, 1)

    def last_due(self, before: datetime) -> datetime | None:
        return self._nearest(before, -1)

    def _nearest(self, moment: datetime, direction: Literal[1, -1]) -> datetime | None:
        """Return the first due time after a moment, or for direction -1 the last one up to it.

        Due times mostly come in the order of their local dates. A change of the clocks around midnight repeats a part
        of a date, and a time that is made up for may fall on a later one; so the dates around are searched too.
        """
        first = moment.astimezone(self._zone).toordinal() - direction * _DATES_AROUND
        for day in range(first, first + direction * _MAX_DATES_SEARCHED, direction):
            if self._nearest_on(day, moment, direction) is not None:
                days = range(day, day + direction * (_DATES_AROUND + 1), direction)
                times = (self._nearest_on(around, moment, direction) for around in days)
                return (min if direction == 1 else max)(time for time in times if time is not None)
        return None

    def _nearest_on(self, day: int, moment: datetime, direction: Literal[1, -1]) -> datetime | None:
        times = self._due_on(day)
        later = bisect_right(times, moment)
        if direction == 1:
            return times[later] if later < len(times) else None
        return times[later - 1] if later else None

    def _find_due_on(self, day: int) -> tuple[datetime, ...]:
        """Return the due times of a local date, given by its ordinal, in order."""
        if not _FIRST_DATE <= day <= _LAST_DATE:
            return ()
        midnight = datetime.fromordinal(day)
        if not self._is_due_date(midnight):
            return ()
        offset = self._offsets(midnight)[0]
        if offset == self._offsets(midnight + _DAY)[1]:  # no change on this date
            start = (midnight - offset).replace(tzinfo=UTC)
            return tuple(start + clock_time for clock_time in self._clock_times)
        return tuple(sorted({time for clock in self._clock_times for time in self._moments(midnight + clock)}))

    def _moments(self, local: datetime) -> list[datetime]:
        """Return when a due local time occurs: never, once or twice."""
        first, second = self._offsets(local)
        if first < second and self._is_made_up_for_earlier(local, second - first):
            return []
        offsets = {first, second} if first > second and self._is_hourly else {first}
        return [(local - offset).replace(tzinfo=UTC) for offset in offsets]

    def _is_made_up_for_earlier(self, local: datetime, gap: timedelta) -> bool:
        """Return whether clocks leave out an earlier due time together with this one."""
        earlier = (local - minutes * _MINUTE for minutes in range(1, gap // _MINUTE))
        return any(self._is_left_out(time) and self._is_due(time) for time in earlier)

    def _is_left_out(self, local: datetime) -> bool:
        first, second = self._offsets(local)
        return first < second

    def _offsets(self, local: datetime) -> tuple[timedelta, timedelta]:
        """Return the offsets from UTC before and after a change that leaves out or repeats a time; mostly the same."""
        first, second = (local.replace(tzinfo=self._zone, fold=fold).utcoffset() for fold in (0, 1))
        return first or timedelta(0), second or timedelta(0)

    def _is_due(self, local: datetime) -> bool:
        midnight = datetime.fromordinal(local.toordinal())
        return local - midnight in self._clock_times and self._is_due_date(midnight)

    def _is_due_date(self, midnight: datetime) -> bool:
        if midnight.month not in self._months:
            return False
        return any(all(_matches(field, midnight) for field in fields) for fields in self._date_fields)


@lru_cache(maxsize=256)
def _cron(expression: str, time_zone: str) -> _Cron:
    return _Cron(expression, time_zone)


def _months(expression: str) -> frozenset[int]:
    field = MonthField("month", expression.lower().split()[3])
    return frozenset(month for month in range(1, 13) if _matches(field, _SOME_DAY.replace(month=month)))


def _date_fields(expression: str) -> list[tuple[BaseField, ...]]:
    """Return alternatives of fields that a date of the right month has to match together."""
    _, _, day, _, weekday = expression.lower().split()
    weekdays = _weekdays(weekday)
    is_either = not (day.startswith("*") or weekday.startswith("*"))
    days = [(day, "*"), ("*", weekdays)] if is_either else [(day, weekdays)]
    return [(DayOfMonthField("day", of_month), DayOfWeekField("day_of_week", of_week)) for of_month, of_week in days]


def _clock_times(expression: str) -> tuple[timedelta, ...]:
    """Return the due times of a day, as the time since midnight on a clock."""
    minute, hour, *_ = expression.split()
    minute_field, hour_field = BaseField("minute", minute), BaseField("hour", hour)
    hours = [time for time in (timedelta(hours=n) for n in range(24)) if _matches(hour_field, _SOME_DAY + time)]
    minutes = [time for time in (n * _MINUTE for n in range(60)) if _matches(minute_field, _SOME_DAY + time)]
    return tuple(of_hour + of_minute for of_hour in hours for of_minute in minutes)


def _matches(field: BaseField, time: datetime) -> bool:
    return bool(field.get_next_value(time) == field.get_value(time))


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
