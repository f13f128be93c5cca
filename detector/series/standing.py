"""Standing still: a channel that stands still for much longer than it ever did has a dead sensor.

A rounded sensor stands still every now and then, so its limit is twice its longest standstill in training. If that one
was longer than chance makes the longest of as many, long standstills are usual, and the limit is as many times higher.
A single standstill shows nothing of chance, which then counts as one row.
The value at which a channel rests, such as 0 of a machine that is off, has a limit of its own, four times the longest,
since a machine that has nothing to do rests for longer. A sensor that is dead but noisy is recognised by its spread,
which is far below the least spread in training, if that was about as large at all times.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from detector.series.line import Line
from detector.series.running_means import recent_count, run_length, spread_around_mean, window_rows

MAX_LONG_STILL_ROWS = 128  # unchanged rows are counted up to this number
LONG_STILL_FACTOR = 2  # times the longest standstill in training
LONG_REST_FACTOR = 4  # the same at rest: idle machines stand still too
MIN_LONG_STILL_ROWS = 12  # unchanged rows that any channel may have
MIN_STILL_LIMITS = 20  # as many rows as a limit, in training, by which it is known
LONG_STILL_SIGNAL = 2.0  # of a channel that stands still for longer than that, or hardly moves
MEAN_HALF_LIFE, SPREAD_HALF_LIFE = 8, 16  # rows
SPREAD_ROWS = window_rows(MEAN_HALF_LIFE) + window_rows(SPREAD_HALF_LIFE)  # that a spread depends on
MIN_SPREADS = 20  # as many rows as a spread depends on, in training, by which the least one is known
QUIET_SHARE = 0.2  # of the least spread in training
MIN_LEAST_SHARE = 0.3  # of the median spread in training, below which the channel is quiet at times


@dataclass(frozen=True)
class Moving:
    """Consecutive records, all (n, c).

    Attributes:
        values: in units of the channel, NaN if missing.
        is_unchanged: whether a value equals the one before.
        z: standardised cells.
        kept: the same cells as they enter the past.
        line: of the records; None if all are past for later ones.
    """

    values: np.ndarray
    is_unchanged: np.ndarray
    z: np.ndarray
    kept: np.ndarray
    line: Line | None = None


@dataclass(frozen=True)
class Standing:
    """How long channels stand still in training, and how little they vary, all (c,) float64.

    Attributes:
        rest: the value at which the channel rests, its most common one.
        rest_limit: unchanged rows from which it rests for too long; 0 if training does not show it.
        still_limit: the same for all other values.
        rest_others: largest number of the last 128 rows that are unchanged at rest, the current standstill aside.
        still_others: the same at all other values.
        least_spread: the least spread of standardised cells; 0 if training does not show it.
    """

    rest: np.ndarray
    rest_limit: np.ndarray
    still_limit: np.ndarray
    rest_others: np.ndarray
    still_others: np.ndarray
    least_spread: np.ndarray

    @classmethod
    def fit(cls, runs: Sequence[Moving], can_stand: np.ndarray) -> "Standing":
        """Fit to runs of normal records; channels (c,) that cannot stand have no limits."""
        rest = resting_values(np.concatenate([run.values for run in runs]))
        at_rest = [run.values == rest for run in runs]
        away = [~is_at_rest for is_at_rest in at_rest]
        kinds = ((at_rest, LONG_REST_FACTOR), (away, LONG_STILL_FACTOR))
        rest_limit, still_limit = (np.where(can_stand, _limit(runs, *kind), 0.0) for kind in kinds)
        rest_others, still_others = (_most_others(runs, cells) for cells in (at_rest, away))
        least = np.where(can_stand, _least_spread(runs), 0.0)
        return cls(rest, rest_limit, still_limit, rest_others, still_others, least)

    def is_dead(self, run: Moving) -> np.ndarray:
        """Return whether a channel stands still for too long or hardly moves, (n, c) bool.

        A channel that stands still more often than ever in training has another rounding: it is not dead.
        """
        at_rest = run.values == self.rest
        rest = _stands_too_long(run, at_rest, self.rest_limit, self.rest_others)
        still = _stands_too_long(run, ~at_rest, self.still_limit, self.still_others)
        places = np.arange(len(run.values)) if run.line is None else run.line.places
        moves = (places >= SPREAD_ROWS)[:, None] & ~np.isnan(run.values) & ~run.is_unchanged
        return np.asarray(rest | still | (moves & (_spread(run) < QUIET_SHARE * self.least_spread)))


def _stands_too_long(run: Moving, is_chosen: np.ndarray, limit: np.ndarray, others: np.ndarray) -> np.ndarray:
    is_unchanged = run.is_unchanged & is_chosen
    rows = run_length(is_unchanged, MAX_LONG_STILL_ROWS, run.line)
    return np.asarray((limit > 0) & (rows >= limit) & (_others(is_unchanged, run.line) <= others))


def _others(is_unchanged: np.ndarray, line: Line | None) -> np.ndarray:
    """Return how many of the last rows are unchanged, the current standstill aside, (n, c)."""
    recent = recent_count(is_unchanged, MAX_LONG_STILL_ROWS, line)
    return np.asarray(recent - run_length(is_unchanged, MAX_LONG_STILL_ROWS, line))


def _most_others(runs: Sequence[Moving], chosen: Sequence[np.ndarray]) -> np.ndarray:
    counts = [_others(run.is_unchanged & own, None).max(axis=0) for run, own in zip(runs, chosen, strict=True)]
    return np.asarray(np.max(counts, axis=0), dtype=np.float64)


def resting_values(values: np.ndarray) -> np.ndarray:
    """Return the most common value (c,) of channels (n, c); 0 if all values are missing."""
    return np.array([_most_common(column[~np.isnan(column)]) for column in values.T])


def _most_common(column: np.ndarray) -> float:
    values, counts = np.unique(column, return_counts=True)
    return float(values[np.argmax(counts)]) if len(values) else 0.0


def _limit(runs: Sequence[Moving], chosen: Sequence[np.ndarray], factor: int) -> np.ndarray:
    """Return the rows (c,) from which the chosen cells of each run, (n, c) bool, stand still for too long."""
    parts = [run.is_unchanged & own for run, own in zip(runs, chosen, strict=True)]
    counts = np.concatenate([run_length(part, MAX_LONG_STILL_ROWS) for part in parts])
    longest, standstills = counts.max(axis=0), (counts == 1).sum(axis=0)
    by_chance = longest_by_chance(np.sum([part.sum(axis=0) for part in parts], axis=0), standstills)
    limit = np.ceil(np.maximum(factor * longest * np.maximum(longest / by_chance, 1), MIN_LONG_STILL_ROWS))
    rows = np.sum([own.sum(axis=0) for own in chosen], axis=0)
    is_shown = (rows >= MIN_STILL_LIMITS * limit) & (limit <= MAX_LONG_STILL_ROWS)
    return np.where(is_shown, limit, 0).astype(np.float64)


def longest_by_chance(unchanged: np.ndarray, standstills: np.ndarray) -> np.ndarray:
    """Return about how many rows the longest of some standstills has, if each row ends it with the same probability.

    >>> longest_by_chance(np.array([0, 100, 400]), np.array([0, 100, 100])).round(1).tolist()
    [1.0, 1.0, 17.0]
    """
    share_going_on = 1 - standstills / np.maximum(unchanged, 1)
    is_chance = (standstills > 1) & (share_going_on > 0)
    rate = -np.log(np.where(is_chance, share_going_on, 0.5))
    return np.where(is_chance, 1 + np.log(np.maximum(standstills, 1)) / rate, 1.0)


def _least_spread(runs: Sequence[Moving]) -> np.ndarray:
    spreads = [_spread(run)[SPREAD_ROWS:] for run in runs]
    if sum(map(len, spreads)) < MIN_SPREADS * SPREAD_ROWS:
        return np.zeros(runs[0].values.shape[1])
    least, usual = (function(np.concatenate(spreads), axis=0) for function in (np.min, np.median))
    return np.asarray(np.where(least >= MIN_LEAST_SHARE * usual, least, 0.0))


def _spread(run: Moving) -> np.ndarray:
    return spread_around_mean(run.z, run.kept, (MEAN_HALF_LIFE, SPREAD_HALF_LIFE), run.line)
