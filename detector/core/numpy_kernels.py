"""The functions of `core.arithmetic` in NumPy, for processes that score few records.

Every number results from the same IEEE operations in the same order as in the compiled code of `core.kernels`: sums
advance one term at a time, for all records at once. The constants stand in both files, since Numba's cache notices no
change of a constant in another file; tests compare the results.
"""

from collections.abc import Callable

import numpy as np

from detector.core.arithmetic import Index, Trees

SPARE_CANDIDATES = 5  # beyond the neighbours, as in the compiled code
NEWTON_STEPS = 16
RIDGE = 0.2  # of the weights of neighbours, shared by them
NO_KEY = np.int64(np.iinfo(np.int64).max >> 32 << 32)  # farther than every key; its position, 0, is valid
CHUNK_NUMBERS = 32_768  # computed at once, so that they stay in the cache of the processor
CHUNK_QUERIES = 64
TREE_ROWS = 512  # that fall through all trees at once

_like_compiled = np.errstate(all="ignore")  # compiled code warns of nothing


@_like_compiled
def products(rows: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Implement `arithmetic.products`."""
    dtype = np.result_type(rows, matrix, np.float32)
    stacked = [np.asarray(array if array.ndim == 3 else array[None], dtype) for array in (rows, matrix)]
    out = np.empty((len(stacked[0]), rows.shape[-2], matrix.shape[-1]), dtype)
    size = max(1, CHUNK_NUMBERS // max(1, out.shape[2]))
    for k, factors in enumerate(stacked[1]):
        for start in range(0, out.shape[1], size):
            part = slice(start, start + size)
            _add_products(np.ascontiguousarray(stacked[0][k, part].T), factors, out[k, part])
    return out.reshape(*rows.shape[:-1], matrix.shape[-1])


def layer(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Implement `arithmetic.layer`."""
    out = products(x, kernel)
    np.add(out, bias, out=out)
    return out


def silu_layer(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Implement `arithmetic.silu_layer`."""
    return silu(layer(x, kernel, bias))


def _add_products(columns: np.ndarray, matrix: np.ndarray, out: np.ndarray) -> None:
    """Fill `out` (n, m) with the sums over columns (D, n) times rows of the matrix (D, m)."""
    out[:] = 0
    product = np.empty_like(out)
    for column, row in zip(columns, matrix, strict=True):
        np.multiply(column[:, None], row, out=product)
        np.add(out, product, out=out)


def exp(x: np.ndarray) -> np.ndarray:
    """Implement `arithmetic.exp`."""
    return _elementwise(_exp, x)


def log(x: np.ndarray) -> np.ndarray:
    """Implement `arithmetic.log`."""
    return _elementwise(_log, x)


def sigmoid(x: np.ndarray) -> np.ndarray:
    """Implement `arithmetic.sigmoid`."""
    return _elementwise(lambda part: ONE / (ONE + _exp(-part)), x)


def silu(x: np.ndarray) -> np.ndarray:
    """Implement `arithmetic.silu`."""
    return _elementwise(lambda part: part / (ONE + _exp(-part)), x)


def softplus(x: np.ndarray) -> np.ndarray:
    """Implement `arithmetic.softplus`."""
    return _elementwise(lambda part: np.maximum(part, ZERO) + _log(ONE + _exp(-np.abs(part))), x)


@_like_compiled
def _elementwise(function: Callable[[np.ndarray], np.ndarray], x: np.ndarray) -> np.ndarray:
    x = np.asarray(x, np.float32)
    numbers, out = x.reshape(-1), np.empty(x.size, np.float32)
    for start in range(0, len(numbers), CHUNK_NUMBERS):
        out[start : start + CHUNK_NUMBERS] = function(numbers[start : start + CHUNK_NUMBERS])
    return out.reshape(x.shape)


# Functions of float32, with the coefficients of Moshier's Cephes library.

F = np.float32
LOWEST, HIGHEST = F(-87.3), F(88.0)  # arguments that `_exp` can distinguish from zero and infinity
LOG2_E, LN2_HIGH, LN2_LOW = F(1.44269504088896341), F(0.693359375), F(-2.12194440e-4)
ROUNDING = F(3 << 22)  # a number plus this is rounded to a whole number, which its last bits hold
MANTISSA_BITS, ONE_BITS, SQRT_HALF_BITS = np.int32(23), np.int32(0x3F800000), np.int32(0x3F3504F3)
ZERO, HALF, ONE = F(0), F(0.5), F(1)
E0, E1, E2 = F(5.0000001201e-1), F(1.6666665459e-1), F(4.1665795894e-2)
E3, E4, E5 = F(8.3334519073e-3), F(1.3981999507e-3), F(1.9875691500e-4)
L0, L1, L2 = F(3.3333331174e-1), F(-2.4999993993e-1), F(2.0000714765e-1)
L3, L4, L5 = F(-1.6668057665e-1), F(1.4249322787e-1), F(-1.2420140846e-1)
L6, L7, L8 = F(1.1676998740e-1), F(-1.1514610310e-1), F(7.0376836292e-2)


def _exp(x: np.ndarray) -> np.ndarray:
    x = np.minimum(np.maximum(x, LOWEST), HIGHEST)
    shifted = x * LOG2_E + ROUNDING
    power = shifted - ROUNDING
    r = (x - power * LN2_HIGH) - power * LN2_LOW
    series = _polynomial(r, E5, E4, E3, E2, E1, E0)
    scale = (shifted.view(np.int32) << MANTISSA_BITS) + ONE_BITS
    return np.asarray((series * (r * r) + r + ONE) * scale.view(np.float32))


def _log(x: np.ndarray) -> np.ndarray:
    bits = x.view(np.int32)
    power = (bits - SQRT_HALF_BITS) >> MANTISSA_BITS
    f = (bits - (power << MANTISSA_BITS)).view(np.float32) - ONE
    s = f * f
    high = _polynomial(f, L8, L7, L6, L5, L4)
    series = (((high * f + L3) * f + L2) * f + L1) * f + L0
    e = power.astype(np.float32)
    return np.asarray(e * LN2_HIGH + (f + ((f * s * series + e * LN2_LOW) - HALF * s)))


def _polynomial(x: np.ndarray, first: np.float32, *others: np.float32) -> np.ndarray:
    """Return the polynomial with these coefficients, the highest first, by Horner's rule."""
    total = np.full_like(x, first)
    for coefficient in others:
        total = total * x + coefficient
    return total


MEAN, REBUILT, BLENDED = 0, 1, 2


def mean_distances(index: Index, queries: np.ndarray, searched: np.ndarray, k: int, own: np.ndarray) -> np.ndarray:
    """Implement `arithmetic.mean_distances`."""
    return _measured(index, (queries, searched, own), k, MEAN)


def reconstruction_distances(
    index: Index, queries: np.ndarray, searched: np.ndarray, k: int, own: np.ndarray
) -> np.ndarray:
    """Implement `arithmetic.reconstruction_distances`."""
    return _measured(index, (queries, searched, own), k, REBUILT)


def blended_distances(index: Index, queries: np.ndarray, searched: np.ndarray, k: int, own: np.ndarray) -> np.ndarray:
    """Implement `arithmetic.blended_distances`."""
    return _measured(index, (queries, searched, own), k, BLENDED)


@_like_compiled
def _measured(index: Index, records: tuple[np.ndarray, np.ndarray, np.ndarray], k: int, kind: int) -> np.ndarray:
    """Return the distances (n,) of the queries, those with as many neighbours at once."""
    queries, searched, own = records
    out, size = np.empty(len(queries)), min(k + 1 + SPARE_CANDIDATES, len(index.points))
    neighbours = np.minimum(k, len(index.points) - (own >= 0))
    for count in np.unique(neighbours):
        rows = np.flatnonzero(neighbours == count)
        for start in range(0, len(rows), CHUNK_QUERIES):
            part = rows[start : start + CHUNK_QUERIES]
            candidates = _candidates(index, searched[part], size)
            differences = index.points[candidates] - queries[part, None]  # (n, c, D)
            out[part] = _distances(differences, candidates, own[part], int(count), kind)
    return out


def _distances(differences: np.ndarray, candidates: np.ndarray, own: np.ndarray, k: int, kind: int) -> np.ndarray:
    """Return the distances (n,) of queries with differences (n, c, D) to their candidates (n, c)."""
    squares = np.zeros(candidates.shape, np.float32)
    for column in np.ascontiguousarray(differences.transpose(2, 0, 1)):
        squares += column * column
    near = _nearest(squares, candidates, own, k)
    if kind == MEAN:
        return _mean_length(squares, near)
    rebuilt = _rebuilt(np.take_along_axis(differences, near[:, :, None], axis=1))
    if kind == REBUILT:
        return rebuilt
    return np.asarray(np.sqrt(rebuilt * np.sqrt(rebuilt * _mean_length(squares, near))))


def _candidates(index: Index, searched: np.ndarray, count: int) -> np.ndarray:
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
    keys = np.pad(keys, ((0, 0), (0, missing)), constant_values=NO_KEY)
    smallest = np.partition(keys, count - 1, axis=1)[:, :count]
    return np.minimum(np.sort(smallest, axis=1)[:, ::-1], NO_KEY)


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
    ridge = np.float64(RIDGE) / k  # infinite without a neighbour, and then all is NaN
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
def roots(numbers: np.ndarray, degree: int) -> np.ndarray:
    """Implement `arithmetic.roots`, by Newton's method from above, after powers of 2 are taken out."""
    out = np.array(numbers, np.float64)
    has_root = (out > 0) & (out < np.inf)
    mantissa, exponent = np.frexp(out[has_root])
    power = exponent // degree
    rest = np.ldexp(mantissa, exponent - power * degree)
    root = np.full(len(rest), 2.0)
    for _ in range(NEWTON_STEPS):
        slope = np.ones(len(rest))
        for _factor in range(degree - 1):
            slope *= root
        root -= (root - rest / slope) / degree
    out[has_root] = np.ldexp(root, power)
    return out


def interpolated(x: np.ndarray, knots: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Implement `arithmetic.interpolated`."""
    return np.interp(x, knots, values)


def mean_leaves(trees: Trees, rows: np.ndarray) -> np.ndarray:
    """Implement `arithmetic.mean_leaves`."""
    total = np.zeros(len(rows))
    for start in range(0, len(rows), TREE_ROWS):
        part = slice(start, start + TREE_ROWS)
        for leaves in _leaves(trees, rows[part]).T:
            total[part] += trees.values[leaves]
    return np.asarray(total / len(trees.roots))


def _leaves(trees: Trees, rows: np.ndarray) -> np.ndarray:
    """Return the positions (n, T) of the leaves that rows (n, d) fall into."""
    nodes = np.repeat(trees.roots[None], len(rows), axis=0)
    for _level in range(trees.levels.max()):
        numbers = np.take_along_axis(rows, trees.columns[nodes], axis=1)
        nodes = trees.children[nodes] + (numbers > trees.limits[nodes])
    return nodes
