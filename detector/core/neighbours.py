"""Nearest neighbours of records among the reference records.

The points are partitioned into cells by k-means, and a record is compared with the points of the cells with the nearest
means, 16 by default. Up to 512 points the search is exact. Above, a record is compared with about 500 points, on the
principal axes that hold nearly all of the variance, because the coordinates of an ensemble repeat each other. About one
neighbour in a hundred lies in another cell and is missed, without a measurable cost to the scores. The nearest
candidates are then measured in all coordinates and ordered by distance and position. The search runs record by record
in `core.arithmetic`, so that a record's neighbours do not depend on the other records of a batch.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from detector.core import arithmetic
from detector.core.arithmetic import Index, products
from detector.core.subsample import subsample_evenly

MEAN_CELL_POINTS, MIN_CELL_POINTS, MAX_CELL_POINTS = 32, 8, 48
KMEANS_ROUNDS = 8
PROBED_CELLS = 16  # that a query is compared with
MIN_VARIANCE_SHARE = 0.995  # of the axes of the search
AXES_MULTIPLE = 16  # the number of axes is a multiple of it, to fill the vectors of processors
MAX_SVD_POINTS = 1024  # a subsample, from which the axes are computed
CHUNK_QUERIES = 4096  # projected at once: bounds the memory
PADDING_HALF_SQUARE = np.float32(1e30)  # half the squared distance to the padding of a cell

Measure = Callable[[Index, np.ndarray, np.ndarray, int, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Partition:
    """The computed part of a search among m points, which can be stored with them.

    Attributes:
        centre: (D,) float32, subtracted from points and queries.
        axes: (D, R) float32, the axes of the search; all coordinates are searched if R is 0.
        order: (m,) int32, the positions of the points, cell by cell.
        sizes: (C,) int32, the number of points of each cell.
        half_squares: (m,) float32, half the squared lengths of the searched coordinates, in that order.
        means: (R + 1, C) float32, the searched coordinates of the means, negated, and half their squared lengths.
    """

    centre: np.ndarray
    axes: np.ndarray
    order: np.ndarray
    sizes: np.ndarray
    half_squares: np.ndarray
    means: np.ndarray

    @classmethod
    def of(cls, points: np.ndarray, *, is_exact: bool) -> "Partition":
        """Partition points (m, D); an exact search compares all coordinates."""
        centre = points.mean(axis=0)  # float32 loses least of a distance near the origin
        axes = np.zeros((points.shape[1], 0)) if is_exact else _principal_axes(points - centre)
        axes = axes.astype(np.float32)
        searched = _searched(points, centre, axes)
        cells = _chunks(len(points)) if is_exact else _cells(searched)
        order = np.concatenate(cells)
        return cls(
            centre,
            axes,
            order.astype(np.int32),
            np.array([len(cell) for cell in cells], np.int32),
            _half_squares(searched[order]),
            _means(searched, cells),
        )

    def searched(self, queries: np.ndarray) -> np.ndarray:
        """Return the coordinates that the search compares, (n, R) float32."""
        return _searched(queries, self.centre, self.axes)

    def index(self, points: np.ndarray, probed: int) -> Index:
        """Return the index of the points (m, D) that were partitioned."""
        width = -(-int(self.sizes.max()) // arithmetic.LANES) * arithmetic.LANES
        ends = np.cumsum(self.sizes, dtype=np.int64)[:, None]
        places = (ends - self.sizes[:, None]) + np.arange(width)
        is_point = places < ends
        positions = self.order[np.minimum(places, ends - 1)].astype(np.int64)  # a cell is padded with its last point
        tiles = np.empty((len(positions), len(self.means), positions.shape[1]), np.float32)
        np.negative(self.searched(points)[positions].transpose(0, 2, 1), out=tiles[:, :-1])
        tiles[:, -1] = PADDING_HALF_SQUARE
        tiles[:, -1][is_point] = self.half_squares
        return Index(arithmetic.plain(points, np.float32), positions, tiles, _padded_means(self.means), probed)


class Neighbours:
    """Search among m reference points of D coordinates.

    Args:
        points: (m, D) float32.
        probed: number of cells that a query is compared with; the search is exact if it is m.
        partition: of the points, if it is computed already.
    """

    def __init__(self, points: np.ndarray, probed: int = PROBED_CELLS, partition: Partition | None = None) -> None:
        is_exact = len(points) <= probed * MEAN_CELL_POINTS
        self.points = points
        self.partition = Partition.of(points, is_exact=is_exact) if partition is None else partition
        cells = len(self.partition.sizes)
        self._index = self.partition.index(points, cells if is_exact else min(probed, cells))

    def mean_distance(self, queries: np.ndarray, k: int, own: np.ndarray | None = None) -> np.ndarray:
        """Return the mean Euclidean distance to the k nearest reference points, (n,) float64.

        Args:
            queries: (n, D) float32.
            k: number of neighbours.
            own: (n,) the position of each query among the points, or -1; a query is not its own neighbour.
        """
        return self._measure(arithmetic.mean_distances, queries, k, own)

    def reconstruction_distance(self, queries: np.ndarray, k: int, own: np.ndarray | None = None) -> np.ndarray:
        """Return the distance to the best affine combination of the k nearest reference points, (n,) float64.

        The weights are those of locally linear embedding (Roweis & Saul, *Nonlinear Dimensionality Reduction
        by Locally Linear Embedding*, 2000), regularised by a fifth of the mean squared distance. The arguments
        are the same as of `mean_distance`.
        """
        return self._measure(arithmetic.reconstruction_distances, queries, k, own)

    def blended_distance(self, queries: np.ndarray, k: int, own: np.ndarray | None = None) -> np.ndarray:
        """Return the geometric mean of `reconstruction_distance`, which counts three times, and `mean_distance`.

        In few dimensions ten neighbours can rebuild nearly every record, and only their distance reveals an anomaly.
        The arguments are the same as of `mean_distance`.
        """
        return self._measure(arithmetic.blended_distances, queries, k, own)

    def _measure(self, measure: Measure, queries: np.ndarray, k: int, own: np.ndarray | None) -> np.ndarray:
        own = np.full(len(queries), -1) if own is None else own
        searched = self.partition.searched
        parts = [slice(start, start + CHUNK_QUERIES) for start in range(0, max(1, len(queries)), CHUNK_QUERIES)]
        return np.concatenate(
            [measure(self._index, queries[part], searched(queries[part]), k, own[part]) for part in parts]
        )


def _searched(queries: np.ndarray, centre: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """Return the centred queries (n, D) along the axes (D, R), or as they are without axes."""
    centred = queries - centre
    return products(centred, axes) if axes.shape[1] else centred


def _means(searched: np.ndarray, cells: list[np.ndarray]) -> np.ndarray:
    """Return `Partition.means`, (R + 1, C) float32."""
    means = np.stack([searched[cell].mean(axis=0, dtype=np.float64) for cell in cells])
    return np.concatenate([-means.T, _half_squares(means)[None]]).astype(np.float32)


def _padded_means(means: np.ndarray) -> np.ndarray:
    """Return `Index.means` (R + 1, C or more) float32: means (R + 1, C) with others that lie far away."""
    padded = np.zeros((len(means), -(-means.shape[1] // arithmetic.LANES) * arithmetic.LANES), np.float32)
    padded[-1] = PADDING_HALF_SQUARE
    padded[:, : means.shape[1]] = means
    return padded


def _principal_axes(centred: np.ndarray) -> np.ndarray:
    """Return the directions that hold nearly all variance of points (m, D) around the origin, (D, R) float64."""
    rows = subsample_evenly(len(centred), MAX_SVD_POINTS)
    with threadpool_limits(1, user_api="blas"):  # the number of threads would change the bits
        _, spread, axes = np.linalg.svd(centred[rows].astype(np.float64), full_matrices=False)
    variance = np.cumsum(spread**2)
    needed = int(np.searchsorted(variance, MIN_VARIANCE_SHARE * variance[-1])) + 1
    return np.ascontiguousarray(axes[: -(-needed // AXES_MULTIPLE) * AXES_MULTIPLE].T)


def _chunks(m: int) -> list[np.ndarray]:
    """Return the positions of m points in equal parts: the cells of a search that compares with all of them."""
    return np.array_split(np.arange(m), -(-m // MAX_CELL_POINTS))


def _cells(points: np.ndarray) -> list[np.ndarray]:
    """Partition the points by k-means (Lloyd); return the positions of each cell's points."""
    means = points[subsample_evenly(len(points), -(-len(points) // MEAN_CELL_POINTS))].astype(np.float64)
    for _ in range(KMEANS_ROUNDS):
        owner = _nearest(points, means)
        _, starts, sizes = np.unique(np.sort(owner), return_index=True, return_counts=True)
        totals = np.add.reduceat(points[np.argsort(owner, kind="stable")], starts, axis=0, dtype=np.float64)
        kept = sizes >= min(MIN_CELL_POINTS, int(np.max(sizes)))  # so that the probed cells hold enough points
        means = totals[kept] / sizes[kept, None]
    owner = _nearest(points, means)  # the last means, one of which may own no point
    return [part for cell in np.unique(owner) for part in _parts(points, np.flatnonzero(owner == cell))]


def _nearest(points: np.ndarray, means: np.ndarray) -> np.ndarray:
    """Return the position of the nearest mean of each point, (m,)."""
    distance = _half_squares(means) - products(points, means.T)
    return np.asarray(distance.astype(np.float32).argmin(axis=1))


def _parts(points: np.ndarray, cell: np.ndarray) -> list[np.ndarray]:
    """Split a cell along its widest coordinate if it is too large."""
    widest = points[cell].var(axis=0, dtype=np.float64).argmax()
    return np.array_split(cell[np.argsort(points[cell, widest], kind="stable")], -(-len(cell) // MAX_CELL_POINTS))


def _half_squares(points: np.ndarray) -> np.ndarray:
    """Return half the squared length of points (..., D), (...,)."""
    return np.asarray(0.5 * np.einsum("...d,...d->...", points, points)).astype(points.dtype)
