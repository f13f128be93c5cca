"""When jobs are due: schedules with time zones, and what calls back then. Only this module speaks APScheduler."""

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from apscheduler.executors.base import BaseExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.cron import CronTrigger

from schemas.errors import ConfigError
from schemas.section import interval_of

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MINUTE = timedelta(minutes=1)
_LOOK_BACK = timedelta(days=12 * 366)  # 29 February is left out once in a century
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_WEEKDAY = re.compile(r"(?:\*|(?P<first>\w+)(?:-(?P<last>\w+))?)(?:/(?P<step>[1-7]))?")


@dataclass(frozen=True)
class Timing:
    """A schedule, which is a cron expression or an interval, and the time zone of the former."""

    schedule: str
    time_zone: str = "UTC"

    def next_due(self, after: datetime) -> datetime | None:
        """The first due time after a moment, in UTC; None where there is none any more.

        An interval counts from the start of 1970, so that every process finds the same times.

        >>> Timing("15m").next_due(datetime(2026, 3, 1, 12, 15, tzinfo=UTC)).isoformat()
        '2026-03-01T12:30:00+00:00'
        """
        interval = interval_of(self.schedule)
        if interval is not None:
            return _EPOCH + ((after - _EPOCH) // interval + 1) * interval
        return _cron(self.schedule, self.time_zone).next_due(after)

    def last_due(self, before: datetime) -> datetime | None:
        """The last due time not after a moment, in UTC; None where there is none within twelve years.

        >>> Timing("0 3 * * mon").last_due(datetime(2026, 3, 1, 12, 15, tzinfo=UTC)).isoformat()
        '2026-02-23T03:00:00+00:00'
        """
        interval = interval_of(self.schedule)
        if interval is not None:
            return _EPOCH + ((before - _EPOCH) // interval) * interval
        return _cron(self.schedule, self.time_zone).last_due(before)


def next_due(schedule: str, time_zone: str, after: datetime) -> datetime | None:
    """The first due time after a moment, in UTC; None where there is none any more."""
    return Timing(schedule, time_zone).next_due(after)


def last_due(schedule: str, time_zone: str, before: datetime) -> datetime | None:
    """The last due time not after a moment, in UTC; None where there is none within twelve years."""
    return Timing(schedule, time_zone).last_due(before)


def check_timing(timing: Timing) -> None:
    """Refuse a schedule that cannot be read, or that never falls due.

    Raises:
        ConfigError: with what is wrong with it.
    """
    if timing.next_due(_EPOCH.replace(year=2026)) is None:
        raise ConfigError(f"The schedule {timing.schedule!r} never falls due. Name a day that exists.")


class _Cron:
    """The due times of a cron expression, as crontab(5) has them.

    Sunday is 0 and 7, and where both the day of the month and the weekday are restricted either suffices.
    At the end of daylight saving a fixed hour that comes twice counts once; at its beginning a time that is
    left out is made up for within the hour.
    """

    def __init__(self, expression: str, time_zone: str) -> None:
        self._zone = ZoneInfo(time_zone)
        self._is_hourly = expression.split()[1].startswith("*")
        try:
            self._triggers = _triggers(expression, self._zone)
        except (ValueError, KeyError) as exc:
            raise ConfigError(
                f"The schedule {expression!r} is no cron expression: {exc}. "
                'Expected minute, hour, day, month and weekday, for example "30 2 * * mon-fri".'
            ) from exc

    def next_due(self, after: datetime) -> datetime | None:
        found = [time for trigger in self._triggers if (time := self._next(trigger, after)) is not None]
        return min(found, default=None)

    def last_due(self, before: datetime) -> datetime | None:
        reach, low = _MINUTE, self.next_due(before - _MINUTE)
        while low is None or low > before:
            reach *= 2
            if reach > _LOOK_BACK:
                return None
            low = self.next_due(before - reach)
        high = before  # nothing is due past it, and low is due; between them the last one is found by halving
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
        """Whether a wall clock shows this time for the second time."""
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
    """The weekdays of a cron field by name, since APScheduler counts them from Monday.

    >>> _weekdays("0"), _weekdays("5-7"), _weekdays("mon-fri/2"), _weekdays("*/2")
    ('sun', 'sun,fri,sat', 'mon,wed,fri', 'sun,tue,thu,sat')
    """
    found: set[int] = set()
    for part in field.split(","):
        match = _WEEKDAY.fullmatch(part)
        if match is None:
            msg = f"{part!r} is no weekday"
            raise ValueError(msg)
        first, last, step = match.group("first", "last", "step")
        start = 0 if first is None else _weekday(first)
        end = 6 if first is None or (step and not last) else _weekday(last or first)
        end += 7 if end < start else 0
        found |= {day % 7 for day in range(start, end + 1, int(step or 1))}
    return ",".join(_WEEKDAYS[day] for day in sorted(found))


def _weekday(text: str) -> int:
    if text in _WEEKDAYS:
        return _WEEKDAYS.index(text)
    if text.isdecimal() and int(text) <= len(_WEEKDAYS):
        return int(text)
    msg = f"{text!r} is no weekday"
    raise ValueError(msg)


class Scheduler:
    """Calls back when a job is due, each time with the job's name and the first due time that the call stands for.

    A host that slept over many due times calls back once. The callback runs in the scheduler's thread,
    so it must hand the work on.

    Args:
        on_due: called with a job's name and due time.
    """

    def __init__(self, on_due: Callable[[str, datetime], None]) -> None:
        logging.getLogger("apscheduler").setLevel(logging.WARNING)
        self._jobs: dict[str, Timing] = {}
        self._scheduler = BackgroundScheduler(
            timezone=UTC,
            executors={"default": _Caller(on_due)},
            job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1},
        )

    def start(self) -> None:
        """Begin to call back."""
        self._scheduler.start()

    def stop(self) -> None:
        """Call back no more."""
        if self._scheduler.running:
            self._scheduler.shutdown()

    @property
    def is_running(self) -> bool:
        """Whether it calls back."""
        return bool(self._scheduler.running)

    def set_jobs(self, jobs: Mapping[str, Timing]) -> None:
        """Put these jobs in place of the present ones; a job whose timing stays keeps its next due time."""
        for name in self._jobs.keys() - jobs.keys():
            self._scheduler.remove_job(name)
        for name, timing in jobs.items():
            if self._jobs.get(name) != timing:
                self._scheduler.add_job(_nothing, _Trigger(timing), id=name, name=name, replace_existing=True)
        self._jobs = dict(jobs)

    def next_runs(self) -> dict[str, datetime]:
        """When each job is due next."""
        times = {job.id: getattr(job, "next_run_time", None) for job in self._scheduler.get_jobs()}
        return {name: time for name, time in times.items() if time is not None}


def _nothing() -> None:
    """A job's own work: the executor calls back in its place, as a job is not told when it was due."""


class _Trigger(BaseTrigger):  # type: ignore[misc]  # the package is not typed
    """A timing as APScheduler asks for it: in UTC, where times can be compared and subtracted."""

    def __init__(self, timing: Timing) -> None:
        self._timing = timing

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime | None:
        return self._timing.next_due(previous_fire_time or now)


class _Caller(BaseExecutor):  # type: ignore[misc]  # the package is not typed
    """Calls back in the scheduler's thread, with the first due time that was missed."""

    def __init__(self, on_due: Callable[[str, datetime], None]) -> None:
        super().__init__()
        self._on_due = on_due

    def _do_submit_job(self, job: Any, run_times: list[datetime]) -> None:  # noqa: ARG002
        try:
            self._on_due(job.id, job.next_run_time)
        except Exception:
            logging.getLogger("plumbline").exception("the job %s could not be started", job.id)
        self._run_job_success(job.id, [])
