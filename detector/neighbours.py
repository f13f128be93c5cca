"""Exact nearest neighbours of records among the reference records.

Candidates come from one fast search in float32; their distances are then computed again in float64 and
ordered by distance and position, so that a record's neighbours do not depend on the records beside it.
"""

from collections.abc import Callable

import numpy as np
from sklearn.neighbors import NearestNeighbors

SPARE = 6  # candidates beyond those asked for, so that float32 ties cannot change the answer
ROWS = 256  # records at once: bounds the memory of the differences


class Neighbours:
    """Search among m reference points of D coordinates.

    Args:
        points: (m, D) float32.
    """

    def __init__(self, points: np.ndarray) -> None:
        self.points = points
        self._search = NearestNeighbors(algorithm="brute").fit(points)

    def differences(self, queries: np.ndarray, k: int) -> np.ndarray:
        """(n, k, D) float64: the k nearest reference points less the query, nearest first."""
        k = min(k, len(self.points))
        candidates = self._search.kneighbors(queries, min(k + SPARE, len(self.points)), return_distance=False)
        difference = self.points[candidates].astype(np.float64) - queries[:, None, :]
        squared = np.einsum("nkd,nkd->nk", difference, difference)
        order = np.lexsort((candidates, squared))[:, :k]
        return np.take_along_axis(difference, order[:, :, None], axis=1)

    def mean_distance(self, queries: np.ndarray, k: int) -> np.ndarray:
        """(n,) float64: mean Euclidean distance to the k nearest reference points."""
        return self._in_blocks(queries, lambda block: np.linalg.norm(self.differences(block, k), axis=2).mean(axis=1))

    def reconstruction_distance(self, queries: np.ndarray, k: int) -> np.ndarray:
        """(n,) float64: distance to the affine combination of the k nearest points that rebuilds the query best.

        The weights are those of locally linear embedding (Roweis & Saul, *Nonlinear Dimensionality Reduction
        by Locally Linear Embedding*, 2000), regularised by a fifth of the mean squared distance.
        """
        return self._in_blocks(queries, lambda block: _rebuilt_distance(self.differences(block, k)))

    @staticmethod
    def _in_blocks(queries: np.ndarray, measure: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        blocks = [measure(queries[start : start + ROWS]) for start in range(0, len(queries), ROWS)]
        return np.concatenate(blocks) if blocks else np.zeros(0)


def _rebuilt_distance(difference: np.ndarray) -> np.ndarray:
    """(n,) length of the weighted sum of differences (n, k, D), weights summing to 1."""
    k = difference.shape[1]
    gram = difference @ difference.transpose(0, 2, 1)  # (n, k, k)
    ridge = 0.2 * np.trace(gram, axis1=1, axis2=2) / k
    ridge = np.maximum(ridge, np.finfo(np.float64).tiny)  # a record that equals all of its neighbours
    weights = np.linalg.solve(gram + ridge[:, None, None] * np.eye(k), np.ones((len(gram), k, 1)))
    weights /= weights.sum(axis=1, keepdims=True)
    return np.linalg.norm((weights * difference).sum(axis=1), axis=1)
