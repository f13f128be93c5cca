"""LabelHead: raises the scores of records that deviate in the direction in which confirmed anomalies do.

A direction is one weight for each cell of the residuals, so a person can read it: confirmed records had a lower flow
than the networks expected. It is the mean deviation of the confirmed records less a quarter of that of false positives,
as in linear discriminants with a diagonal covariance. A score is multiplied by the cube root of 1 plus the deviation in
that direction, so no score falls, and a record without such a deviation keeps its score.
"""

from dataclasses import dataclass

import numpy as np

from detector.core.arithmetic import products, roots
from detector.core.subsample import subsample_rows

MAX_DEVIATION = 5.0  # spreads: one wild cell must not be the whole direction
FALSE_POSITIVE_WEIGHT = 0.25  # a false positive may deviate as confirmed records do, and be wrong itself
DEGREE = 3  # of the root
MAX_REFERENCE = 1_000  # normal records that deviations are measured by
MIN_SPREAD_SHARE = 0.1  # of the root mean square of all spreads: a cell that hardly varies must not rule
MIN_SPREAD = 1e-6
MIN_RANGE = 1e-3
_HIGH = 95.0  # percentile of normal records, at a distance of 1 from their median


@dataclass(frozen=True)
class LabelHead:
    """Weights of the residuals, fitted to labelled records.

    Attributes:
        centre: (D,) float64, median of each residual among normal records.
        spread: (D,) float64, standard deviation among them, with a minimum.
        direction: (D,) float64, weights of the deviations.
        limits: (2,) float64, median and 95 % quantile of normal records in that direction.
    """

    centre: np.ndarray
    spread: np.ndarray
    direction: np.ndarray
    limits: np.ndarray

    @classmethod
    def fit(cls, normal: np.ndarray, confirmed: np.ndarray, false_positives: np.ndarray) -> "LabelHead":
        """Fit the head to the residuals of normal, confirmed and falsely flagged records, each (n, D)."""
        rows = subsample_rows(normal, MAX_REFERENCE).astype(np.float64)
        spread = rows.std(axis=0)
        spread = spread + MIN_SPREAD_SHARE * np.sqrt(np.square(spread).mean()) + MIN_SPREAD
        blank = cls(np.median(rows, axis=0), spread, np.zeros(rows.shape[1]), np.array([0.0, 1.0]))
        direction = blank.deviations(confirmed).mean(axis=0)
        if len(false_positives):
            direction = direction - FALSE_POSITIVE_WEIGHT * blank.deviations(false_positives).mean(axis=0)
        median, high = np.percentile(blank.deviations(rows) @ direction, [50.0, _HIGH])
        return cls(blank.centre, spread, direction, np.array([median, max(high, median + MIN_RANGE)]))

    def deviations(self, residuals: np.ndarray) -> np.ndarray:
        """Return residuals (n, D) less those of normal records in their spreads, limited, (n, D) float64."""
        return np.clip((residuals.astype(np.float64) - self.centre) / self.spread, -MAX_DEVIATION, MAX_DEVIATION)

    def factors(self, residuals: np.ndarray) -> np.ndarray:
        """Return the factors (n,) of at least 1 by which scores rise, for residuals (n, D); equal bits in any batch."""
        median, high = self.limits
        projected = products(self.deviations(residuals), self.direction[:, None])[:, 0]
        return roots(1 + np.maximum((projected - median) / (high - median), 0.0), DEGREE)
