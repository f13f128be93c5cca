"""Due times of cron schedules, compared with a walk along the time line that looks at a clock every minute."""

import re
from datetime import UTC, datetime, timedelta
from functools import cache

import numpy as np
import pandas as pd
import pytest

from jobs.maintenance import Maintenance
from jobs.timing import Timing
from schemas.service import MaintenanceWindow

ZONES = (
    "Europe/Berlin",
    "Europe/London",
    "America/New_York",
    "America/Havana",  # leaves out midnight
    "Asia/Beirut",  # leaves out midnight
    "Africa/Cairo",  # leaves out midnight, and repeats the hour before it
    "Africa/Casablanca",
    "Australia/Sydney",
    "Australia/Lord_Howe",  # changes by half an hour
    "Asia/Kolkata",
)
SCHEDULES = (
    "0 0 * * *",
    "30 2 * * *",
    "*/30 2 * * *",
    "15,45 0-3 * * *",
    "59 23 * * *",
    "*/20 */1 * * *",
    "10 */2 * * sun",
    "0 0 * * 0",
    "30 1 * * 6-7",
    "0 0 13 * fri",
    "0 12 1-7 */3 mon-fri/2",
    "0 0 29 2 *",
)
START, END = datetime(2026, 1, 1, tzinfo=UTC), datetime(2029, 1, 1, tzinfo=UTC)
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
MINUTES_PER_DAY = 24 * 60
WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


@cache
def clock(zone):
    """Return what a clock in a zone shows at each minute of three years, in minutes since 1970 on that clock."""
    times = pd.date_range(START, END, freq="min").tz_convert(zone).tz_localize(None)
    return times.to_numpy().astype("datetime64[m]").astype(np.int64)


def numbers(field, first, last):
    """Return the numbers that a field of cron lists."""
    listed = set()
    for part in re.sub("|".join(WEEKDAYS), lambda day: str(WEEKDAYS.index(day[0])), field).split(","):
        span, _, step = part.partition("/")
        low, _, high = (f"{first}-{last}" if span == "*" else span).partition("-")
        listed |= set(range(int(low), int(high or (last if step else low)) + 1, int(step or 1)))
    return listed


