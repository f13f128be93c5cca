"""Volume under the precision-recall surface (VUS-PR), the leading measure of the TSB-AD benchmark.

Labels of a series are uncertain at their edges, so each anomaly is given slopes: rows up to half a window before
and after it count as anomalous to a degree that falls with the distance. The measure is the mean, over all windows
up to the series' period, of the average precision against such labels, where recall is also multiplied by the share
of anomalies touched (Paparrizos et al., *Volume Under the Surface*, VLDB 2022; Liu & Paparrizos, *The Elephant in the
Room: Towards a Reliable Time-Series Anomaly Detection Benchmark*, NeurIPS 2024). Thresholds are 250 ranks of the score.
No detection is carried over to the rows around it (no point adjustment).

Every row is above a first threshold, its level. So the sums for all thresholds are one histogram over levels and its
running total, and only rows on slopes are looked at again for another window.
"""

from dataclasses import dataclass

import numpy as np
from scipy.signal import argrelextrema

from benchmarks.series.data import Mask, Vector

THRESHOLDS = 250
USUAL_PERIOD = 125  # where the autocorrelation shows none
SHORTEST_LAG = 3
LONGEST_LAG = 400
LONGEST_PERIOD = 300
ROWS_FOR_PERIOD = 20_000


def period(channel: Vector) -> int:
    """The window of TSB-AD: the lag of the highest local maximum of a channel's autocorrelation, at least 6.

    >>> period(np.sin(2 * np.pi * np.arange(2_000) / 50))
    50
    """
    rows = channel[:ROWS_FOR_PERIOD]
    correlation = _autocorrelation(rows - rows.mean())[SHORTEST_LAG:]
    maxima = argrelextrema(correlation, np.greater)[0]
    if not len(maxima):
        return USUAL_PERIOD
    lag = int(maxima[np.argmax(correlation[maxima])])
    return lag + SHORTEST_LAG if SHORTEST_LAG <= lag <= LONGEST_PERIOD else USUAL_PERIOD


def _autocorrelation(centred: Vector) -> Vector:
    """At lags from 0 to 400, relative to that at lag 0; all zero where the channel is constant."""
    n = len(centred)
    spectrum = np.fft.rfft(centred, 2 * n)
    covariance = np.fft.irfft(spectrum * spectrum.conj(), 2 * n)[: min(n, LONGEST_LAG + 1)]
    return covariance / covariance[0] if np.any(centred) else np.zeros_like(covariance)


def vus_pr(is_anomaly: Mask, scores: Vector, window: int) -> float:
    """The measure of scores (n,) beside labels with at least one anomaly, for windows from 0 to `window`."""
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
    """(thresholds,): how many of the rows, or how much of their weight, each threshold flags."""
    return np.cumsum(np.bincount(level, weight, minlength=THRESHOLDS)).astype(np.float64)


def _average_precision(flagged: Vector, within: Vector, on_slopes: Vector, touched: Vector) -> float:
    """One average precision from what each threshold flags: rows, anomalous rows, weight on slopes, anomalies."""
    found = within + on_slopes
    anomalous = within[-1] + on_slopes / 2  # half way between labels with and without the slopes flagged
    recall = np.minimum(found / anomalous, 1) * touched
    return float(np.diff(recall, prepend=0) @ (found / flagged))


@dataclass(frozen=True)
class _Anomalies:
    """First and last rows of the anomalies of a series of n rows."""

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
        away = np.arange(1, reach + 1)
        row = np.concatenate([anomalies.first[:, None] - away, anomalies.last[:, None] + away]).T.ravel()
        distance = np.repeat(away, 2 * len(anomalies.first))
        inside = (row >= 0) & (row < anomalies.n)
        row, distance = row[inside], distance[inside]
        is_normal = ~is_anomaly[row]
        return cls(row[is_normal], distance[is_normal])

    def weight(self, level: np.ndarray, width: int) -> Vector:
        """(thresholds,): the weight of slopes of a window that each threshold flags; a row weighs at most 1."""
        near = slice(np.searchsorted(self.distance, width // 2, side="right"))
        if not self.row[near].size:
            return np.zeros(THRESHOLDS)
        rows, position = np.unique(self.row[near], return_inverse=True)
        weight = np.minimum(np.bincount(position, np.sqrt(1 - self.distance[near] / width)), 1)
        return _running_total(level[rows], weight)


def _touched(anomalies: _Anomalies, level: np.ndarray, reach: int) -> list[Vector]:
    """For slopes of 0 to `reach` rows, (thresholds,): the share of anomalies of which a row is flagged.

    Anomalies whose slopes meet are one.
    """
    bounds = np.stack([anomalies.first, anomalies.last + 1], axis=1).ravel()
    lowest = np.minimum.reduceat(np.append(level, THRESHOLDS), bounds)[::2]
    gap = anomalies.first[1:] - anomalies.last[:-1]
    shares = []
    for away in range(reach + 1):
        if away:
            before, after = np.maximum(anomalies.first - away, 0), np.minimum(anomalies.last + away, anomalies.n - 1)
            lowest = np.minimum(lowest, np.minimum(level[before], level[after]))
        begins = np.flatnonzero(np.append(True, gap > 2 * away))
        merged = np.minimum.reduceat(lowest, begins)
        shares.append(_running_total(merged) / len(merged))
    return shares
