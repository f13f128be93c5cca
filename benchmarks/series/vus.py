"""Volume under the precision-recall surface (VUS-PR), the leading measure of the TSB-AD benchmark.

Labels of a series are uncertain at their edges, so each anomaly gets slopes: rows up to half a window before and
after it count as anomalous to a degree that falls with the distance. The measure is the mean, over all windows up to
the series' period, of the average precision against softened labels; recall is also multiplied by the share of
anomalies with a flagged row (Paparrizos et al., *Volume Under the Surface*, VLDB 2022; Liu & Paparrizos, *The Elephant
in the Room: Towards a Reliable Time-Series Anomaly Detection Benchmark*, NeurIPS 2024). Thresholds are 250 ranks of the
score. No detection is extended to the rows around it (no point adjustment).

The level of a row is the first threshold that it exceeds. So the sums for all thresholds are the running total of one
histogram over levels, and another window changes only the rows on slopes.
"""

from dataclasses import dataclass

import numpy as np
from scipy.signal import argrelextrema

from benchmarks.series.data import Mask, Vector

THRESHOLDS = 250
USUAL_PERIOD = 125  # rows, if the autocorrelation has no maximum
MIN_LAG = 3  # rows
MAX_LAG = 400  # rows
MAX_PERIOD = 300  # rows
MAX_PERIOD_ROWS = 20_000  # that the period is computed from


def period(channel: Vector) -> int:
    """Return the window of TSB-AD: the lag of the highest local maximum of a channel's autocorrelation, at least 6.

    >>> period(np.sin(2 * np.pi * np.arange(2_000) / 50))
    50
    """
    rows = channel[:MAX_PERIOD_ROWS]
    correlation = _autocorrelation(rows - rows.mean())[MIN_LAG:]
    maxima = argrelextrema(correlation, np.greater)[0]
    if not len(maxima):
        return USUAL_PERIOD
    lag = int(maxima[np.argmax(correlation[maxima])])
    return lag + MIN_LAG if MIN_LAG <= lag <= MAX_PERIOD else USUAL_PERIOD


def _autocorrelation(centred: Vector) -> Vector:
    """Return the autocorrelation at lags from 0 to 400; zeros if the channel is constant."""
    n = len(centred)
    spectrum = np.fft.rfft(centred, 2 * n)
    covariance = np.fft.irfft(spectrum * spectrum.conj(), 2 * n)[: min(n, MAX_LAG + 1)]
    return covariance / covariance[0] if np.any(centred) else np.zeros_like(covariance)


def vus_pr(is_anomaly: Mask, scores: Vector, window: int) -> float:
    """Return VUS-PR of scores (n,) and labels with at least one anomaly, for windows from 0 to `window`."""
    ranked = -np.sort(-scores)
    thresholds = ranked[np.linspace(0, len(scores) - 1, THRESHOLDS).astype(int)]
    level = np.searchsorted(-thresholds, -scores)  # (n,) the first threshold that the row reaches
    anomalies = _Anomalies.of(is_anomaly)
    slopes = _Slopes.of(anomalies, is_anomaly, window // 2)
    flagged = _running_total(level)
    within = _running_total(level[is_anomaly])
    touched = _touched(anomalies, level, window // 2)
    precisions = [
        _average_precision(flagged, within, slopes.weight(level, width), touched[width // 2])
        for width in range(window + 1)
    ]
    return float(np.mean(precisions))


def _running_total(level: np.ndarray, weight: Vector | None = None) -> Vector:
    """Return the number of rows, or their total weight, that each threshold flags, (thresholds,)."""
    return np.cumsum(np.bincount(level, weight, minlength=THRESHOLDS)).astype(np.float64)


def _average_precision(flagged: Vector, within: Vector, on_slopes: Vector, touched: Vector) -> float:
    """Return an average precision from the rows, anomalous rows, slopes and anomalies that each threshold flags."""
    true_positives = within + on_slopes
    anomalous = within[-1] + on_slopes / 2  # halfway between labels with and without the flagged slopes
    recall = np.minimum(true_positives / anomalous, 1) * touched
    return float(np.diff(recall, prepend=0) @ (true_positives / flagged))


@dataclass(frozen=True)
class _Anomalies:
    """The first and last rows of the anomalies in a series of n rows."""

    first: np.ndarray
    last: np.ndarray
    n: int

    @classmethod
    def of(cls, is_anomaly: Mask) -> "_Anomalies":
        step = np.diff(is_anomaly.astype(np.int8), prepend=0, append=0)
        return cls(np.flatnonzero(step == 1), np.flatnonzero(step == -1) - 1, len(is_anomaly))


@dataclass(frozen=True)
class _Slopes:
    """Pairs of a normal row and an anomaly near it, by their distance in rows, ascending.

    Attributes:
        row: (pairs,) position of the row.
        distance: (pairs,) to the anomaly's nearest row.
    """

    row: np.ndarray
    distance: np.ndarray

    @classmethod
    def of(cls, anomalies: _Anomalies, is_anomaly: Mask, reach: int) -> "_Slopes":
        distances = np.arange(1, reach + 1)
        row = np.concatenate([anomalies.first[:, None] - distances, anomalies.last[:, None] + distances]).T.ravel()
        distance = np.repeat(distances, 2 * len(anomalies.first))
        inside = (row >= 0) & (row < anomalies.n)
        row, distance = row[inside], distance[inside]
        is_normal = ~is_anomaly[row]
        return cls(row[is_normal], distance[is_normal])

    def weight(self, level: np.ndarray, width: int) -> Vector:
        """Return the weight of a window's slopes that each threshold flags, (thresholds,); a row weighs at most 1."""
        near = slice(np.searchsorted(self.distance, width // 2, side="right"))
        if not self.row[near].size:
            return np.zeros(THRESHOLDS)
        rows, position = np.unique(self.row[near], return_inverse=True)
        weight = np.minimum(np.bincount(position, np.sqrt(1 - self.distance[near] / width)), 1)
        return _running_total(level[rows], weight)


def _touched(anomalies: _Anomalies, level: np.ndarray, reach: int) -> list[Vector]:
    """Return the share of anomalies with a flagged row (thresholds,) for slopes of 0 to `reach` rows.

    Anomalies whose slopes meet count as one.
    """
    bounds = np.stack([anomalies.first, anomalies.last + 1], axis=1).ravel()
    lowest = np.minimum.reduceat(np.append(level, THRESHOLDS), bounds)[::2]
    gap = anomalies.first[1:] - anomalies.last[:-1]
    shares = []
    for width in range(reach + 1):
        if width:
            before, after = np.maximum(anomalies.first - width, 0), np.minimum(anomalies.last + width, anomalies.n - 1)
            lowest = np.minimum(lowest, np.minimum(level[before], level[after]))
        begins = np.flatnonzero(np.append(True, gap > 2 * width))
        merged = np.minimum.reduceat(lowest, begins)
        shares.append(_running_total(merged) / len(merged))
    return shares
