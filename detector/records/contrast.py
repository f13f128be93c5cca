"""ContrastForest: trees that find the places in which records with noise are more frequent than records.

Randomised trees (Breiman 2001; Geurts et al. 2006) are trained to separate training records from copies with noise in a
random part of their cells. A record that they take for such a copy lies in a place with few records: anomaly detection
as classification (Steinwart et al. 2005). Trees compare one cell at a time, so they see what a distance blurs: a value
in a gap between the usual ones, or in a place that only some values of another column allow.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from detector.core.arithmetic import Trees, exp, log, mean_leaves, softplus

MAX_SHARE = 0.999  # of copies in the place of a record: odds have to be finite
MIN_SHARE = 1e-3
WEIGHT = 0.5  # of the mean surprise in the logarithm of a score
USUAL_SURPRISE = 0.6931472  # ln 2, of a record with the median log odds


@dataclass(frozen=True)
class ContrastForest:
    """Trained trees of one kind of noise.

    Attributes:
        trees: their nodes have the share of copies with noise; in a model of an earlier version only the leaves do.
        centre: median log odds of the training records, each judged by the trees that were not trained on it.
        spread: from the median of these log odds to their 90 % quantile.
        held_out: (m,) float64, share of copies in the place of each training record, by the same trees; None in a model
            that was read from an artifact.
    """

    trees: Trees
    centre: float
    spread: float
    held_out: np.ndarray | None = None

    def surprise(self, cells: np.ndarray, own: np.ndarray) -> np.ndarray:
        """Return how much records look like copies with noise, (n,) float32, at least 0.

        It is softplus(x) for the log odds of being a copy, less `centre`, in units of `spread`.

        Args:
            cells: (n, d) float32, squashed.
            own: (n,) the position of each record among the training records, or -1.
        """
        share = mean_leaves(self.trees, cells)
        if self.held_out is not None:
            share = np.where(own < 0, share, self.held_out[own])
        return softplus(((log_odds(share) - self.centre) / self.spread).astype(np.float32))


def log_odds(share: np.ndarray) -> np.ndarray:
    """Return the logarithm of the odds of shares (n,), in float32."""
    limited = np.clip(share, MIN_SHARE, MAX_SHARE)
    return log((limited / (1 - limited)).astype(np.float32))


def contrast_factors(forests: Sequence[ContrastForest], cells: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Return the factors (n,) float64, at least 1, by which records score higher that look like copies with noise."""
    total = np.zeros(len(cells), np.float32)
    for forest in forests:
        total += forest.surprise(cells, own)
    return exp(total * np.float32(WEIGHT / len(forests))).astype(np.float64)