def is_due(expression, shown):
    """Return which of the minutes shown by a clock the fields of an expression match, as in crontab(5)."""
    minute, hour, day, month, weekday = expression.split()
    of_day = {60 * h + m for h in numbers(hour, 0, 23) for m in numbers(minute, 0, 59)}
    dates, positions = np.unique(shown // MINUTES_PER_DAY, return_inverse=True)
    calendar = pd.DatetimeIndex(dates.astype("datetime64[D]"))
    by_day = calendar.day.isin(numbers(day, 1, 31))
    by_weekday = ((calendar.day_of_week + 1) % 7).isin({number % 7 for number in numbers(weekday, 0, 6)})
    is_either = day[0] != "*" and weekday[0] != "*"
    by_date = (by_day | by_weekday if is_either else by_day & by_weekday) & calendar.month.isin(numbers(month, 1, 12))
    by_clock = np.isin(np.arange(MINUTES_PER_DAY), list(of_day))
    return by_date[positions] & by_clock[shown % MINUTES_PER_DAY]


def walked(expression, zone, first, last):
    """Return the due times that a walk from one minute to another finds, in minutes since the start."""
    start = max(0, first - MINUTES_PER_DAY)  # what the clock repeats, it has shown within a day
    shown = clock(zone)[start : last + 1]
    highest = np.maximum.accumulate(shown)
    is_new = np.concatenate([[True], shown[1:] > highest[:-1]])
    is_hourly = expression.split()[1][0] == "*"
    due = set((start + np.flatnonzero(is_due(expression, shown) & (is_new | is_hourly))).tolist())
    for before in np.flatnonzero(np.diff(shown) > 1):
        left_out = np.arange(shown[before] + 1, shown[before + 1])
        made_up_for = np.flatnonzero(is_due(expression, left_out))[:1]
        due |= set((start + before + 1 + made_up_for).tolist())
    return [minute for minute in sorted(due) if first <= minute <= last]


def days_of_change(zone):
    """Return the first and last minute of the days around two changes of the clocks, and of days without one."""
    changes = np.flatnonzero(np.diff(clock(zone)) != 1).tolist()[:2]
    return [(time - 2 * MINUTES_PER_DAY, time + 2 * MINUTES_PER_DAY) for time in [*changes, 14 * MINUTES_PER_DAY]]


def moment(minute):
    return START + int(minute) * MINUTE


def due_times(expression, zone, first, last):
    """Return the due times from one minute to another, each as the next one after the one before."""
    timing, due, times = Timing(expression, zone), moment(first) - MINUTE, []
    while (due := timing.next_due(due)) is not None and due <= moment(last):
        times.append((due - START) // MINUTE)
        assert timing.last_due(due) == timing.last_due(due + MINUTE / 2) == due
    return times


def is_open_as_walked(expression, minutes, zone, first, last, seed):
    """Compare a window with a walk at random times, asked for in random order."""
    openings = np.array(walked(expression, zone, max(0, first - minutes), last))
    rng = np.random.default_rng(seed)
    asked = np.concatenate([rng.integers(first, last, 60), openings[-9:], openings[-9:] + minutes])
    asked = rng.permutation(asked[(asked >= first) & (asked <= last)])
    expected = [bool(((openings <= minute) & (minute < openings + minutes)).any()) for minute in asked]
    window = MaintenanceWindow(cron=expression, duration=timedelta(minutes=minutes))
    maintenance = Maintenance([window], zone)
    return [maintenance.mutes("pump", moment(minute)) for minute in asked] == expected


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("expression", SCHEDULES)
def test_due_times_around_every_change_of_the_clocks_are_those_of_a_walk(expression, zone):
    for first, last in days_of_change(zone):
        assert due_times(expression, zone, first, last) == walked(expression, zone, first, last)


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize(("expression", "minutes"), [("30 2 * * *", 45), ("0 0 * * sun", 600), ("*/30 * * * *", 7)])
def test_a_window_is_open_as_in_a_walk_whatever_was_asked_before(expression, minutes, zone):
    for seed, (first, last) in enumerate(days_of_change(zone)):
        assert is_open_as_walked(expression, minutes, zone, first, last, seed)


@pytest.mark.slow
@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("expression", SCHEDULES)
def test_every_due_time_and_window_of_three_years_is_that_of_a_walk(expression, zone):
    first, last = MINUTES_PER_DAY, (END - START - DAY) // MINUTE
    assert due_times(expression, zone, first, last) == walked(expression, zone, first, last)
    for minutes in (1, 90, 3000):
        assert is_open_as_walked(expression, minutes, zone, first, last, minutes)


@pytest.mark.parametrize(
    ("schedule", "zone", "after", "expected"),
    [
        ("0 0 * * *", "Europe/Berlin", "2026-03-28T23:00", "2026-03-29T22:00"),
        ("0 0 * * 0", "Europe/London", "2026-03-22T00:00", "2026-03-29T00:00"),
        ("0 0 * * mon", "America/New_York", "2026-03-02T05:00", "2026-03-09T04:00"),
        ("0 0 * * mon", "Australia/Sydney", "2026-09-27T14:00", "2026-10-04T13:00"),
        ("0 0 * * *", "Africa/Cairo", "2026-04-22T22:00", "2026-04-23T22:00"),  # 00:00 is left out: at 01:00
        ("0 0 * * *", "America/Havana", "2026-03-07T05:00", "2026-03-08T05:00"),
        ("0 0 * * *", "Asia/Beirut", "2026-03-27T22:00", "2026-03-28T22:00"),
        ("0 12 * * *", "Pacific/Apia", "2011-12-29T22:00", "2011-12-30T22:00"),  # which left out 30 December
    ],
)
def test_the_day_of_a_change_is_not_skipped(schedule, zone, after, expected):
    timing = Timing(schedule, zone)
    after, expected = (datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (after, expected))
    assert timing.next_due(after) == expected
    assert timing.last_due(expected) == expected
    assert timing.last_due(expected - MINUTE) == after


def test_of_several_times_that_clocks_leave_out_together_the_first_is_made_up_for():
    after = datetime(2026, 3, 29, 0, 30, tzinfo=UTC)
    assert Timing("*/10 2 * * *", "Europe/Berlin").next_due(after) == datetime(2026, 3, 29, 1, 0, tzinfo=UTC)
    assert Timing("20,40 2 * * *", "Europe/Berlin").next_due(after) == datetime(2026, 3, 29, 1, 20, tzinfo=UTC)
    assert Timing("20,40 2 * * *", "Europe/Berlin").next_due(after.replace(hour=1)).day == 30
