"""Nearest neighbours of records among the reference records.

The points are dealt into cells by k-means, and a record is compared with the points of the 16 cells whose means are
nearest: with all points up to 512, with some 500 of more. Of more than that, records are compared on the principal
axes that hold nearly all of the variance, for the coordinates of an ensemble repeat each other. A neighbour may lie in
another cell, about one in a hundred, which costs the scores nothing that could be measured. The nearest candidates are
then measured in all coordinates and ordered by distance and position. Every product has one fixed shape and the rest
goes number by number, so that a record's neighbours do not depend on the records beside it.
"""

from collections.abc import Callable

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from detector.core.products import BLOCK, blocked_product
from detector.core.subsample import subsample_evenly

TYPICAL, SMALLEST, LARGEST = 32, 8, 48  # points in a cell
ROUNDS = 8  # of k-means
PROBED = 16  # cells that a query is compared with
SPARE = 5  # candidates beyond those asked for, so that ties, rounding and what the axes leave out change no answer
VARIANCE = 0.995  # that the axes of the search hold at least
AXES = 16  # their number is a multiple of it, as vectors of processors are
SAMPLE = 1024  # points that the axes are found from
GROUP = 8  # distances of which first only the smallest is looked at
ROWS = 4096  # queries searched at once: bounds the memory of the distances
MEASURED = 64  # queries measured at once: their differences stay in the cache
SOLVED = 1024  # queries rebuilt at once: likewise
FAR = np.float32(1e30)  # half the squared distance to where a cell has no point


