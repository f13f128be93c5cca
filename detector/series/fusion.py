"""Fusion: one anomaly score from several signals over several spans of time.

Each signal is smoothed, then measured from its median in units of the distance to its 95 % quantile on held-back
normal records, and compressed. If a history is held back fold by fold, the 99 % quantile counts too, so that an alarm
above 1 is as rare for each signal: one that is far higher in some hours of a history must not hide the others. For each
span the two largest alarms are averaged: a single alarm may be chance, and the average of all alarms would hide an
anomaly that only one signal detects. The largest span counts. A weight below 1 lowers the alarms of a signal. The
alarms of the total and of a network's signals take no place among the two: a part of them is added. A signal that is a
mean of many records also counts without a second one, a fifth lower, since nothing else may show what it does.

A single high record counts in full at its own time. In the running means of later records it counts at most as much as
the higher of its neighbours, or as the highest of the held-back records: it takes two such records to be remembered.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from detector.series.line import Line, earlier_rows
from detector.series.running_means import lagged, running_mean, window_rows

QUANTILES = (0.95, 0.99)  # of the smoothed signals on held-back normal records
RARE_ALARM = 1.0  # that a signal has at most at its 99 % quantile, if that bounds it
MIN_SPREAD = 0.1  # of a signal that is the same for most normal records
FUSED_SIGNALS = 2  # number of the largest alarms that are averaged
ALONE_FACTOR = 0.8  # of the alarm of a signal that counts without a second one


@dataclass(frozen=True)
class Fusion:
    """The usual range of each of k signals.

    Attributes:
        smoothing: half-lives in rows, one for each of S spans.
        median: (k,) of each signal.
        centre: (S, k) median of the smoothed signals.
        spread: (S, k) distance from the centre to the 95 % quantile of the smoothed signals, or more if the 99 %
            quantile bounds their alarms.
        weights: (k,) factors of the signals' alarms; None if all count alike.
        highest: (k,) largest distance of each signal from its median on held-back records; None in older models, in
            which single records are remembered in full.
        added: factors with which the alarms of the last signals are added; None if no signal's are.
        alone: (k,) bool, whether a signal needs no second one; None if all do. It follows from the signals.
    """

    smoothing: tuple[int, ...]
    median: np.ndarray
    centre: np.ndarray
    spread: np.ndarray
    weights: np.ndarray | None = None
    highest: np.ndarray | None = None
    added: np.ndarray | None = None
    alone: np.ndarray | None = None

    @classmethod
    def fit(cls, runs: Sequence[np.ndarray], smoothing: tuple[int, ...], *, bounds_tail: bool = False) -> Self:
        """Fit the fusion to the signals of runs of held-back records, each (n, k).

        With `bounds_tail`, the alarm of a signal at its 99 % quantile is at most 1.
        """
        signals = np.concatenate(runs)
        median = np.median(signals, axis=0)
        highest = signals.max(axis=0) - median
        smoothed = [np.concatenate([_smoothed(run - median, highest, life) for run in runs]) for life in smoothing]
        centre = np.stack([np.median(rows, axis=0) for rows in smoothed])
        high, rare = (np.stack([np.quantile(rows, q, axis=0) for rows in smoothed]) for q in QUANTILES)
        spread = np.maximum(high - centre, MIN_SPREAD)
        if bounds_tail:
            spread = np.maximum(spread, (rare - centre) / np.expm1(RARE_ALARM))
        return cls(smoothing, median, centre, spread, highest=highest)

    @property
    def context_rows(self) -> int:
        """The number of earlier rows of the signals that a score depends on."""
        return max(map(window_rows, self.smoothing)) + 1  # with the neighbour of the oldest

    def to_state(self) -> dict[str, np.ndarray]:
        """Return the arrays by name; without those that are None, and `alone`, which follows from the signals."""
        optional = {"weights": self.weights, "highest": self.highest, "added": self.added}
        present = {name: array for name, array in optional.items() if array is not None}
        return {"median": self.median, "centre": self.centre, "spread": self.spread, **present}

    @property
    def factors(self) -> np.ndarray | None:
        """The weights (k,) of the signals, those of added signals included; None if all count alike."""
        if self.added is None:
            return self.weights
        return np.concatenate([np.ones(len(self.median) - len(self.added)), self.added])

    def weighted(self, weights: np.ndarray) -> Self:
        """Return the fusion with weights (k,) of the signals."""
        return replace(self, weights=weights)

    def adding(self, added: np.ndarray) -> Self:
        """Return the fusion that adds the alarms of the last signals with these factors."""
        return replace(self, added=added)

    def with_last(self, other: Self, columns: int) -> Self:
        """Return the fusion, in which the last signals have the scale of another one.

        >>> one, other = (Fusion.fit([high * np.ones((2, 3))], (2,)) for high in (1, 2))
        >>> one.with_last(other, 1).median.tolist()
        [1.0, 1.0, 2.0]
        """
        kept = len(self.median) - columns

        def joined(name: str) -> np.ndarray:
            return np.concatenate([getattr(self, name)[..., :kept], getattr(other, name)[..., kept:]], axis=-1)

        median, centre, spread, highest = map(joined, ("median", "centre", "spread", "highest"))
        return replace(self, median=median, centre=centre, spread=spread, highest=highest)

    def alarms(self, signals: np.ndarray, line: Line | None = None) -> np.ndarray:
        """Return the alarm of each signal over each span, (S, n, k), for the signals (n, k) of a run."""
        spans = [_smoothed(signals - self.median, self.highest, life, line) for life in self.smoothing]
        above = (np.stack(spans) - self.centre[:, None]) / self.spread[:, None]
        alarm = np.log1p(np.maximum(above, 0))
        return np.where(above > 0, alarm if self.weights is None else self.weights * alarm, above)

    def scores(self, signals: np.ndarray, line: Line | None = None) -> np.ndarray:
        """Return the anomaly scores (n,) of a run from its signals (n, k)."""
        return fuse(self.alarms(signals, line), self.added, self.alone)


def fuse(alarms: np.ndarray, added: np.ndarray | None = None, alone: np.ndarray | None = None) -> np.ndarray:
    """Return the scores (n,) of alarms (S, n, k): for each span the mean of the two largest, and the largest span.

    With `added`, the last signals do not take part in that; their alarms are added with these factors. The alarm of a
    signal that is `alone` also counts by itself, a fifth lower.
    """
    if added is not None:
        own = np.split(alarms, [alarms.shape[2] - len(added)], axis=2)
        scores = fuse(own[0], alone=None if alone is None else alone[: own[0].shape[2]])
        return scores + _weighted_sum(np.maximum(own[1], 0), added).max(axis=0)
    fused = np.sort(alarms, axis=2)[:, :, -FUSED_SIGNALS:].mean(axis=2)  # (S, n)
    scores = np.asarray(fused.max(axis=0))
    return scores if alone is None else np.maximum(scores, ALONE_FACTOR * alarms[:, :, alone].max(axis=(0, 2)))


def _weighted_sum(alarms: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """Return the sums (S, n) of alarms (S, n, j) with factors (j,), added from signal to signal: the bits are fixed."""
    return np.asarray(np.cumsum(factors * alarms, axis=2)[:, :, -1])


def _smoothed(signals: np.ndarray, highest: np.ndarray | None, half_life: int, line: Line | None = None) -> np.ndarray:
    """Return the running mean of each record's signals, (n, k), in which single high records are not remembered."""
    if highest is None:
        return running_mean(signals, half_life, line)
    rows, decay = window_rows(half_life), 0.5 ** (1 / half_life)
    own_weight = (1 - decay) / (1 - decay**rows)
    remembered = _remembered(signals, highest, line)
    oldest = np.zeros_like(signals)
    later, past = earlier_rows(len(signals), rows - 1, line)
    oldest[later] = remembered[past]  # the past mean has one row too many
    return own_weight * (signals - decay**rows * oldest) + decay * _mean_after_first(remembered, half_life, line)


def _remembered(signals: np.ndarray, highest: np.ndarray, line: Line | None) -> np.ndarray:
    """Return the record before each record as that record remembers it, (n, k); 0 without a past.

    A record that is higher than both of its neighbours counts as the higher of them, or as `highest`.
    """
    remembered = np.zeros_like(signals)
    later, past = earlier_rows(len(signals), 1, line)
    neighbour = np.maximum(lagged(signals, 2, line)[later], signals[later])
    remembered[later] = np.minimum(signals[past], np.maximum(neighbour, highest))
    return remembered


def _mean_after_first(remembered: np.ndarray, half_life: int, line: Line | None) -> np.ndarray:
    """Return the running mean (n, k) that starts with the first records that have a past; 0 for records without one."""
    start = 1 if line is None else int(line.rows[0]) + 1
    after = running_mean(remembered[start:], half_life, None if line is None else line.at(slice(start, None)))
    return np.concatenate([np.zeros_like(remembered[:start]), after])
