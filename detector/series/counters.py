"""Counters: channels that only grow are watched by their increase from record to record.

An energy meter or an operating-hours counter never has a value of training again. Its increase has, also across a reset
to zero and across the wrap of a counter with a fixed number of digits or bits.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from detector.series.channels import bounded
from detector.series.line import earlier_rows
from detector.series.series import Series

MIN_INCREASES = 20  # of a counter, in training
MAX_DECREASE_SHARE = 1e-3  # of the steps of a counter that are falls of any kind
MAX_RESET_SHARE = 0.05  # of its steps that are falls, if each is a reset to zero, as of the pieces of a day
MIN_INCREASES_PER_RESET = 5  # in number, and usual ones by which a reset falls
MIN_DEEP_SHARE = 0.9  # of the resets that fall by so much: on some days hardly anything is counted
LARGE_INCREASE = 0.99  # quantile of the increases
MAX_AFTER_RESET = 2.0  # large increases, of a reading right after a reset to zero
WRAPS = np.array(sorted([2.0**bits for bits in (8, 16, 24, 31, 32, 48)] + [10.0**digits for digits in range(3, 13)]))
STEP_FACTORS = (1 / 64, 4.0)  # limits of the factor by which the increase over a longer or shorter step counts
CONTEXT_ROWS = 1  # earlier records that an increase depends on


@dataclass(frozen=True)
class Counters:
    """The channels that only grew in training.

    Attributes:
        is_counter: (c,) 1 for counters, else 0.
        increase: (c,) median increase over a usual step; 0 for other channels.
        step: (1,) the usual step between records, in seconds or the unit of the times.
    """

    is_counter: np.ndarray
    increase: np.ndarray
    step: np.ndarray

    @classmethod
    def fit(cls, runs: Sequence[Series]) -> Self | None:
        """Fit to runs of normal records; None if no channel only grows."""
        steps = np.concatenate([np.diff(bounded(run.values), axis=0) for run in runs])
        after = np.concatenate([bounded(run.values)[1:] for run in runs])
        rises, falls = (steps > 0).sum(axis=0), (steps < 0).sum(axis=0)
        seldom_falls = falls <= MAX_DECREASE_SHARE * (~np.isnan(steps)).sum(axis=0)
        is_counter = (rises >= MIN_INCREASES) & (seldom_falls | _is_reset_often(steps, after))
        if not is_counter.any():
            return None
        durations = np.concatenate([_seconds(np.diff(run.times)) for run in runs])
        step = float(np.median(durations[durations > 0])) if (durations > 0).any() else 1.0
        increase = np.zeros(len(is_counter))
        increase[is_counter] = [_median(column) for column in steps.T[is_counter]]
        return cls(is_counter.astype(np.float64), increase, np.array([step]))

    def values(self, run: Series) -> np.ndarray:
        """Return the values (n, c) of consecutive records, with increases in place of the readings of counters.

        An increase counts for a usual step. It is the usual one if there is no reading right before.
        """
        values = run.values.copy()
        for channel in np.flatnonzero(self.is_counter).tolist():
            values[:, channel] = self._increases(run, channel) * self._factors(run)
        return values

    def readings(self, run: Series, increases: np.ndarray) -> np.ndarray:
        """Convert values (n, c) with increases of counters to readings, which follow the last ones; NaN if missing."""
        own = self.values(run)
        return np.where(self.is_counter == 1, run.values + (increases - own) / self._factors(run)[:, None], increases)

    def _factors(self, run: Series) -> np.ndarray:
        """Return the factors (n,) that convert the increase over the step before a record to that over a usual step."""
        later, past = earlier_rows(len(run), 1, run.line)
        durations = np.zeros(len(run))
        durations[later] = _seconds(run.times[later] - run.times[past])
        with np.errstate(divide="ignore", invalid="ignore"):
            factors = np.clip(self.step[0] / durations, *STEP_FACTORS)
        return np.where(durations > 0, factors, 1.0)

    def _increases(self, run: Series, channel: int) -> np.ndarray:
        readings, usual = run.values[:, channel], self.increase[channel]
        before = np.full(len(readings), np.nan)
        later, past = earlier_rows(len(readings), 1, run.line)
        before[later] = readings[past]
        increase = readings - before
        wrap = WRAPS[np.minimum(np.searchsorted(WRAPS, before), len(WRAPS) - 1)]
        choices = np.stack([increase, readings, increase + wrap])  # a fall, a reset to zero, and a wrap
        nearest = np.argmin(np.abs(np.nan_to_num(choices) - usual), axis=0)
        increase = np.where(increase < 0, np.take_along_axis(choices, nearest[None], axis=0)[0], increase)
        return np.where(np.isnan(before) & ~np.isnan(readings), usual, increase)

    def to_state(self) -> dict[str, np.ndarray]:
        """Return all arrays by name."""
        return dict(vars(self))

    @classmethod
    def from_state(cls, state: Mapping[str, np.ndarray]) -> Self:
        """Return the counters of a state that `to_state` wrote."""
        return cls(**state)


def _is_reset_often(steps: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Return whether each fall of a channel (c,) is a reset to zero, by steps (n, c) and the readings after them."""
    return np.array([_has_resets(*columns) for columns in zip(steps.T, after.T, strict=True)])


def _has_resets(steps: np.ndarray, after: np.ndarray) -> bool:
    rises, is_fall = steps[steps > 0], steps < 0
    falls = int(is_fall.sum())
    if falls > min(MAX_RESET_SHARE * (~np.isnan(steps)).sum(), len(rises) / MIN_INCREASES_PER_RESET) or not falls:
        return False
    is_near_zero = (after >= 0) & (after <= MAX_AFTER_RESET * np.quantile(rises, LARGE_INCREASE))
    is_deep = -steps >= MIN_INCREASES_PER_RESET * np.median(rises)
    return bool(is_near_zero[is_fall].all()) and float(is_deep[is_fall].mean()) >= MIN_DEEP_SHARE


def _seconds(steps: np.ndarray) -> np.ndarray:
    """Return steps between times, in seconds for date-times; NaN if a time is missing."""
    is_duration = np.issubdtype(steps.dtype, np.timedelta64)
    return np.asarray(steps / np.timedelta64(1, "s") if is_duration else steps, dtype=np.float64)


def _median(steps: np.ndarray) -> float:
    """Return the median of the steps that are not missing and no falls."""
    return float(np.median(steps[steps >= 0]))
