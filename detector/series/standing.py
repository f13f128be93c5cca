"""Standing still: a channel that stands still for much longer than it ever did has a dead sensor.

A rounded sensor stands still every now and then, so its limit is twice its longest standstill in training. A sensor
that is dead but noisy is recognised by its spread, which is far below the least spread in training.
"""

from collections.abc import Sequence

import numpy as np

from detector.series.line import Line
from detector.series.running_means import run_length, spread_around_mean, window_rows

MAX_LONG_STILL_ROWS = 128  # unchanged rows are counted up to this number
LONG_STILL_FACTOR = 2  # times the longest standstill in training
MIN_LONG_STILL_ROWS = 12  # unchanged rows that any channel may have
MIN_STANDSTILLS = 20  # in training, of which the longest shows how long a channel stands still
LONG_STILL_SIGNAL = 2.0  # of a channel that stands still for longer than that, or hardly moves
MEAN_HALF_LIFE, SPREAD_HALF_LIFE = 8, 16  # rows
SPREAD_ROWS = window_rows(MEAN_HALF_LIFE) + window_rows(SPREAD_HALF_LIFE)  # that a spread depends on
MIN_SPREAD_RUNS = 20  # as many rows as that, for each, in training, by which the least spread is known
QUIET_SHARE = 0.4  # of the least spread in training


def still_limit(runs: Sequence[np.ndarray]) -> np.ndarray:
    """Return the rows (c,) from which a channel stands still for too long; 0 if training does not show it.

    Args:
        runs: whether each cell equals the one before, each (n, c).
    """
    rows = [run_length(is_unchanged, MAX_LONG_STILL_ROWS) for is_unchanged in runs]
    longest = np.max([counts.max(axis=0) for counts in rows], axis=0)
    standstills = np.sum([(counts == 1).sum(axis=0) for counts in rows], axis=0)
    limit = np.maximum(LONG_STILL_FACTOR * longest, MIN_LONG_STILL_ROWS)
    is_shown = (standstills >= MIN_STANDSTILLS) & (limit <= MAX_LONG_STILL_ROWS)
    return np.where(is_shown, limit, 0).astype(np.float64)


def least_spread(runs: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Return the least spread (c,) of standardised cells in training; 0 if there are too few of them.

    Args:
        runs: cells, and the same cells as they enter the past, each (n, c).
    """
    spreads = [_spread(z, kept, None)[SPREAD_ROWS:] for z, kept in runs]
    if sum(map(len, spreads)) < MIN_SPREAD_RUNS * SPREAD_ROWS:
        return np.zeros(runs[0][0].shape[1])
    return np.asarray(np.concatenate(spreads).min(axis=0))


def stands_too_long(is_unchanged: np.ndarray, limit: np.ndarray, line: Line | None) -> np.ndarray:
    """Return whether a channel has stood still for its limit (c,), (n, c) bool."""
    rows = run_length(is_unchanged, MAX_LONG_STILL_ROWS, line)
    return np.asarray((limit > 0) & (rows >= limit))


def is_quiet(z: np.ndarray, kept: np.ndarray, least: np.ndarray, line: Line | None) -> np.ndarray:
    """Return whether the spread of a channel is far below its least spread (c,) in training, (n, c) bool."""
    places = np.arange(len(z)) if line is None else line.places
    is_quiet = _spread(z, kept, line) < QUIET_SHARE * least
    return np.asarray(is_quiet & (places >= SPREAD_ROWS)[:, None])


def _spread(z: np.ndarray, kept: np.ndarray, line: Line | None) -> np.ndarray:
    return spread_around_mean(z, kept, (MEAN_HALF_LIFE, SPREAD_HALF_LIFE), line)
