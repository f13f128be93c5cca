"""Arithmetic with fixed rounding: every sum is taken in one stated order of plain IEEE operations.

Compiled code (`core.kernels`) and NumPy (`core.numpy_kernels`) compute the same bits. Loading Numba and the compiled
code takes more than half a second and 100 MiB: many times the work on a few hundred records. So a process starts in
NumPy, and loads the compiled code once it has done the work of a few thousand records, or is about to.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, Literal, NamedTuple

import numpy as np

Code = Literal["compiled", "numpy"]

MAX_NUMPY_WORK = 500_000_000  # multiplications of a process in NumPy, about half a second
FUNCTION_WORK = 16  # multiplications of a function such as the exponential, about
ROOT_WORK = 64
TREE_WORK = 256  # of a row in a tree, about
LANES = 16  # the padding of an index; a multiple of that of the compiled code


class Index(NamedTuple):
    """Reference points, partitioned into cells.

    Attributes:
        points: (m, D) float32.
        positions: (C, size) int64, positions of the points of each cell; size is a multiple of `LANES`.
        tiles: (C, R + 1, size) float32: searched coordinates of the points, negated, and half their squared lengths;
            the padding of a cell lies far away.
        means: (R + 1, C or more) float32: the same for the means of the cells.
        probed: number of cells that a query is compared with.
    """

    points: np.ndarray
    positions: np.ndarray
    tiles: np.ndarray
    means: np.ndarray
    probed: int


class Trees(NamedTuple):
    """Decision trees, whose nodes lie in one sequence.

    Attributes:
        columns: (N,) int32, the column that each node compares.
        limits: (N,) float32; a row goes to the first child if its number is at most the limit. Of a leaf, the largest
            number there is.
        children: (N,) int32, the position of the first child, which the second follows; of a leaf, its own.
        values: (N,) float32, the values of the leaves.
        roots: (T,) int32, positions of the roots.
        levels: (T,) int32, number of comparisons from a root to the deepest leaf.
    """

    columns: np.ndarray
    limits: np.ndarray
    children: np.ndarray
    values: np.ndarray
    roots: np.ndarray
    levels: np.ndarray


class Choice:
    """Counts the work of this process, and loads the compiled code when it pays."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._work = 0
        self._only: Code | None = None

    def module(self, work: int) -> Any:
        """Return the module that does the next work, of a number of multiplications."""
        with self._lock:
            if self._only is None:
                self._work += work
            is_compiled = self._work > MAX_NUMPY_WORK if self._only is None else self._only == "compiled"
        return import_module(f"detector.core.{'kernels' if is_compiled else 'numpy_kernels'}")

    def expect(self, work: int) -> None:
        """Let compiled code do the coming work from its beginning, if it is that much."""
        with self._lock:
            if work > MAX_NUMPY_WORK:
                self._work = max(self._work, work)

    @contextmanager
    def only(self, code: Code) -> Iterator[None]:
        """Let one kind of code do all work of the process within the block, to compare the two."""
        before, self._only = self._only, code
        try:
            yield
        finally:
            self._only = before


CHOICE = Choice()
"""The choice of this process."""


def plain(array: np.ndarray, dtype: Any = None) -> np.ndarray:
    """Return a contiguous, aligned and writable array, without a copy if it is one."""
    is_plain = isinstance(array, np.ndarray) and array.flags.carray and (dtype is None or array.dtype == dtype)
    if is_plain:  # `require` takes ten times as long to find out
        return array
    return np.require(array, dtype, ["C", "A", "W"])


