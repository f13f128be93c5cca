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

    def mean_distance(self, queries: np.ndarray, k: int) -> np.ndarray:
        """(n,) float64: mean Euclidean distance to the k nearest reference points."""
        return self._measure(queries, k, lambda difference: np.linalg.norm(difference, axis=2).mean(axis=1))

    def reconstruction_distance(self, queries: np.ndarray, k: int) -> np.ndarray:
        """(n,) float64: distance to the affine combination of the k nearest points that rebuilds the query best.

        The weights are those of locally linear embedding (Roweis & Saul, *Nonlinear Dimensionality Reduction
        by Locally Linear Embedding*, 2000), regularised by a fifth of the mean squared distance.
        """
        return self._measure(queries, k, _rebuilt_distance)

    def _measure(self, queries: np.ndarray, k: int, measure: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """(n,): `measure` of the differences (rows, k, D) between each query and its k nearest points."""
        k = min(k, len(self.points))
        candidates = self._search.kneighbors(queries, min(k + SPARE, len(self.points)), return_distance=False)
        result = np.empty(len(queries))
        for start in range(0, len(queries), ROWS):
            rows = slice(start, start + ROWS)
            result[rows] = measure(self._differences(queries[rows], candidates[rows], k))
        return result

    def _differences(self, queries: np.ndarray, candidates: np.ndarray, k: int) -> np.ndarray:
        """(n, k, D) float64: the k nearest candidates less the query, nearest first."""
        difference = self.points[candidates].astype(np.float64) - queries[:, None, :]
        squared = np.einsum("nkd,nkd->nk", difference, difference)
        order = np.lexsort((candidates, squared))[:, :k]
        return difference[np.arange(len(order))[:, None], order]


def _rebuilt_distance(difference: np.ndarray) -> np.ndarray:
    """(n,) length of the weighted sum of differences (n, k, D), weights summing to 1."""
    k = difference.shape[1]
    gram = difference @ difference.transpose(0, 2, 1)  # (n, k, k)
    trace = np.trace(gram, axis1=1, axis2=2)
    gram /= np.where(trace > 0, trace, 1)[:, None, None]  # 0 where the record equals all of its neighbours
    weights = np.linalg.solve(gram + 0.2 / k * np.eye(k), np.ones((len(gram), k, 1)))
    weights /= weights.sum(axis=1, keepdims=True)
    return np.linalg.norm((weights * difference).sum(axis=1), axis=1)
