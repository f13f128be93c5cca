"""Nearest neighbours of records among the reference records.

The points are dealt into cells by k-means, and a record is compared with the points of the cells whose means are
nearest: with all points up to 800, with some 800 of more. A neighbour may lie in another cell, about one in a
hundred, which costs the scores nothing that could be measured. Candidates come from matrix products in float32;
their distances are then computed again in float64 and ordered by distance and position. Every product has one fixed
shape, so that a record's neighbours do not depend on the records beside it.
"""

from collections.abc import Callable

import numpy as np

TYPICAL, SMALLEST, LARGEST = 50, 10, 96  # points in a cell
ROUNDS = 8  # of k-means
PROBED = 16  # cells that a query is compared with
SPARE = 5  # candidates beyond those asked for and the query itself, so that float32 ties cannot change the answer
GROUP = 8  # distances of which first only the smallest is looked at
BLOCK = 16  # rows of a matrix product: so few that BLAS starts no threads, which would wait for each other
ROWS = 2048  # queries searched at once: bounds the memory of the distances
MEASURED = 64  # queries measured at once: their differences stay in the cache


class Neighbours:
    """Search among m reference points of D coordinates.

    Args:
        points: (m, D) float32.
        probed: cells that a query is compared with; with m of them the search is exact.
    """

    def __init__(self, points: np.ndarray, probed: int = PROBED) -> None:
        cells = _cells(points)
        size = -(-max(map(len, cells)) // GROUP) * GROUP
        is_point = np.arange(size) < np.array([len(cell) for cell in cells])[:, None]
        self.points = points
        self._centre = points.mean(axis=0)
        self._positions = np.stack([np.pad(cell, (0, size - len(cell)), mode="edge") for cell in cells])  # (C, size)
        centred = (points - self._centre)[self._positions]  # float32 loses least of a distance near the origin
        self._transposed = np.ascontiguousarray(centred.transpose(0, 2, 1))  # (C, D, size)
        self._half_squares = np.where(is_point, _half_squares(centred), np.float32(np.inf))
        means = np.stack([points[cell].mean(axis=0, dtype=np.float64) for cell in cells]) - self._centre
        self._means, self._half_squared_means = means.T.copy(), _half_squares(means)
        self._probed = min(probed, len(cells))

    def mean_distance(self, queries: np.ndarray, k: int, own: np.ndarray | None = None) -> np.ndarray:
        """(n,) float64: mean Euclidean distance to the k nearest reference points.

        Args:
            queries: (n, D) float32.
            k: how many neighbours.
            own: (n,) the position of each query among the points, -1 where it is none of them: it is not its own
                neighbour.
        """
        return self._measure(queries, k, own, lambda difference: np.linalg.norm(difference, axis=2).mean(axis=1))

    def reconstruction_distance(self, queries: np.ndarray, k: int, own: np.ndarray | None = None) -> np.ndarray:
        """(n,) float64: distance to the affine combination of the k nearest points that rebuilds the query best.

        The weights are those of locally linear embedding (Roweis & Saul, *Nonlinear Dimensionality Reduction
        by Locally Linear Embedding*, 2000), regularised by a fifth of the mean squared distance. The arguments
        are those of `mean_distance`.
        """
        return self._measure(queries, k, own, _rebuilt_distance)

    def _measure(
        self, queries: np.ndarray, k: int, own: np.ndarray | None, measure: Callable[[np.ndarray], np.ndarray]
    ) -> np.ndarray:
        """(n,): `measure` of the differences (rows, k, D) between each query and its k nearest points."""
        own = np.full(len(queries), -1) if own is None else own
        k = min(k, len(self.points) - int((own >= 0).any()))
        result = np.empty(len(queries))
        for start in range(0, len(queries), ROWS):
            candidates = self._candidates(queries[start : start + ROWS], min(k + 1 + SPARE, len(self.points)))
            for first in range(0, len(candidates), MEASURED):
                among = candidates[first : first + MEASURED]
                rows = slice(start + first, start + first + len(among))
                result[rows] = measure(self._differences(queries[rows], among, own[rows], k))
        return result

    def _candidates(self, queries: np.ndarray, count: int) -> np.ndarray:
        """(n, count) positions of the nearest points in the probed cells, in no order."""
        centred = queries - self._centre
        to_means = self._half_squared_means - _product(centred.astype(np.float64), self._means)
        probed = _smallest(to_means.astype(np.float32), self._probed)  # rounded, so that ties stay ties
        distance = self._distances(centred, probed).reshape(len(queries), -1)
        best = _smallest(distance, count)
        cell = np.take_along_axis(probed, best // self._positions.shape[1], axis=1)
        return self._positions[cell, best % self._positions.shape[1]]

    def _distances(self, centred: np.ndarray, probed: np.ndarray) -> np.ndarray:
        """(n * P, size) float32: half the squared distances to the points of probed cells, less that of the query."""
        distance = np.empty((probed.size, self._positions.shape[1]), dtype=np.float32)
        pairs = np.argsort(probed.ravel(), kind="stable")  # of a query and a cell, by cell
        ends = np.cumsum(np.bincount(probed.ravel(), minlength=len(self._positions)))
        for cell, of_cell in enumerate(np.split(pairs, ends[:-1])):
            if len(of_cell):
                product = _product(centred[of_cell // self._probed], self._transposed[cell])
                distance[of_cell] = self._half_squares[cell] - product
        return distance

    def _differences(self, queries: np.ndarray, candidates: np.ndarray, own: np.ndarray, k: int) -> np.ndarray:
        """(n, k, D) float64: the k nearest candidates less the query, nearest first."""
        difference = self.points[candidates] - queries[:, None, :].astype(np.float64)
        squared = np.einsum("nkd,nkd->nk", difference, difference)
        squared[candidates == own[:, None]] = np.inf
        order = np.lexsort((candidates, squared))[:, :k]
        return difference[np.arange(len(order))[:, None], order]


def _cells(points: np.ndarray) -> list[np.ndarray]:
    """Positions of the points of each cell: those nearest to one mean (Lloyd's k-means), at most `LARGEST` of them."""
    means = points[np.linspace(0, len(points) - 1, -(-len(points) // TYPICAL)).round().astype(int)].astype(np.float64)
    for _ in range(ROUNDS):
        owner = _nearest(points, means)
        _, starts, sizes = np.unique(np.sort(owner), return_index=True, return_counts=True)
        totals = np.add.reduceat(points[np.argsort(owner, kind="stable")], starts, axis=0, dtype=np.float64)
        kept = sizes >= min(SMALLEST, sizes.max())  # so that the probed cells hold points enough
        means = totals[kept] / sizes[kept, None]
    owner = _nearest(points, means)
    return [part for cell in range(len(means)) for part in _parts(points, np.flatnonzero(owner == cell))]


def _nearest(points: np.ndarray, means: np.ndarray) -> np.ndarray:
    """(m,) the nearest mean of each point."""
    distance = _half_squares(means) - _product(points.astype(np.float64), means.T)
    return np.asarray(distance.astype(np.float32).argmin(axis=1))


def _parts(points: np.ndarray, cell: np.ndarray) -> list[np.ndarray]:
    """The cell, cut along its widest coordinate where it is too large."""
    widest = points[cell].var(axis=0, dtype=np.float64).argmax()
    return np.array_split(cell[np.argsort(points[cell, widest], kind="stable")], -(-len(cell) // LARGEST))


def _half_squares(points: np.ndarray) -> np.ndarray:
    """(...,): half the squared length of points (..., D)."""
    return np.asarray(0.5 * np.einsum("...d,...d->...", points, points)).astype(points.dtype)


def _product(rows: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """(n, m) product of rows (n, D) and (D, m), in blocks of one shape, so that each row rounds alike in any batch."""
    padded = np.zeros((-(-len(rows) // BLOCK) * BLOCK, rows.shape[1]), dtype=rows.dtype)
    padded[: len(rows)] = rows
    blocks = padded.reshape(-1, BLOCK, rows.shape[1]) @ matrix
    return blocks.reshape(len(padded), -1)[: len(rows)]


def _smallest(values: np.ndarray, count: int) -> np.ndarray:
    """(n, count) positions of the smallest values of each row, in no order.

    The smallest `count` lie in the `count` groups whose smallest is smallest, so most values are looked at once.
    """
    groups, left = divmod(values.shape[1], GROUP)
    if left or groups <= count:
        return np.argpartition(values, count - 1, axis=1)[:, :count]
    least = values.reshape(-1, GROUP, groups).min(axis=1)
    members = np.argpartition(least, count - 1, axis=1)[:, :count, None] + groups * np.arange(GROUP)
    members = members.reshape(len(values), -1)
    best = np.argpartition(np.take_along_axis(values, members, axis=1), count - 1, axis=1)[:, :count]
    return np.take_along_axis(members, best, axis=1)


def _rebuilt_distance(difference: np.ndarray) -> np.ndarray:
    """(n,) length of the weighted sum of differences (n, k, D), weights summing to 1."""
    k = difference.shape[1]
    gram = difference @ difference.transpose(0, 2, 1)  # (n, k, k)
    trace = np.trace(gram, axis1=1, axis2=2)
    gram /= np.where(trace > 0, trace, 1)[:, None, None]  # 0 where the record equals all of its neighbours
    weights = np.linalg.solve(gram + 0.2 / k * np.eye(k), np.ones((len(gram), k, 1)))
    weights /= weights.sum(axis=1, keepdims=True)
    return np.linalg.norm((weights.transpose(0, 2, 1) @ difference)[:, 0], axis=1)
