"""A check that a record's scores have the same bits in every batch, at every place in it, in every thread and kernel.

The promise holds by construction (see `core.arithmetic`); the check tests it with the processor and libraries at hand.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from detector.core.arithmetic import CHOICE, Trees, mean_leaves, products, roots
from detector.core.arrays import NumpyArrays
from detector.core.autoencoder import initial_weights
from detector.core.neighbours import Neighbours
from detector.core.threads import in_threads
from detector.records.architecture import Architecture
from detector.records.encoder import Layout
from detector.records.network import Networks
from detector.series.network import TemporalNetwork, shapes

CHECKED_ROWS = 5_000
BATCH_SIZES = (1, 7, 16, 20, 300, 4_096, 5_000)
NUMPY_ROWS = 300  # computed without compiled code, too
MAX_SINGLE_ROWS = 64  # computed one by one, and at every place of a batch of this size
WIDTHS = (1, 3, 8, 14, 38, 64, 76, 128, 190)

Function = Callable[[np.ndarray], np.ndarray]
"""Numbers (n, ...) of rows (n, d)."""


@dataclass(frozen=True)
class BitCheck:
    """The result for one function.

    Attributes:
        name: the function and its sizes.
        largest_difference: between two results for the same record; 0 if all bits are equal.
    """

    name: str
    largest_difference: float

    @property
    def is_equal(self) -> bool:
        """Whether all results of a record have the same bits."""
        return self.largest_difference == 0


def check_bits() -> Iterator[BitCheck]:
    """Check every kernel, compiled and in NumPy, and both kinds of network in many sizes; yield each result at once."""
    rng = np.random.default_rng(0)
    for name, width, function in _functions(rng):
        rows = rng.standard_normal((CHECKED_ROWS, width)).astype(np.float32)
        with CHOICE.only("compiled"):
            difference = _largest_difference(function, rows)
        yield BitCheck(name, difference)


def _functions(rng: np.random.Generator) -> Iterator[tuple[str, int, Function]]:
    for inputs, outputs in [(width, 64) for width in WIDTHS] + [(64, width) for width in WIDTHS]:
        for dtype in (np.float32, np.float64):
            matrix = rng.standard_normal((inputs, outputs)).astype(dtype)
            yield f"product {inputs} x {outputs}, {np.dtype(dtype)}", inputs, partial(_product, matrix)
    for points, width in ((300, 20), (5_000, 20), (5_000, 84)):
        mixing = rng.standard_normal((max(2, width // 4), width))
        search = Neighbours((rng.standard_normal((points, len(mixing))) @ mixing).astype(np.float32))
        yield f"distance to neighbours, {points} points, {width} coordinates", width, partial(_distance, search)
        yield f"reconstruction from neighbours, {points} points, {width} coordinates", width, partial(_rebuilt, search)
        yield f"blended distance, {points} points, {width} coordinates", width, partial(_blended, search)
    yield "fifth root", 1, _fifth_root
    yield "leaves of 30 trees, 20 cells", 20, partial(mean_leaves, _trees(30, 20, rng))
    for members, width in ((1, 6), (6, 38)):
        yield f"network of records, {members} members, {width} cells", width, _record_network(members, width, rng)
    for width in (5, 190):
        network = TemporalNetwork(NumpyArrays(), initial_weights(shapes(width, 64, 8), rng))
        yield f"network of series, {width} features", width, partial(_temporal, network)


def _product(matrix: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return products(rows.astype(matrix.dtype, copy=False), matrix)


def _distance(search: Neighbours, rows: np.ndarray) -> np.ndarray:
    return search.mean_distance(rows, 10)


def _rebuilt(search: Neighbours, rows: np.ndarray) -> np.ndarray:
    return search.reconstruction_distance(rows, 10)


def _blended(search: Neighbours, rows: np.ndarray) -> np.ndarray:
    return search.blended_distance(rows, 10)


def _trees(count: int, cells: int, rng: np.random.Generator) -> Trees:
    """Return complete trees of four levels of nodes with random limits and values."""
    size, inner = 2**5 - 1, 2**4 - 1
    node, roots = np.tile(np.arange(size), count), size * np.arange(count)
    is_inner = node < inner
    return Trees(
        columns=np.where(is_inner, rng.integers(0, cells, len(node)), 0).astype(np.int32),
        limits=np.where(is_inner, rng.standard_normal(len(node)), np.finfo(np.float32).max).astype(np.float32),
        children=(np.where(is_inner, 2 * node + 1, node) + np.repeat(roots, size)).astype(np.int32),
        values=rng.random(len(node)).astype(np.float32),
        roots=roots.astype(np.int32),
        levels=np.full(count, 4, np.int32),
    )


def _fifth_root(rows: np.ndarray) -> np.ndarray:
    return roots(np.abs(rows[:, 0].astype(np.float64)), 5)


def _record_network(members: int, width: int, rng: np.random.Generator) -> Function:
    architecture = Architecture("vae", "auto", members, width, 64, min(width, 14), learns_variance=True)
    kinds = np.array([("gaussian", "binary", "category")[cell % 3] for cell in range(width)], dtype=object)
    feature = np.where(kinds == "category", width, np.arange(width))  # all levels are of one feature
    layout = Layout(kinds, feature, np.full(width, 0.4, np.float32), np.full(width, 0.5, np.float32))
    networks = Networks(NumpyArrays(), architecture, layout, initial_weights(architecture.shapes(), rng))

    def posterior(rows: np.ndarray) -> np.ndarray:
        cells = rows[:, None]
        zeros, draw = np.zeros_like(cells), np.zeros((len(rows), 1, architecture.latent), np.float32)
        inputs = {"visible": cells, "hidden": zeros, "target": cells, "observed": 1 - zeros, "draw": draw}
        return np.hstack([array.reshape(len(rows), -1) for array in networks.posterior(inputs).values()])

    return posterior


def _temporal(network: TemporalNetwork, rows: np.ndarray) -> np.ndarray:
    mean, log_var = network.encode(rows)
    return np.hstack([mean, log_var, network.nll(rows, mean), network.divergence(mean, log_var)[:, None]])


def _largest_difference(function: Function, rows: np.ndarray) -> float:
    """Return the largest difference between the results for a record in different batches, and in NumPy."""
    whole = function(rows)
    differences = [_in_batches(function, rows, whole, size) for size in BATCH_SIZES[1:]]
    differences.append(_largest_gap(function(rows[::-1])[::-1], whole))
    with CHOICE.only("numpy"):
        differences.append(_largest_gap(function(rows[:NUMPY_ROWS]), whole[:NUMPY_ROWS]))
    single_rows = rows[:MAX_SINGLE_ROWS]
    for shift in range(len(single_rows)):
        differences.append(_largest_gap(function(rows[shift : shift + 1]), whole[shift : shift + 1]))
        differences.append(
            _largest_gap(
                np.roll(function(np.roll(single_rows, shift, axis=0)), -shift, axis=0), whole[: len(single_rows)]
            )
        )
    return float(max(differences))


def _in_batches(function: Function, rows: np.ndarray, whole: np.ndarray, size: int) -> float:
    """Return the difference for batches of one size, computed in two threads, from memory that is not aligned."""
    buffer = np.empty(rows.nbytes + 4, dtype=np.uint8)
    unaligned = buffer[4:].view(np.float32).reshape(rows.shape)
    unaligned[:] = rows
    parts = np.split(unaligned, range(size, len(rows), size))
    return _largest_gap(np.concatenate(in_threads(function, parts, threads=2)), whole)


def _largest_gap(one: np.ndarray, other: np.ndarray) -> float:
    """Return the largest difference; infinity if one of two numbers is missing."""
    is_equal = (one == other) | (np.isnan(one) & np.isnan(other))
    gaps = np.where(np.isnan(one) | np.isnan(other), np.inf, np.abs(one - other))
    return float(np.max(np.where(is_equal, 0, gaps), initial=0))
