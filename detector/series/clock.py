"""Clock: the places of records in a local calendar: slots of the week or of two weeks, and days of the month."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

DAY_SECONDS = 86_400
MAX_DAY_SLOTS = 96  # quarters of an hour
WEEK_DAYS, SUNDAY, SATURDAY, MONTH_DAYS = 7, 6, 5, 31
YEARS_AHEAD = 10  # of the last training record: a champion is replaced long before, and 10 years are at most 300 dates
FIRST_DAYS = 15  # of a month that are counted from its start, where its other days are counted from its end


@dataclass(frozen=True)
class Places:
    """The places of records in a calendar, all (n,); 0 if a time is missing.

    Attributes:
        slot: of the week, Monday first, or of two weeks.
        month_day: day of the month, from 0.
        end_day: the same, with the later half of each month placed as in a month of 31 days, so that its end is 30.
        is_weekend: whether the day is a Saturday, a Sunday or a holiday.
    """

    slot: np.ndarray
    month_day: np.ndarray
    end_day: np.ndarray
    is_weekend: np.ndarray


@dataclass(frozen=True)
class Clock:
    """Converts times in UTC to the slots of a local calendar.

    Attributes:
        zone: name of the time zone.
        day_slots: number of slots of a day.
        holidays: (k,) days since 1970-01-01 that count as Sundays, in ascending order.
        weeks: after which the slots repeat, 1 or 2.
    """

    zone: str
    day_slots: int
    holidays: np.ndarray
    weeks: int = 1

    @property
    def slots(self) -> int:
        """The number of slots after which they repeat."""
        return self.weeks * WEEK_DAYS * self.day_slots

    def places(self, times: np.ndarray) -> Places:
        """Return the places of times (n,)."""
        local = pd.DatetimeIndex(times, tz="UTC").tz_convert(self.zone).tz_localize(None).to_numpy()
        seconds = local.astype("datetime64[s]").astype(np.int64)
        days, second = seconds // DAY_SECONDS, seconds % DAY_SECONDS
        since_monday = days + 3  # day 0 was a Thursday
        weekday = np.where(np.isin(days, self.holidays), SUNDAY, since_monday % WEEK_DAYS)
        day = since_monday // WEEK_DAYS % self.weeks * WEEK_DAYS + weekday
        slot = day * self.day_slots + second * self.day_slots // DAY_SECONDS
        month_day, end_day = _month_days(days.astype("datetime64[D]"))
        places = (slot, month_day, end_day, weekday >= SATURDAY)
        return Places(*(np.where(np.isnat(local), 0, place) for place in places))


def _month_days(dates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the day of the month of dates (n,), and the same with the days of the later half placed by their end."""
    months = dates.astype("datetime64[M]")
    first, following = months.astype("datetime64[D]"), (months + 1).astype("datetime64[D]")
    month_day, size = (dates - first).astype(np.int64), (following - first).astype(np.int64)
    return month_day, np.where(month_day < FIRST_DAYS, month_day, month_day + MONTH_DAYS - size)


def make_clock(runs: Sequence[np.ndarray], zone: str, holidays: Sequence[str]) -> Clock | None:
    """Return the clock of the times of runs of training records, or None if they are no date-times.

    A slot is as long as the usual step between records, and at least a quarter of an hour.
    """
    if not np.issubdtype(runs[0].dtype, np.datetime64):
        return None
    day_slots = int(np.clip(day_rows(runs), 1, MAX_DAY_SLOTS))
    return Clock(zone, day_slots, day_numbers(holidays))


def holiday_years(runs: Sequence[np.ndarray], zone: str) -> range:
    """Return the local years whose holidays a model stores: from the first record to `YEARS_AHEAD` after the last.

    Empty if the times of the runs are no date-times.

    >>> holiday_years([np.array(["2025-12-31T23:30", "2026-06-01T00:00"], dtype="datetime64[s]")], "Europe/Berlin")
    range(2026, 2037)
    """
    if not np.issubdtype(runs[0].dtype, np.datetime64):
        return range(0)
    times = pd.DatetimeIndex(np.concatenate(runs), tz="UTC").tz_convert(zone)
    return range(times.min().year, times.max().year + YEARS_AHEAD + 1)


def day_rows(runs: Sequence[np.ndarray]) -> int:
    """Return the number of records of a day by the usual step between the times of runs of records, at least one."""
    steps = np.concatenate([np.diff(times) for times in runs]) / np.timedelta64(1, "s")
    step = float(np.median(steps[steps > 0])) if (steps > 0).any() else DAY_SECONDS
    return max(1, round(DAY_SECONDS / step))


def day_numbers(dates: Sequence[str]) -> np.ndarray:
    """Return the days since 1970-01-01 of dates.

    >>> day_numbers(["1970-01-03", "1970-01-01"]).tolist()
    [0, 2]
    """
    return np.array(sorted(dates), dtype="datetime64[D]").astype(np.int64)
