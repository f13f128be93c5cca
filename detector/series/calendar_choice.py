"""The choice of a calendar: which poolings of slots expect the held-back records of each channel best.

Training measures the mean of each slot of the week. The slots of a channel are pooled over all days, over working days
and weekends, or not at all, or weeks alternate; daily records may also have a course of the month. What expects the
held-back records best is chosen; a channel whose held-back records are not expected better by any of them than by its
mean takes no part. If that expects them still better, the usual value moves with that of recent days.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from detector.series.calendar import MONTH_PLACES, Calendar
from detector.series.clock import DAY_SECONDS, MONTH_DAYS, SATURDAY, WEEK_DAYS, Clock, Places
from detector.series.recent_days import DAYS, MAX_DAY_ROWS, MIN_DAY_ROWS, recent_level

MIN_PERIODS = 2  # of a day, a week, two weeks or a month that training must cover
MAX_FLAG_DEVIATION = 4.0  # of a state that was never seen at this time: some hundred days tell no more
MIN_GAIN = 0.1  # share of the mean absolute deviation of held-back records that a calendar must remove
MIN_EXTRA_GAIN = 0.05  # by which a finer pooling must be better than a coarser one
MIN_SHARE_OF_REST = 0.2  # of the deviation that the coarser one leaves, which is enough, too
MIN_SPREAD = 0.05  # standard deviations of the channel
PRIOR_RECORDS = 4  # with the channel's own spread, that each slot's spread starts from
MONTH_PRIOR_DAYS = 2.0  # without a deviation, that each day of the month starts from
MIN_MOVED_SHARE = 0.2  # of a channel's variance around its course, between periods of `DAYS`, without which none moves
MIN_MOVED_PERIODS = 3


@dataclass(frozen=True)
class Month:
    """A course of the month.

    Attributes:
        has_end: whether the later days of a month are counted from its end.
        is_split: whether working days and weekends have courses of their own.
    """

    has_end: bool = False
    is_split: bool = False

    def days(self, places: Places) -> np.ndarray:
        """Return the place (n,) of each record in the course."""
        days = places.end_day if self.has_end else places.month_day
        return days + MONTH_DAYS * places.is_weekend if self.is_split else days

    def table(self, course: np.ndarray) -> np.ndarray:
        """Return the course (k, c) as the array `Calendar.month`, (124, c)."""
        blocks = np.zeros((2, MONTH_PLACES, course.shape[1]))
        blocks[int(self.has_end)] = course if self.is_split else np.tile(course, (2, 1))
        return blocks.reshape(-1, course.shape[1])


@dataclass(frozen=True)
class Candidate:
    """The calendar of each channel by one pooling of slots.

    Attributes:
        pool: (s,) the pool of each slot.
        month: the course of the month; None if days of the month do not count.
    """

    pool: np.ndarray
    month: Month | None = None

    def course(self, z: np.ndarray, places: Places) -> tuple[np.ndarray, np.ndarray]:
        """Return the mean of each slot (s, c) and of each day of the month (k, c) of cells (n, c)."""
        centre = _means(z, self.pool[places.slot], int(self.pool.max()) + 1)[self.pool]
        if self.month is None:
            return centre, np.zeros((MONTH_DAYS, z.shape[1]))
        days = MONTH_PLACES if self.month.is_split else MONTH_DAYS
        return centre, _means(z - centre[places.slot], self.month.days(places), days, MONTH_PRIOR_DAYS)

    def residual(self, z: np.ndarray, places: Places, course: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        """Return the distances (n, c) of cells from a course."""
        of_month = 0.0 if self.month is None else course[1][self.month.days(places)]
        return np.asarray(z - course[0][places.slot] - of_month)


@dataclass(frozen=True)
class Dated:
    """Standardised cells (n, c), NaN if missing, and their times (n,), of runs of consecutive records.

    Attributes:
        times: of the records.
        z: the cells.
        lengths: of the runs.
        counts: (n,) whether a record counts; the others are the past of those that do.
    """

    times: np.ndarray
    z: np.ndarray
    lengths: tuple[int, ...]
    counts: np.ndarray

    def level(self, residual: np.ndarray, day_rows: int, shift: int = 0) -> np.ndarray:
        """Return the level of recent days (n, c) of the distances of the cells from their usual course."""
        parts = np.split(residual, np.cumsum(self.lengths)[:-1])
        return np.concatenate([recent_level(part, day_rows, shift=shift) for part in parts])


@dataclass(frozen=True)
class Choice:
    """The candidates, and the candidate (c,) that expects each channel's held-back cells best; -1 for none.

    `is_flag` (c,) is true for channels that are states, `is_moving` (c,) for channels that move with the level of
    recent days, of `day_rows` records each.
    """

    clock: Clock
    candidates: tuple[Candidate, ...]
    best: np.ndarray
    is_flag: np.ndarray
    is_moving: np.ndarray
    day_rows: int

    @classmethod
    def make(
        cls,
        clock: Clock,
        splits: Sequence[tuple[Dated, Dated]],
        times: np.ndarray,
        *,
        is_flag: np.ndarray,
        is_required: bool,
        day_rows: int = 1,
    ) -> Self | None:
        """Choose by how well courses of records expect those held back; None if no channel has a course.

        Args:
            clock: of the records.
            splits: the records that courses are learned from, and those to expect.
            times: of all records.
            is_flag: (c,) whether a channel is a state.
            is_required: whether each channel follows its best candidate, even if its mean is better.
            day_rows: records of a day.
        """
        if _covered_days(clock, times) >= MIN_PERIODS * 2 * WEEK_DAYS:
            clock = replace(clock, weeks=2)
        candidates = tuple(_candidates(clock, times, is_required=is_required))
        if not candidates or not sum(int(later.counts.sum()) for _, later in splits):
            return None
        least, *errors = _errors(clock, splits, candidates)
        best = _best_of(errors, least, is_required=is_required)
        moving = _moving(Trial(clock, splits, candidates, day_rows), np.min([least, *errors], axis=0))
        is_moving = (moving >= 0) & ~is_flag
        best = np.where(is_moving, moving, best)
        if not (best >= 0).any():
            return None
        return cls(clock, candidates, best, is_flag, is_moving, day_rows).with_weeks_in_use()

    def with_weeks_in_use(self) -> Self:
        """Return the choice with slots of one week, unless a channel has a course of two weeks."""
        pools = [self.candidates[number].pool for number in np.unique(self.best[self.best >= 0])]
        half = self.clock.slots // 2
        if self.clock.weeks == 1 or any((pool[:half] != pool[half:]).any() for pool in pools):
            return self
        candidates = tuple(replace(candidate, pool=candidate.pool[:half]) for candidate in self.candidates)
        return replace(self, clock=replace(self.clock, weeks=1), candidates=candidates)

    def fit(self, dated: Dated) -> Calendar:
        """Return the calendar of records."""
        places, residual = self.clock.places(dated.times), dated.z.copy()
        centre, month = (np.zeros((rows, dated.z.shape[1])) for rows in (self.clock.slots, 2 * MONTH_PLACES))
        for number in np.unique(self.best[self.best >= 0]):
            columns, candidate = np.flatnonzero(self.best == number), self.candidates[number]
            course = candidate.course(dated.z[:, columns], places)
            centre[:, columns] = course[0]
            month[:, columns] = 0.0 if candidate.month is None else candidate.month.table(course[1])
            residual[:, columns] = candidate.residual(dated.z[:, columns], places, course)
        if self.is_moving.any():
            residual[:, self.is_moving] -= dated.level(residual[:, self.is_moving], self.day_rows)
        arrays = (centre, self._spread_of(residual, dated.z, places), self._compact(month))
        is_used = (self.best >= 0).astype(np.float64)
        calendar = Calendar(self.clock, is_used, *(part.astype(np.float32) for part in arrays))
        if not self.is_moving.any():
            return calendar
        return replace(calendar, is_moving=self.is_moving.astype(np.float64), day_rows=np.array([float(self.day_rows)]))

    def _spread_of(self, residual: np.ndarray, z: np.ndarray, places: Places) -> np.ndarray:
        """Return the usual deviation in each slot (s, c); of a state, at least a quarter of its step."""
        distance = np.nanmax(z, axis=0, initial=0) - np.nanmin(z, axis=0, initial=0)  # of two states
        spread = _spread(residual, places.slot, self.clock)
        return np.maximum(spread, np.where(self.is_flag, distance / MAX_FLAG_DEVIATION, 0))

    def _compact(self, month: np.ndarray) -> np.ndarray:
        """Return a course of the month (31, c) if no channel needs more than that."""
        used = [self.candidates[number].month for number in np.unique(self.best[self.best >= 0])]
        is_plain = all(own is None or own == Month() for own in used)
        return month[:MONTH_DAYS] if is_plain else month


def _covered_days(clock: Clock, times: np.ndarray) -> float:
    """Return the days that times cover, with that which the last record stands for."""
    days = (times.max() - times.min()) / np.timedelta64(DAY_SECONDS, "s") if len(times) else 0.0
    return float(days) + 1 / clock.day_slots


def _candidates(clock: Clock, times: np.ndarray, *, is_required: bool) -> Iterator[Candidate]:
    """Yield the poolings whose periods the records cover often enough, the coarsest first.

    A course of the day is that of every day of the week, so working days alone do not show it.
    """
    days, periods = _covered_days(clock, times), 1.0 if is_required else MIN_PERIODS
    slot, week = np.arange(clock.day_slots), np.arange(WEEK_DAYS * clock.day_slots)
    is_weekend = clock.places(times).is_weekend
    if clock.day_slots > 1 and days >= periods and (is_required or len(np.unique(is_weekend)) > 1):
        yield Candidate(np.tile(slot, clock.weeks * WEEK_DAYS))
    if days < periods * WEEK_DAYS:
        return
    weekend = np.repeat(np.arange(WEEK_DAYS) >= SATURDAY, clock.day_slots)
    yield Candidate(np.tile(np.tile(slot, WEEK_DAYS) + clock.day_slots * weekend, clock.weeks))
    yield Candidate(np.tile(week, clock.weeks))
    if clock.weeks > 1:
        yield Candidate(np.arange(clock.slots))
    if clock.day_slots == 1 and days >= periods * MONTH_DAYS:
        for is_split in (False, True):
            yield from (Candidate(np.tile(week, clock.weeks), Month(has_end, is_split)) for has_end in (False, True))


def _best_of(errors: Sequence[np.ndarray], least: np.ndarray, *, is_required: bool = False) -> np.ndarray:
    """Return the number (c,) of the least of some errors, each (c,), that is small enough; -1 if none is.

    Args:
        errors: of candidates, the coarsest first.
        least: error without any of them.
        is_required: whether each error is small enough.
    """
    best = np.full(len(least), 0 if is_required else -1)
    smallest = np.where(is_required, np.inf, (1 - MIN_GAIN) * least)
    for number, error in enumerate(errors):
        best = np.where(error < smallest, number, best)
        finer = np.maximum(error - MIN_EXTRA_GAIN * least, (1 - MIN_SHARE_OF_REST) * error)
        smallest = np.where(error < smallest, finer, smallest)
    return best


def _errors(
    clock: Clock, splits: Sequence[tuple[Dated, Dated]], candidates: Sequence[Candidate]
) -> Iterator[np.ndarray]:
    """Yield the mean error (c,) of held-back cells that are expected by their channel's mean, and by each candidate."""
    yield _mean_size(np.concatenate([_from_mean(*split)[split[1].counts] for split in splits]))
    for candidate in candidates:
        yield _mean_size(_residuals(clock, splits, candidate))


