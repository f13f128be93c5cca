"""Calendar: the usual value of each channel by time of day, day of the week and day of the month, in local time.

Training measures the mean of each slot of the week. The slots of a channel are pooled over all days, over working days
and weekends, or not at all, whichever expects the held-back records best; a channel whose held-back records are not
expected better by any of them than by its mean takes no part. A holiday counts as a Sunday.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd

from detector.series.channels import Usual

DAY_SECONDS = 86_400
MAX_DAY_SLOTS = 96  # quarters of an hour
WEEK_DAYS, SUNDAY, SATURDAY, MONTH_DAYS = 7, 6, 5, 31
MIN_PERIODS = 2  # of a day, a week or a month that training must cover
MAX_FLAG_DEVIATION = 4.0  # of a state that was never seen at this time: some hundred days tell no more
MIN_GAIN = 0.1  # share of the mean absolute deviation of held-back records that a calendar must remove
MIN_EXTRA_GAIN = 0.05  # by which a finer pooling must be better than a coarser one
MIN_SPREAD = 0.05  # standard deviations of the channel
PRIOR_RECORDS = 4  # with the channel's own spread, that each slot's spread starts from
MONTH_PRIOR_DAYS = 2.0  # without a deviation, that each day of the month starts from


@dataclass(frozen=True)
class Clock:
    """Converts times in UTC to the slots of a local calendar.

    Attributes:
        zone: name of the time zone.
        day_slots: number of slots of a day.
        holidays: (k,) days since 1970-01-01 that count as Sundays, in ascending order.
    """

    zone: str
    day_slots: int
    holidays: np.ndarray

    def slots(self, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the slot of the week, Monday first, and the day of the month of times; all (n,), 0 if missing."""
        local = pd.DatetimeIndex(times, tz="UTC").tz_convert(self.zone).tz_localize(None).to_numpy()
        seconds = local.astype("datetime64[s]").astype(np.int64)
        days, second = seconds // DAY_SECONDS, seconds % DAY_SECONDS
        weekday = np.where(np.isin(days, self.holidays), SUNDAY, (days + 3) % WEEK_DAYS)  # day 0 was a Thursday
        dates = days.astype("datetime64[D]")
        month_day = (dates - dates.astype("datetime64[M]").astype("datetime64[D]")).astype(np.int64)
        slot = weekday * self.day_slots + second * self.day_slots // DAY_SECONDS
        return np.where(np.isnat(local), 0, slot), np.where(np.isnat(local), 0, month_day)