class Neighbours:
    """Search among m reference points of D coordinates.

    Args:
        points: (m, D) float32.
        probed: cells that a query is compared with; with m of them the search is exact.
    """

    def __init__(self, points: np.ndarray, probed: int = PROBED) -> None:
        is_exact = len(points) <= probed * TYPICAL
        self.points = points
        self._centre = points.mean(axis=0)  # float32 loses least of a distance near the origin
        self._axes = None if is_exact else _principal_axes(points - self._centre)
        searched = self._searched(points)  # (m, R)
        cells = _cells(searched)
        size = -(-max(map(len, cells)) // GROUP) * GROUP
        self._positions = np.stack([np.pad(cell, (0, size - len(cell)), mode="edge") for cell in cells])  # (C, size)
        is_point = np.arange(size) < np.array([len(cell) for cell in cells])[:, None]
        members = searched[self._positions]
        half_squares = np.where(is_point, _half_squares(members), FAR)
        self._tiles = np.concatenate([-members.transpose(0, 2, 1), half_squares[:, None]], axis=1)  # (C, R + 1, size)
        means = np.stack([searched[cell].mean(axis=0, dtype=np.float64) for cell in cells])
        spare = ((0, -len(means) % GROUP), (0, 0))  # columns for whole groups, far from everything
        self._means = np.pad(means, spare).T.copy()
        self._half_squared_means = np.pad(_half_squares(means), spare[0], constant_values=FAR)
        self._probed = len(cells) if is_exact else min(probed, len(cells))

    def mean_distance(self, queries: np.ndarray, k: int, own: np.ndarray | None = None) -> np.ndarray:
        """(n,) float64: mean Euclidean distance to the k nearest reference points.

        Args:
            queries: (n, D) float32.
            k: how many neighbours.
            own: (n,) the position of each query among the points, -1 where it is none of them: it is not its own
                neighbour.
        """
        return self._measure(queries, k, own, _mean_length)

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
        """(n,): `measure` of the inner products (rows, k, k) of each query's differences to its k nearest points."""
        own = np.full(len(queries), -1) if own is None else own
        has_own = int((own >= 0).any())
        k = min(k, len(self.points) - has_own)
        result = np.empty(len(queries))
        for start in range(0, len(queries), ROWS):
            candidates = self._candidates(queries[start : start + ROWS], min(k + has_own + SPARE, len(self.points)))
            for first in range(0, len(candidates), SOLVED):
                among = candidates[first : first + SOLVED]
                rows = slice(start + first, start + first + len(among))
                result[rows] = measure(self._nearest_products(queries[rows], among, own[rows], k))
        return result

    def _candidates(self, queries: np.ndarray, count: int) -> np.ndarray:
        """(n, count) positions of the nearest points in the probed cells, ascending."""
        searched = self._searched(queries)
        to_means = self._half_squared_means - blocked_product(searched.astype(np.float64), self._means)
        probed = _smallest(to_means.astype(np.float32), self._probed)  # rounded, so that ties stay ties
        best = _smallest(self._distances(searched, probed), count)
        cell, member = np.divmod(best, self._positions.shape[1])
        return np.sort(self._positions[np.take_along_axis(probed, cell, axis=1), member], axis=1)

    def _searched(self, queries: np.ndarray) -> np.ndarray:
        """(n, R) float32: the coordinates that the search looks at."""
        centred = queries - self._centre
        return (
            centred
            if self._axes is None
            else blocked_product(centred.astype(np.float64), self._axes).astype(np.float32)
        )

    def _distances(self, searched: np.ndarray, probed: np.ndarray) -> np.ndarray:
        """(n, P * size) float32: half the squared distances to the points of probed cells, less that of the query."""
        size = self._tiles.shape[2]
        distance = np.empty((probed.size, size), dtype=np.float32)
        with_one = np.hstack([searched, np.ones((len(searched), 1), dtype=np.float32)])
        pairs, ends = self._blocks(probed)
        for tile, first, last in zip(self._tiles, [0, *ends], ends, strict=False):
            of_cell = pairs[first:last]
            if len(of_cell):
                products = with_one[of_cell // probed.shape[1]] @ tile
                distance[of_cell.ravel()] = products.reshape(-1, size)
        return distance.reshape(len(probed), -1)

    def _blocks(self, probed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The cell of each block (B,), and its pairs of a query and that cell (B, BLOCK), as positions in `probed`.

        Where pairs are too few for a block, the last one is repeated.
        """
        few = np.uint16 if len(self._tiles) <= 1 << 16 else np.int64  # sorted by digits, in place of comparisons
        by_cell = np.argsort(probed.ravel().astype(few), kind="stable")
        numbers = np.bincount(probed.ravel(), minlength=len(self._tiles))
        blocks = -(-numbers // BLOCK)
        ends = np.repeat(np.cumsum(numbers), blocks)
        within = np.arange(blocks.sum()) - np.repeat(np.cumsum(blocks) - blocks, blocks)
        starts = ends - np.repeat(numbers, blocks) + within * BLOCK
        places = np.minimum(starts[:, None] + np.arange(BLOCK), ends[:, None] - 1)
        return by_cell[places], np.cumsum(blocks)

    def _nearest_products(self, queries: np.ndarray, candidates: np.ndarray, own: np.ndarray, k: int) -> np.ndarray:
        """(n, k, k) float32: inner products of the differences to the k nearest candidates, nearest first."""
        count = candidates.shape[1]
        products = np.empty((len(queries), count, count), dtype=np.float32)
        for start in range(0, len(queries), MEASURED):
            rows = slice(start, start + MEASURED)
            difference = self.points[candidates[rows]]
            difference -= queries[rows, None, :]
            # times a copy, since times itself BLAS goes a slower way
            np.matmul(difference, difference.copy().transpose(0, 2, 1), out=products[rows])
        squared = np.diagonal(products, axis1=1, axis2=2)
        squared = np.where(candidates == own[:, None], np.float32(np.inf), squared)
        order = np.argsort(squared, axis=1, kind="stable")[:, :k]
        return products[np.arange(len(order))[:, None, None], order[:, :, None], order[:, None, :]]


def _principal_axes(centred: np.ndarray) -> np.ndarray:
    """(D, R) float64: the directions that hold nearly all variance of points (m, D) around the origin."""
    rows = subsample_evenly(len(centred), SAMPLE)
    with threadpool_limits(1, user_api="blas"):  # the number of threads would change the bits
        _, spread, axes = np.linalg.svd(centred[rows].astype(np.float64), full_matrices=False)
    variance = np.cumsum(spread**2)
    needed = int(np.searchsorted(variance, VARIANCE * variance[-1])) + 1
    return np.ascontiguousarray(axes[: -(-needed // AXES) * AXES].T)


def _cells(points: np.ndarray) -> list[np.ndarray]:
    """Partition the points by k-means (Lloyd); return the positions of each cell's points, at most `LARGEST`."""
    means = points[subsample_evenly(len(points), -(-len(points) // TYPICAL))].astype(np.float64)
    for _ in range(ROUNDS):
        owner = _nearest(points, means)
        _, starts, sizes = np.unique(np.sort(owner), return_index=True, return_counts=True)
        totals = np.add.reduceat(points[np.argsort(owner, kind="stable")], starts, axis=0, dtype=np.float64)
        kept = sizes >= min(SMALLEST, int(np.max(sizes)))  # so that the probed cells hold enough points
        means = totals[kept] / sizes[kept, None]
    owner = _nearest(points, means)  # by the last means, of which one may own no point
    return [part for cell in np.unique(owner) for part in _parts(points, np.flatnonzero(owner == cell))]


def _nearest(points: np.ndarray, means: np.ndarray) -> np.ndarray:
    """(m,) the nearest mean of each point."""
    distance = _half_squares(means) - blocked_product(points.astype(np.float64), means.T)
    return np.asarray(distance.astype(np.float32).argmin(axis=1))


def _parts(points: np.ndarray, cell: np.ndarray) -> list[np.ndarray]:
    """Split a cell along its widest coordinate if it is too large."""
    widest = points[cell].var(axis=0, dtype=np.float64).argmax()
    return np.array_split(cell[np.argsort(points[cell, widest], kind="stable")], -(-len(cell) // LARGEST))


def _half_squares(points: np.ndarray) -> np.ndarray:
    """(...,): half the squared length of points (..., D)."""
    return np.asarray(0.5 * np.einsum("...d,...d->...", points, points)).astype(points.dtype)


def _smallest(values: np.ndarray, count: int) -> np.ndarray:
    """(n, count) positions of the smallest values of each row, in no order.

    The smallest `count` lie in the `count` groups whose smallest is smallest, so most values are looked at once.
    """
    width = values.shape[1]
    groups, left = divmod(width, GROUP)
    if left or groups <= count:
        return np.argpartition(values, count - 1, axis=1)[:, :count]
    least = values.reshape(-1, GROUP, groups).min(axis=1)
    nearest = np.argpartition(least, count - 1, axis=1)[:, :count, None]
    members = (nearest + groups * np.arange(GROUP)).reshape(len(values), -1)
    rows = width * np.arange(len(values))[:, None]
    best = np.argpartition(values.ravel().take(members + rows), count - 1, axis=1)[:, :count]
    return np.take_along_axis(members, best, axis=1)


def _mean_length(products: np.ndarray) -> np.ndarray:
    """(n,) mean length of differences with inner products (n, k, k)."""
    return np.sqrt(np.diagonal(products, axis1=1, axis2=2).astype(np.float64)).mean(axis=1)


def _rebuilt_distance(products: np.ndarray) -> np.ndarray:
    """(n,) length of the weighted sum of differences with inner products (n, k, k), weights summing to 1."""
    k = products.shape[1]
    gram = products.transpose(1, 2, 0).astype(np.float64, order="C")  # (k, k, n)
    trace = sum(gram[i, i] for i in range(k))
    gram /= np.where(trace > 0, trace, 1)  # 0 where the record equals all of its neighbours
    ridge = 0.2 / k
    gram[range(k), range(k)] += ridge
    weights = _solved(gram)
    total, squares = sum(weights), sum(weight * weight for weight in weights)
    return np.asarray(np.sqrt(trace * np.maximum(total - ridge * squares, 0)) / total)


def _solved(matrices: np.ndarray) -> np.ndarray:
    """(k, n): what positive definite matrices (k, k, n), which are overwritten, turn into ones.

    Gaussian elimination of all of them at once.
    """
    k = len(matrices)
    solution = np.ones(matrices.shape[1:])
    for i in range(k):
        factor = matrices[i + 1 :, i] / matrices[i, i]
        matrices[i + 1 :, i + 1 :] -= factor[:, None] * matrices[i, i + 1 :]
        solution[i + 1 :] -= factor * solution[i]
    for i in reversed(range(k)):
        solution[i] /= matrices[i, i]
        solution[:i] -= matrices[:i, i] * solution[i]
    return solution
