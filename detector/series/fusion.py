"""Fusion: what several views say of a record over several spans of time, as one anomaly score.

Each view is smoothed, then measured from its median in units of the distance to its 95 % quantile on held-back
normal records, and compressed. For each span the two views that are most alarmed are averaged: one alone may be a
fluke, and all would drown the one that sees. The most alarmed span counts. A view with a weight below 1 alarms less.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from detector.series.running_means import rows_of, running_mean

HIGH = 0.95  # quantile
LEAST_SPREAD = 0.1  # of a view that says the same of most normal records
MOST_ALARMED = 2  # views


@dataclass(frozen=True)
class Fusion:
    """The usual range of each view.

    Attributes:
        smoothing: half-lives in rows, S of them.
        median: (v,) of each view's scores.
        centre: (S, v) median of the smoothed ones.
        spread: (S, v) from there to their 95 % quantile.
        weights: (v,) how much each view's alarm counts; all alike where absent.
    """

    smoothing: tuple[int, ...]
    median: np.ndarray
    centre: np.ndarray
    spread: np.ndarray
    weights: np.ndarray | None = None

    @classmethod
    def fit(cls, runs: Sequence[np.ndarray], smoothing: tuple[int, ...]) -> Self:
        """The fusion by what views said of runs of held-back records, each (n, v)."""
        median = np.median(np.concatenate(runs), axis=0)
        smooth = [np.concatenate([running_mean(run - median, life) for run in runs]) for life in smoothing]
        centre = np.stack([np.median(rows, axis=0) for rows in smooth])
        high = np.stack([np.quantile(rows, HIGH, axis=0) for rows in smooth])
        return cls(smoothing, median, centre, np.maximum(high - centre, LEAST_SPREAD))

    @property
    def context_rows(self) -> int:
        """How many earlier rows of the views a score depends on."""
        return max(map(rows_of, self.smoothing)) - 1

    def to_state(self) -> dict[str, np.ndarray]:
        """The numbers by name; weights where there are any."""
        weights = {} if self.weights is None else {"weights": self.weights}
        return {"median": self.median, "centre": self.centre, "spread": self.spread, **weights}

    def weighted(self, weights: np.ndarray) -> Self:
        """The fusion with these weights (v,) of the views."""
        return replace(self, weights=weights)

    def alarms(self, views: np.ndarray) -> np.ndarray:
        """(S, n, v): how alarmed each view is over each span, for what the views say of a run (n, v)."""
        spans = [running_mean(views - self.median, life) for life in self.smoothing]
        above = (np.stack(spans) - self.centre[:, None]) / self.spread[:, None]
        alarm = np.log1p(np.maximum(above, 0))
        return np.where(above > 0, alarm if self.weights is None else self.weights * alarm, above)

    def scores(self, views: np.ndarray) -> np.ndarray:
        """(n,) anomaly scores of a run, for what the views say of it (n, v)."""
        alarmed = np.sort(self.alarms(views), axis=2)[:, :, -MOST_ALARMED:].mean(axis=2)  # (S, n)
        return np.asarray(alarmed.max(axis=0))
