"""The kernels of `core.kernels` in NumPy, with the same bits, for processes that score few records.

Every number results from the same IEEE operations in the same order as in the compiled code: sums advance one term at
a time, for all records at once. Functions of the same names take the same arguments.
"""

from collections.abc import Callable

import numpy as np

from detector.core import kernels

CHUNK_NUMBERS = 32_768  # computed at once, so that they stay in the cache of the processor
CHUNK_QUERIES = 64

Plain = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, int]
Records = tuple[np.ndarray, np.ndarray, np.ndarray]

_like_compiled = np.errstate(all="ignore")  # compiled code warns of nothing


@_like_compiled
def multiply(rows: np.ndarray, matrices: np.ndarray, out: np.ndarray) -> None:
    """Fill `out` (K, n, m) with rows (K, n, D) times matrices (K, D, m)."""
    size = max(1, CHUNK_NUMBERS // out.shape[2])
    for k, matrix in enumerate(matrices):
        for start in range(0, out.shape[1], size):
            part = slice(start, start + size)
            _add_products(np.ascontiguousarray(rows[k, part].T), matrix, out[k, part])


def _add_products(columns: np.ndarray, matrix: np.ndarray, out: np.ndarray) -> None:
    """Fill `out` (n, m) with the sums over columns (D, n) times rows of the matrix (D, m)."""
    out[:] = 0
    product = np.empty_like(out)
    for column, row in zip(columns, matrix, strict=True):
        np.multiply(column[:, None], row, out=product)
        np.add(out, product, out=out)


@_like_compiled
def apply(x: np.ndarray, function: int, out: np.ndarray) -> None:
    """Fill `out` (n,) with a function of x (n,)."""
    for start in range(0, len(x), CHUNK_NUMBERS):
        part = slice(start, start + CHUNK_NUMBERS)
        out[part] = _FUNCTIONS[function](x[part])


@_like_compiled
def add_bias(out: np.ndarray, bias: np.ndarray) -> None:
    """Add bias (K, 1, m) to `out` (K, n, m)."""
    np.add(out, bias, out=out)


@_like_compiled
def add_bias_and_silu(out: np.ndarray, bias: np.ndarray) -> None:
    """Replace `out` (K, n, m) with the silu of itself plus bias (K, 1, m)."""
    np.add(out, bias, out=out)
    numbers = out.reshape(-1)
    apply(numbers, kernels.SILU, numbers)


def _exp(x: np.ndarray) -> np.ndarray:
    x = np.minimum(np.maximum(x, kernels.LOWEST), kernels.HIGHEST)
    shifted = x * kernels.LOG2_E + kernels.ROUNDING
    power = shifted - kernels.ROUNDING
    r = (x - power * kernels.LN2_HIGH) - power * kernels.LN2_LOW
    series = _polynomial(r, kernels.E5, kernels.E4, kernels.E3, kernels.E2, kernels.E1, kernels.E0)
    scale = (shifted.view(np.int32) << kernels.MANTISSA_BITS) + kernels.ONE_BITS
    return np.asarray((series * (r * r) + r + kernels.ONE) * scale.view(np.float32))


def _log(x: np.ndarray) -> np.ndarray:
    bits = x.view(np.int32)
    power = (bits - kernels.SQRT_HALF_BITS) >> kernels.MANTISSA_BITS
    f = (bits - (power << kernels.MANTISSA_BITS)).view(np.float32) - kernels.ONE
    s = f * f
    high = _polynomial(f, kernels.L8, kernels.L7, kernels.L6, kernels.L5, kernels.L4)
    series = (((high * f + kernels.L3) * f + kernels.L2) * f + kernels.L1) * f + kernels.L0
    e = power.astype(np.float32)
    return np.asarray(e * kernels.LN2_HIGH + (f + ((f * s * series + e * kernels.LN2_LOW) - kernels.HALF * s)))


def _polynomial(x: np.ndarray, first: np.float32, *others: np.float32) -> np.ndarray:
    """Return the polynomial with these coefficients, the highest first, by Horner's rule."""
    total = np.full_like(x, first)
    for coefficient in others:
        total = total * x + coefficient
    return total


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return np.asarray(kernels.ONE / (kernels.ONE + _exp(-x)))


def _silu(x: np.ndarray) -> np.ndarray:
    return np.asarray(x / (kernels.ONE + _exp(-x)))


def _softplus(x: np.ndarray) -> np.ndarray:
    return np.asarray(np.maximum(x, kernels.ZERO) + _log(kernels.ONE + _exp(-np.abs(x))))


_FUNCTIONS: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    kernels.EXP: _exp,
    kernels.LOG: _log,
    kernels.SIGMOID: _sigmoid,
    kernels.SILU: _silu,
    kernels.SOFTPLUS: _softplus,
}


@_like_compiled
def measure(index: Plain, records: Records, k: int, kind: int, out: np.ndarray) -> None:
    """Fill `out` (n,) with the distances of the queries, those with as many neighbours at once."""
    queries, searched, own = records
    neighbours = np.minimum(k, len(index[0]) - (own >= 0))
    for count in np.unique(neighbours):
        rows = np.flatnonzero(neighbours == count)
        for start in range(0, len(rows), CHUNK_QUERIES):
            part = rows[start : start + CHUNK_QUERIES]
            candidates = _candidates(index, searched[part], min(k + 1 + kernels.SPARE_CANDIDATES, len(index[0])))
            differences = index[0][candidates] - queries[part, None]  # (n, c, D)
            out[part] = _distances(differences, candidates, own[part], int(count), kind)


