"""Dispersion: a channel is noisier or calmer than it was in training, or swings in another rhythm, within its range.

As on a control chart for dispersion (MacGregor & Harris 1993), errors of the forecast of a channel from its own past
are averaged over recent records: level and drift leave them as they are, noise, damping and hunting do not. A channel
deviates if two such means, one twice as long, are both higher or both lower than usual: the longer one shows that this
is no chance, and the shorter one that it goes on.

Other signals find what single records show, so an error larger than any in training does not count, nor does a channel
that stands still, has no value or belongs to a machine that is off. Only machines of few continuous channels have this
signal, as among many the spread of some always changes with the state of the machine.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from detector.series.channels import Cells
from detector.series.running_means import lagged, running_mean, window_rows

MAX_CHANNELS = 8  # continuous ones
HALF_LIVES = (8, 16)  # rows
LARGEST_ERROR = 3.0  # usual errors, as which a larger one counts
FLOOR = 0.05  # usual errors, added to a mean: a channel that hardly varies must not dominate
MIN_COUNTED_SHARE = 0.25  # of the recent rows, that have to count
MIN_MOVING_SHARE = 0.25  # of the records of training, in which a channel has to move
MIN_RECORDS = 100  # of training, by which the usual dispersion is known
QUANTILES = (0.01, 0.5, 0.99)
MIN_DISTANCE = 0.05  # of the quantiles, as a ratio
_QUANTILES = ("lowest", "middle", "highest")


@dataclass(frozen=True)
class Dispersion:
    """The usual sizes of the errors of a forecast.

    Attributes:
        is_used: (c,) float64, 1 for channels whose dispersion is known.
        largest_error: (c,) of training, in usual errors.
        lowest: (2, c) the 1 % quantile of the mean error over each span.
        middle: (2, c) the median.
        highest: (2, c) the 99 % quantile.
    """

    is_used: np.ndarray
    largest_error: np.ndarray
    lowest: np.ndarray
    middle: np.ndarray
    highest: np.ndarray

    @classmethod
    def fit(cls, runs: Sequence[Cells], errors: Sequence[np.ndarray], chosen: np.ndarray) -> Self:
        """Fit to runs of normal records.

        Args:
            runs: cells of c channels.
            errors: of the forecast of each run, (n, c) in usual errors.
            chosen: positions of the channels, by `varying_channels`.
        """
        counted = [_is_counted(run) for run in runs]
        sizes = np.abs(np.concatenate(errors))
        largest = np.where(np.concatenate(counted), sizes, 0.0).max(axis=0)
        scale = cls(np.zeros(len(largest)), largest, *np.ones((3, len(HALF_LIVES), len(largest))))
        pairs = zip(runs, errors, strict=True)
        unknown = np.full((len(HALF_LIVES), 1, len(largest)), np.nan)  # for runs that are all shorter than the span
        parts = [scale.mean_errors(*pair)[:, window_rows(max(HALF_LIVES)) :] for pair in pairs]
        means = np.concatenate([unknown, *parts], axis=1)
        is_used = np.isin(np.arange(len(largest)), chosen) & ~np.isnan(means).all(axis=1).any(axis=0)
        quantiles = np.nanquantile(np.where(is_used, means, 1.0), QUANTILES, axis=1)
        return replace(scale, is_used=is_used.astype(np.float64), **dict(zip(_QUANTILES, quantiles, strict=True)))

    def deviation(self, cells: Cells, errors: np.ndarray) -> np.ndarray:
        """Return how far each channel (n, c) is from its usual dispersion, above (+) or below (-).

        1 is the 1 or 99 % quantile of training; 0 if it is not known.
        """
        short, long = np.nan_to_num(self._deviations(self.mean_errors(cells, errors)))
        size = np.where(short * long > 0, np.minimum(np.abs(short), np.abs(long)), 0.0)
        return np.asarray(np.sign(short) * size * self.is_used)

    def mean_errors(self, cells: Cells, errors: np.ndarray) -> np.ndarray:
        """Return the mean error over each span (2, n, c); NaN if few of the recent records count."""
        sizes = np.abs(errors)
        is_counted = _is_counted(cells) & (sizes <= self.largest_error)
        sizes = np.minimum(sizes, LARGEST_ERROR)
        return np.stack([_counted_mean(sizes, is_counted, life, cells) for life in HALF_LIVES])

    def _deviations(self, means: np.ndarray) -> np.ndarray:
        """Return the distance of means (2, n, c) from the median, in distances of the quantile on the same side."""
        lowest, middle, highest = (part[:, None] for part in (self.lowest, self.middle, self.highest))
        above = (means / middle - 1) / np.maximum(highest / middle - 1, MIN_DISTANCE)
        below = (middle / means - 1) / np.maximum(middle / lowest - 1, MIN_DISTANCE)
        return np.asarray(np.where(means > middle, above, -below))


def varying_channels(runs: Sequence[Cells], continuous: np.ndarray) -> np.ndarray:
    """Return the positions of the continuous channels that move in most records of runs; none if they are many."""
    is_counted = np.concatenate([_is_counted(run) for run in runs])
    if len(continuous) > MAX_CHANNELS or len(is_counted) < MIN_RECORDS:
        return continuous[:0]
    return np.asarray(continuous[is_counted[:, continuous].mean(axis=0) >= MIN_MOVING_SHARE])


def _is_counted(cells: Cells) -> np.ndarray:
    """Return whether a cell shows how its channel varies, (n, c) bool."""
    is_counted = ~cells.is_missing & (cells.breach == 0) & (cells.z != lagged(cells.z, 1, cells.line))
    if cells.is_replaced is not None:
        is_counted &= ~cells.is_replaced
    return is_counted if cells.is_off is None else is_counted & ~cells.is_off[:, None]


def _counted_mean(sizes: np.ndarray, is_counted: np.ndarray, half_life: int, cells: Cells) -> np.ndarray:
    share = running_mean(is_counted.astype(np.float64), half_life, cells.line)
    total = running_mean(np.where(is_counted, sizes, 0.0), half_life, cells.line)
    mean = np.divide(total, share, out=np.full_like(total, np.nan), where=share >= MIN_COUNTED_SHARE)
    return np.asarray(mean + FLOOR)
