"""Fusion: one anomaly score from several signals over several spans of time.

Each signal is smoothed, then measured from its median in units of the distance to its 95 % quantile on held-back
normal records, and compressed. For each span the two largest alarms are averaged: a single alarm may be chance, and
the average of all alarms would hide an anomaly that only one signal detects. The largest span counts. A weight below 1
lowers the alarms of a signal.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from detector.series.running_means import running_mean, window_rows

HIGH_QUANTILE = 0.95
MIN_SPREAD = 0.1  # of a signal that is the same for most normal records
FUSED_SIGNALS = 2  # number of the largest alarms that are averaged


@dataclass(frozen=True)
class Fusion:
    """The usual range of each of k signals.

    Attributes:
        smoothing: half-lives in rows, one for each of S spans.
        median: (k,) of each signal.
        centre: (S, k) median of the smoothed signals.
        spread: (S, k) distance from the centre to the 95 % quantile of the smoothed signals.
        weights: (k,) factors of the signals' alarms; None if all count alike.
    """

    smoothing: tuple[int, ...]
    median: np.ndarray
    centre: np.ndarray
    spread: np.ndarray
    weights: np.ndarray | None = None

    @classmethod
    def fit(cls, runs: Sequence[np.ndarray], smoothing: tuple[int, ...]) -> Self:
        """Fit the fusion to the signals of runs of held-back records, each (n, k)."""
        median = np.median(np.concatenate(runs), axis=0)
        smoothed = [np.concatenate([running_mean(run - median, life) for run in runs]) for life in smoothing]
        centre = np.stack([np.median(rows, axis=0) for rows in smoothed])
        high = np.stack([np.quantile(rows, HIGH_QUANTILE, axis=0) for rows in smoothed])
        return cls(smoothing, median, centre, np.maximum(high - centre, MIN_SPREAD))

    @property
    def context_rows(self) -> int:
        """The number of earlier rows of the signals that a score depends on."""
        return max(map(window_rows, self.smoothing)) - 1

    def to_state(self) -> dict[str, np.ndarray]:
        """Return the arrays by name; without weights if there are none."""
        weights = {} if self.weights is None else {"weights": self.weights}
        return {"median": self.median, "centre": self.centre, "spread": self.spread, **weights}

    def weighted(self, weights: np.ndarray) -> Self:
        """Return the fusion with weights (k,) of the signals."""
        return replace(self, weights=weights)

    def alarms(self, signals: np.ndarray) -> np.ndarray:
        """Return the alarm of each signal over each span, (S, n, k), for the signals (n, k) of a run."""
        spans = [running_mean(signals - self.median, life) for life in self.smoothing]
        above = (np.stack(spans) - self.centre[:, None]) / self.spread[:, None]
        alarm = np.log1p(np.maximum(above, 0))
        return np.where(above > 0, alarm if self.weights is None else self.weights * alarm, above)

    def scores(self, signals: np.ndarray) -> np.ndarray:
        """Return the anomaly scores (n,) of a run from its signals (n, k)."""
        return fuse(self.alarms(signals))


def fuse(alarms: np.ndarray) -> np.ndarray:
    """Return the scores (n,) of alarms (S, n, k): for each span the mean of the two largest, and the largest span."""
    fused = np.sort(alarms, axis=2)[:, :, -FUSED_SIGNALS:].mean(axis=2)  # (S, n)
    return np.asarray(fused.max(axis=0))