def _distances(differences: np.ndarray, candidates: np.ndarray, own: np.ndarray, k: int, kind: int) -> np.ndarray:
    """Return the distances (n,) of queries with differences (n, c, D) to their candidates (n, c)."""
    squares = np.zeros(candidates.shape, np.float32)
    for column in np.ascontiguousarray(differences.transpose(2, 0, 1)):
        squares += column * column
    near = _nearest(squares, candidates, own, k)
    if kind == kernels.MEAN:
        return _mean_length(squares, near)
    rebuilt = _rebuilt(np.take_along_axis(differences, near[:, :, None], axis=1))
    if kind == kernels.REBUILT:
        return rebuilt
    return np.asarray(np.sqrt(rebuilt * np.sqrt(rebuilt * _mean_length(squares, near))))


def _candidates(index: Plain, searched: np.ndarray, count: int) -> np.ndarray:
    """Return the positions (n, c) of the nearest points of queries (n, R) in the nearest cells, farthest first."""
    _, positions, tiles, means, probed = index
    to_means = np.repeat(means[-1:], len(searched), axis=0)
    for column, row in zip(np.ascontiguousarray(searched.T), means[:-1], strict=True):
        to_means += column[:, None] * row
    numbers = np.arange(len(tiles))
    cells = _smallest(_keys(to_means[:, : len(tiles)], numbers), probed) & 0xFFFFFFFF
    to_points = tiles[:, -1][cells]  # (n, probed, size)
    for axis, column in enumerate(np.ascontiguousarray(searched.T)):
        to_points += column[:, None, None] * tiles[:, axis][cells]
    keys = _keys(to_points, positions[cells]).reshape(len(searched), -1)
    return np.asarray(_smallest(keys, count) & 0xFFFFFFFF)


def _keys(distances: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Return whole numbers that order like (distance, position), for float32 distances."""
    bits = distances.view(np.int32)
    ordered = bits ^ ((bits >> 31) & np.int32(0x7FFFFFFF))
    return np.asarray((ordered.astype(np.int64) << 32) | positions)


def _smallest(keys: np.ndarray, count: int) -> np.ndarray:
    """Return the smallest keys (n, count), the largest first; missing ones are `NO_KEY`."""
    missing = max(0, count - keys.shape[1])
    keys = np.pad(keys, ((0, 0), (0, missing)), constant_values=kernels.NO_KEY)
    smallest = np.partition(keys, count - 1, axis=1)[:, :count]
    return np.minimum(np.sort(smallest, axis=1)[:, ::-1], kernels.NO_KEY)


def _nearest(squares: np.ndarray, candidates: np.ndarray, own: np.ndarray, k: int) -> np.ndarray:
    """Return the places (n, k) of the nearest candidates, nearest first, without the query itself."""
    near = np.zeros((len(squares), k), np.int64)
    is_other = candidates != own[:, None]
    for c in range(squares.shape[1]):
        square, position = squares[:, c, None], candidates[:, c, None]
        is_before = (squares < square) | ((squares == square) & (candidates < position))
        rank = (is_before & is_other).sum(axis=1)
        rows = np.flatnonzero(is_other[:, c] & (rank < k))
        near[rows, rank[rows]] = c
    return near


def _mean_length(squares: np.ndarray, near: np.ndarray) -> np.ndarray:
    lengths = np.sqrt(np.take_along_axis(squares, near, axis=1).astype(np.float64))
    total = np.zeros(len(squares))
    for column in lengths.T:
        total += column
    return np.asarray(total / near.shape[1])


def _rebuilt(differences: np.ndarray) -> np.ndarray:
    """Return the smallest length (n,) of a weighted sum of differences (n, k, D), with a ridge."""
    n, k, _ = differences.shape
    products = np.zeros((n, k, k), np.float32)
    for column in np.ascontiguousarray(differences.transpose(2, 0, 1)):
        products += column[:, :, None] * column[:, None]
    trace = np.zeros(n)
    for i in range(k):
        trace += products[:, i, i]
    ridge = np.float64(0.2) / k  # infinite without a neighbour, and then all is NaN
    gram = np.ones((n, k, k + 1))
    gram[:, :, :k] = products / np.where(trace > 0, trace, 1.0)[:, None, None]
    gram[:, np.arange(k), np.arange(k)] += ridge
    weights = _solved(gram)
    total, squares = np.zeros(n), np.zeros(n)
    for weight in weights.T:
        total += weight
        squares += weight * weight
    return np.asarray(np.sqrt(trace * np.maximum(total - ridge * squares, 0.0)) / total)


def _solved(matrix: np.ndarray) -> np.ndarray:
    """Return the solutions (n, k) of n times k equations, whose right sides are column k of the matrices (n, k, k + 1).

    The matrices are changed.
    """
    k = matrix.shape[1]
    for i in range(k):
        factors = matrix[:, i + 1 :, i] / matrix[:, i, None, i]
        matrix[:, i + 1 :, i:] -= factors[:, :, None] * matrix[:, i, None, i:]
    for i in range(k - 1, -1, -1):
        matrix[:, i, k] /= matrix[:, i, i]
        matrix[:, :i, k] -= matrix[:, :i, i] * matrix[:, i, None, k]
    return matrix[:, :, k]


@_like_compiled
def take_roots(numbers: np.ndarray, degree: int, out: np.ndarray) -> None:
    """Fill `out` (n,) with the root of every number; what has no root stays as it is."""
    has_root = (numbers > 0) & (numbers < np.inf)
    out[:] = numbers
    mantissa, exponent = np.frexp(numbers[has_root])
    power = exponent // degree
    rest = np.ldexp(mantissa, exponent - power * degree)
    root = np.full(len(rest), 2.0)
    for _ in range(kernels.NEWTON_STEPS):
        slope = np.ones(len(rest))
        for _factor in range(degree - 1):
            slope *= root
        root -= (root - rest / slope) / degree
    out[has_root] = np.ldexp(root, power)
