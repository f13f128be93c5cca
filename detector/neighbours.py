"""Exact nearest neighbours of records among the reference records.

Candidates come from one matrix product in float32; their distances are then computed again in float64 and
ordered by distance and position, so that a record's neighbours do not depend on the records beside it.
"""

from collections.abc import Callable

import numpy as np

SPARE = 6  # candidates beyond those asked for, so that float32 ties cannot change the answer
GROUP = 25  # reference points in a group
ROWS = 256  # records at once: bounds the memory of the distances


class Neighbours:
    """Search among m reference points of D coordinates.

    Args:
        points: (m, D) float32.
    """

    def __init__(self, points: np.ndarray) -> None:
        self.points = points
        self._centre = points.mean(axis=0)
        centred = points - self._centre  # float32 loses least of a distance near the origin
        self._transposed = np.ascontiguousarray(centred.T)
        self._half_squares = 0.5 * np.einsum("md,md->m", centred, centred)

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
        result = np.empty(len(queries))
        for start in range(0, len(queries), ROWS):
            rows = slice(start, start + ROWS)
            candidates = self._candidates(queries[rows], min(k + SPARE, len(self.points)))
            result[rows] = measure(self._differences(queries[rows], candidates, k))
        return result

    def _candidates(self, queries: np.ndarray, count: int) -> np.ndarray:
        """(n, count) positions of the nearest points, in no order.

        The points are dealt into groups. The nearest `count` points lie in the `count` groups whose nearest point
        is nearest, so a group minimum spares looking at all but a few distances twice.
        """
        centred = np.zeros((ROWS, queries.shape[1]), dtype=np.float32)  # one shape, so that ties round alike
        centred[: len(queries)] = queries - self._centre
        distance = (self._half_squares - centred @ self._transposed)[: len(queries)]  # half, less that of the query
        n_groups = max(len(self.points) // GROUP, count)
        dealt = len(self.points) // n_groups * n_groups
        nearest = distance[:, :dealt].reshape(len(queries), -1, n_groups).min(axis=1)  # (n, groups)
        members = _smallest(nearest, count)[:, :, None] + np.arange(0, dealt, n_groups)
        rest = np.broadcast_to(np.arange(dealt, len(self.points)), (len(queries), len(self.points) - dealt))
        positions = np.hstack([members.reshape(len(queries), -1), rest])
        best = _smallest(np.take_along_axis(distance, positions, axis=1), count)
        return np.take_along_axis(positions, best, axis=1)

    def _differences(self, queries: np.ndarray, candidates: np.ndarray, k: int) -> np.ndarray:
        """(n, k, D) float64: the k nearest candidates less the query, nearest first."""
        difference = self.points[candidates].astype(np.float64) - queries[:, None, :]
        squared = np.einsum("nkd,nkd->nk", difference, difference)
        order = np.lexsort((candidates, squared))[:, :k]
        return difference[np.arange(len(order))[:, None], order]


def _smallest(values: np.ndarray, count: int) -> np.ndarray:
    """(n, count) positions of the smallest values of each row, in no order."""
    return np.argpartition(values, count - 1, axis=1)[:, :count]


def _rebuilt_distance(difference: np.ndarray) -> np.ndarray:
    """(n,) length of the weighted sum of differences (n, k, D), weights summing to 1."""
    k = difference.shape[1]
    gram = difference @ difference.transpose(0, 2, 1)  # (n, k, k)
    trace = np.trace(gram, axis1=1, axis2=2)
    gram /= np.where(trace > 0, trace, 1)[:, None, None]  # 0 where the record equals all of its neighbours
    weights = np.linalg.solve(gram + 0.2 / k * np.eye(k), np.ones((len(gram), k, 1)))
    weights /= weights.sum(axis=1, keepdims=True)
    return np.linalg.norm((weights * difference).sum(axis=1), axis=1)