def _residuals(
    clock: Clock, splits: Sequence[tuple[Dated, Dated]], candidate: Candidate, day_rows: int | None = None
) -> np.ndarray:
    """Return the distances (n, c) of held-back cells from their course; with `day_rows`, from one that moves."""
    parts = []
    for earlier, later in splits:
        course = candidate.course(earlier.z, clock.places(earlier.times))
        residual = candidate.residual(later.z, clock.places(later.times), course)
        parts.append(_without_level(later, residual, day_rows) if day_rows else residual[later.counts])
    return np.concatenate(parts)


def _from_mean(earlier: Dated, later: Dated) -> np.ndarray:
    return np.asarray(later.z - np.nan_to_num(_column_means(earlier.z)))


@dataclass(frozen=True)
class Trial:
    """The candidates, and the records that they are tried on, of which a day has `day_rows`."""

    clock: Clock
    splits: Sequence[tuple[Dated, Dated]]
    candidates: tuple[Candidate, ...]
    day_rows: int

    def of(self, columns: np.ndarray) -> "Trial":
        """Return the trial of some channels."""
        pairs = [
            (replace(earlier, z=earlier.z[:, columns]), replace(later, z=later.z[:, columns]))
            for earlier, later in self.splits
        ]
        return replace(self, splits=pairs)

    def moving_errors(self) -> Iterator[np.ndarray]:
        """Yield the mean error (c,) of held-back cells by the level of recent days at the opposite time of day alone.

        Then yield that of each candidate with the level at the same time.
        """
        opposite = [
            _without_level(later, _from_mean(earlier, later), self.day_rows, self.day_rows // 2)
            for earlier, later in self.splits
        ]
        yield _mean_size(np.concatenate(opposite))
        for candidate in self.candidates:
            yield _mean_size(_residuals(self.clock, self.splits, candidate, self.day_rows))


def _moving(trial: Trial, fixed: np.ndarray) -> np.ndarray:
    """Return the candidate (c,) with the least error if the usual value moves with that of recent days; -1 for none.

    That has to be better than without, `fixed` (c,), and than recent days at the opposite time of day.
    """
    best = np.full(len(fixed), -1)
    if not MIN_DAY_ROWS <= trial.day_rows <= MAX_DAY_ROWS:
        return best
    week = next(own for own in reversed(trial.candidates) if own.month is None)
    columns = np.flatnonzero(_has_moved(_residuals(trial.clock, trial.splits, week), trial.day_rows))
    if len(columns):
        opposite, *errors = trial.of(columns).moving_errors()
        best[columns] = _best_of(errors, np.minimum(fixed[columns], opposite))
    return best


def _without_level(later: Dated, residual: np.ndarray, day_rows: int, shift: int = 0) -> np.ndarray:
    return np.asarray((residual - later.level(residual, day_rows, shift))[later.counts])


def _has_moved(residual: np.ndarray, day_rows: int) -> np.ndarray:
    """Return whether much of the variance of each channel's residuals (n, c) is that between periods of some days."""
    periods = len(residual) // (DAYS * day_rows)
    if periods < MIN_MOVED_PERIODS:
        return np.zeros(residual.shape[1], dtype=bool)
    means = np.stack([_column_means(period) for period in np.array_split(residual, periods)])
    return np.asarray(means.var(axis=0) > MIN_MOVED_SHARE * _column_means(np.square(residual)))


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


def _spread(residual: np.ndarray, slot: np.ndarray, clock: Clock) -> np.ndarray:
    """Return the usual size of the residuals (n, c) in each slot and its neighbours, (s, c)."""
    slots, day_slots = clock.slots, clock.day_slots
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
    """Add to each slot the slots before and after it, unless slots are days."""
    return sums if day_slots == 1 else sums + np.roll(sums, 1) + np.roll(sums, -1)


def _column_means(z: np.ndarray) -> np.ndarray:
    is_present = ~np.isnan(z)
    return np.where(is_present, z, 0).sum(axis=0) / np.maximum(is_present.sum(axis=0), 1)


def _mean_size(residuals: np.ndarray) -> np.ndarray:
    """Return the mean size (c,) of residuals (n, c) that are not missing."""
    return _column_means(np.abs(residuals))