@dataclass(frozen=True)
class Calendar:
    """The usual course of each channel over the week, in standardised cells.

    Attributes:
        clock: of the records.
        is_used: (c,) 1 for channels that follow the calendar, else 0.
        centre: (7 s, c) float32, the usual cell in each slot of the week; 0 for other channels.
        spread: (7 s, c) float32, the usual deviation from it.
        month: (31, c) float32, the usual deviation on each day of the month; 0 unless records are daily.
        largest_move: (c,) largest distance of a cell, less its usual value, from the median of such distances before it
            in training; None in older models, which find glitches without the calendar.
    """

    clock: Clock
    is_used: np.ndarray
    centre: np.ndarray
    spread: np.ndarray
    month: np.ndarray
    largest_move: np.ndarray | None = None

    def to_state(self) -> dict[str, np.ndarray]:
        """Return all arrays by name; time zone and holidays are settings."""
        course = {"is_used": self.is_used, "centre": self.centre, "spread": self.spread, "month": self.month}
        return course if self.largest_move is None else course | {"largest_move": self.largest_move}

    @classmethod
    def from_state(cls, state: Mapping[str, np.ndarray], zone: str, holidays: Sequence[str]) -> Self:
        """Return the calendar of a state that `to_state` wrote."""
        return cls(Clock(zone, len(state["centre"]) // WEEK_DAYS, day_numbers(holidays)), **state)

    def expected(self, times: np.ndarray) -> Usual:
        """Return the usual cells at times (n,)."""
        slot, month_day = self.clock.slots(times)
        usual = (self.centre[slot] + self.month[month_day]).astype(np.float64)
        return Usual(usual, self.spread[slot].astype(np.float64), self.is_used == 1)


@dataclass(frozen=True)
class Candidate:
    """The calendar of each channel by one pooling of slots.

    Attributes:
        pool: (7 s,) the pool of each slot of the week.
        has_month: whether days of the month count too.
    """

    pool: np.ndarray
    has_month: bool = False

    def course(self, z: np.ndarray, slot: np.ndarray, month_day: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the mean of each slot of the week (7 s, c) and of each day of the month (31, c) of cells (n, c)."""
        centre = _means(z, self.pool[slot], int(self.pool.max()) + 1)[self.pool]
        if not self.has_month:
            return centre, np.zeros((MONTH_DAYS, z.shape[1]))
        return centre, _means(z - centre[slot], month_day, MONTH_DAYS, MONTH_PRIOR_DAYS)


@dataclass(frozen=True)
class Choice:
    """The candidates, and the candidate (c,) that expects each channel's held-back cells best; -1 for none.

    `is_flag` (c,) is true for channels that are states.
    """

    clock: Clock
    candidates: tuple[Candidate, ...]
    best: np.ndarray
    is_flag: np.ndarray

    @classmethod
    def make(
        cls,
        clock: Clock,
        splits: Sequence[tuple["Dated", "Dated"]],
        times: np.ndarray,
        *,
        is_flag: np.ndarray,
        is_required: bool,
    ) -> Self | None:
        """Choose by how well courses of records expect those held back; None if no channel has a course.

        Args:
            clock: of the records.
            splits: the records that courses are learned from, and those to expect.
            times: of all records.
            is_flag: (c,) whether a channel is a state.
            is_required: whether each channel follows its best candidate, even if its mean is better.
        """
        candidates = tuple(_candidates(clock, times, is_required=is_required))
        if not candidates or not sum(len(later.times) for _, later in splits):
            return None
        least, *errors = _errors(clock, splits, candidates)
        best = np.full(len(least), 0 if is_required else -1)
        smallest = np.where(is_required, np.inf, (1 - MIN_GAIN) * least)
        for number, error in enumerate(errors):
            best = np.where(error < smallest, number, best)
            smallest = np.where(error < smallest, error - MIN_EXTRA_GAIN * least, smallest)
        return cls(clock, candidates, best, is_flag) if (best >= 0).any() else None

    def fit(self, dated: "Dated") -> Calendar:
        """Return the calendar of records."""
        slot, month_day = self.clock.slots(dated.times)
        shape = (WEEK_DAYS * self.clock.day_slots, dated.z.shape[1])
        centre, month, is_used = np.zeros(shape), np.zeros((MONTH_DAYS, shape[1])), self.best >= 0
        for number in np.unique(self.best[is_used]):
            columns, candidate = np.flatnonzero(self.best == number), self.candidates[number]
            centre[:, columns], month[:, columns] = candidate.course(dated.z[:, columns], slot, month_day)
        spread = _spread(dated.z - centre[slot] - month[month_day], slot, self.clock.day_slots)
        distance = np.nanmax(dated.z, axis=0, initial=0) - np.nanmin(dated.z, axis=0, initial=0)  # of two states
        spread = np.maximum(spread, np.where(self.is_flag, distance / MAX_FLAG_DEVIATION, 0))
        arrays = (part.astype(np.float32) for part in (centre, spread, month))
        return Calendar(self.clock, is_used.astype(np.float64), *arrays)


@dataclass(frozen=True)
class Dated:
    """Standardised cells (n, c), NaN if missing, and their times (n,)."""

    times: np.ndarray
    z: np.ndarray


def make_clock(runs: Sequence[np.ndarray], zone: str, holidays: Sequence[str]) -> Clock | None:
    """Return the clock of the times of runs of training records, or None if they are no date-times.

    A slot is as long as the usual step between records, and at least a quarter of an hour.
    """
    if not np.issubdtype(runs[0].dtype, np.datetime64):
        return None
    steps = np.concatenate([np.diff(times) for times in runs]) / np.timedelta64(1, "s")
    step = float(np.median(steps[steps > 0])) if (steps > 0).any() else DAY_SECONDS
    day_slots = int(np.clip(round(DAY_SECONDS / step), 1, MAX_DAY_SLOTS))
    return Clock(zone, day_slots, day_numbers(holidays))


def day_numbers(dates: Sequence[str]) -> np.ndarray:
    """Return the days since 1970-01-01 of dates.

    >>> day_numbers(["1970-01-03", "1970-01-01"]).tolist()
    [0, 2]
    """
    return np.array(sorted(dates), dtype="datetime64[D]").astype(np.int64)


def _candidates(clock: Clock, times: np.ndarray, *, is_required: bool) -> Iterator[Candidate]:
    """Yield the poolings whose periods the records cover often enough, the coarsest first.

    A course of the day is that of every day of the week, so working days alone do not show it.
    """
    days = (times.max() - times.min()) / np.timedelta64(DAY_SECONDS, "s") if len(times) else 0.0
    days += 1 / clock.day_slots  # that the last record stands for
    periods = 1.0 if is_required else MIN_PERIODS
    slot = np.arange(clock.day_slots)
    is_weekend = clock.slots(times)[0] // clock.day_slots >= SATURDAY
    if clock.day_slots > 1 and days >= periods and (is_required or len(np.unique(is_weekend)) > 1):
        yield Candidate(np.tile(slot, WEEK_DAYS))
    if days < periods * WEEK_DAYS:
        return
    weekend = np.repeat(np.arange(WEEK_DAYS) >= SATURDAY, clock.day_slots)
    yield Candidate(np.tile(slot, WEEK_DAYS) + clock.day_slots * weekend)
    yield Candidate(np.arange(WEEK_DAYS * clock.day_slots))
    if clock.day_slots == 1 and days >= periods * MONTH_DAYS:
        yield Candidate(np.arange(WEEK_DAYS), has_month=True)


def _errors(
    clock: Clock, splits: Sequence[tuple[Dated, Dated]], candidates: Sequence[Candidate]
) -> Iterator[np.ndarray]:
    """Yield the mean error (c,) of held-back cells that are expected by their channel's mean, and by each candidate."""
    slots = [(clock.slots(earlier.times), clock.slots(later.times)) for earlier, later in splits]
    yield _mean_size([later.z - np.nan_to_num(_column_means(earlier.z)) for earlier, later in splits])
    for candidate in candidates:
        residuals = []
        for (earlier, later), (earlier_slots, (slot, month_day)) in zip(splits, slots, strict=True):
            centre, month = candidate.course(earlier.z, *earlier_slots)
            residuals.append(later.z - centre[slot] - month[month_day])
        yield _mean_size(residuals)


def _means(z: np.ndarray, group: np.ndarray, groups: int, prior: float = 0.0) -> np.ndarray:
    """Return the mean of each group of cells (groups, c), towards 0 by `prior` cells; the channel's mean if empty."""
    usual = np.nan_to_num(_column_means(z)) if prior == 0 else np.zeros(z.shape[1])
    columns = []
    for column, mean in zip(z.T, usual, strict=True):
        is_present = ~np.isnan(column)
        count = np.bincount(group[is_present], minlength=groups) + prior
        total = np.bincount(group[is_present], column[is_present], minlength=groups)
        columns.append(np.where(count > 0, total / np.maximum(count, 1e-9), mean))
    return np.stack(columns, axis=1)


def _spread(residual: np.ndarray, slot: np.ndarray, day_slots: int) -> np.ndarray:
    """Return the usual size of the residuals (n, c) in each slot of the week and its neighbours, (7 s, c)."""
    slots = WEEK_DAYS * day_slots
    columns = []
    for column in residual.T:
        is_present = ~np.isnan(column)
        squares = np.square(column[is_present])
        count = _with_neighbours(np.bincount(slot[is_present], minlength=slots).astype(float), day_slots)
        total = _with_neighbours(np.bincount(slot[is_present], squares, minlength=slots), day_slots)
        usual = squares.mean() if len(squares) else 1.0
        columns.append(np.sqrt((total + PRIOR_RECORDS * usual) / (count + PRIOR_RECORDS)) + MIN_SPREAD)
    return np.stack(columns, axis=1)


def _with_neighbours(sums: np.ndarray, day_slots: int) -> np.ndarray:
    """Add to each slot of the week the slots before and after it, unless slots are days."""
    return sums if day_slots == 1 else sums + np.roll(sums, 1) + np.roll(sums, -1)


def _column_means(z: np.ndarray) -> np.ndarray:
    is_present = ~np.isnan(z)
    return np.where(is_present, z, 0).sum(axis=0) / np.maximum(is_present.sum(axis=0), 1)


def _mean_size(residuals: Sequence[np.ndarray]) -> np.ndarray:
    """Return the mean size (c,) of residuals, each (n, c), that are not missing."""
    return _column_means(np.abs(np.concatenate(residuals)))