def products(rows: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Return rows (n, D) times matrix (D, m), or (K, n, D) times (K, D, m).

    Sums run over D in ascending order, in float32 if both arguments are float32, else in float64.
    """
    return np.asarray(_of_product(rows, matrix).products(rows, matrix))


def layer(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Return x (..., n, D) times kernel (..., D, m) plus bias (..., 1, m), in float32."""
    return np.asarray(_of_product(x, kernel).layer(x, kernel, bias))


def silu_layer(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Return the silu of `layer`, in float32."""
    return np.asarray(_of_product(x, kernel).silu_layer(x, kernel, bias))


def exp(x: np.ndarray) -> np.ndarray:
    """Return the exponential of every number, in float32; it is limited to what float32 can hold."""
    return np.asarray(CHOICE.module(FUNCTION_WORK * np.size(x)).exp(x))


def log(x: np.ndarray) -> np.ndarray:
    """Return the natural logarithm of every number, in float32; all must be positive and normal."""
    return np.asarray(CHOICE.module(FUNCTION_WORK * np.size(x)).log(x))


def sigmoid(x: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + exp(-x)) of every number, in float32."""
    return np.asarray(CHOICE.module(FUNCTION_WORK * np.size(x)).sigmoid(x))


def silu(x: np.ndarray) -> np.ndarray:
    """Return every number times its sigmoid, in float32."""
    return np.asarray(CHOICE.module(FUNCTION_WORK * np.size(x)).silu(x))


def softplus(x: np.ndarray) -> np.ndarray:
    """Return log(1 + exp(x)) of every number, in float32."""
    return np.asarray(CHOICE.module(FUNCTION_WORK * np.size(x)).softplus(x))


def roots(numbers: np.ndarray, degree: int) -> np.ndarray:
    """Return the root of every number, of a degree up to 8, in float64; what has no root is returned."""
    return np.asarray(CHOICE.module(ROOT_WORK * np.size(numbers)).roots(numbers, degree))


def interpolated(x: np.ndarray, knots: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return `numpy.interp` of numbers (n,) among ascending knots (g,), to the bit."""
    return np.asarray(CHOICE.module(FUNCTION_WORK * len(x)).interpolated(x, knots, values))


def mean_leaves(trees: Trees, rows: np.ndarray) -> np.ndarray:
    """Return the mean over trees of the values of the leaves that rows (n, d) float32 fall into, (n,) float64."""
    return np.asarray(CHOICE.module(TREE_WORK * len(rows) * len(trees.roots)).mean_leaves(trees, rows))


def mean_distances(index: Index, queries: np.ndarray, searched: np.ndarray, k: int, own: np.ndarray) -> np.ndarray:
    """Return the mean Euclidean distance to the k nearest reference points, (n,) float64.

    Args:
        index: the points.
        queries: (n, D) float32.
        searched: (n, R) float32, their searched coordinates.
        k: number of neighbours.
        own: (n,) the position of each query among the points, or -1; a query is not its own neighbour.
    """
    return np.asarray(_of_search(index, queries, k).mean_distances(index, queries, searched, k, own))


def reconstruction_distances(
    index: Index, queries: np.ndarray, searched: np.ndarray, k: int, own: np.ndarray
) -> np.ndarray:
    """Return the distance to the best affine combination of the k nearest reference points, (n,) float64.

    The arguments are the same as of `mean_distances`.
    """
    return np.asarray(_of_search(index, queries, k).reconstruction_distances(index, queries, searched, k, own))


def blended_distances(index: Index, queries: np.ndarray, searched: np.ndarray, k: int, own: np.ndarray) -> np.ndarray:
    """Return the geometric mean of the reconstruction distance, which counts three times, and the mean distance, (n,).

    The arguments are the same as of `mean_distances`.
    """
    return np.asarray(_of_search(index, queries, k).blended_distances(index, queries, searched, k, own))


def _of_product(rows: np.ndarray, matrix: np.ndarray) -> Any:
    return CHOICE.module(rows.size * matrix.shape[-1])


def _of_search(index: Index, queries: np.ndarray, k: int) -> Any:
    searched = index.tiles.shape[1] * (index.means.shape[1] + index.probed * index.positions.shape[1])
    return CHOICE.module(len(queries) * (searched + queries.shape[1] * k * k))
