"""Compiled kernels with fixed rounding: every sum is taken in one stated order of plain IEEE operations.

Nothing is reassociated or contracted into fused multiply-adds, and no mathematical library of the system is called. The
numbers of a record therefore depend neither on the other records of a batch nor on threads, memory or the processor.
Inner loops run along vectors of results; each result is summed separately, in ascending order of the inner index.

All compiled code is in this one file, because Numba's cache notices changes of the file of a function only, not of the
files of the functions that it calls.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba import njit

LANES = 8  # minimum number of numbers that a vector instruction works on
STRIP_COLUMNS = 64  # of a product, so that they stay in the cache
SPARE_CANDIDATES = 5  # beyond the neighbours, so that neither ties nor the axes left out change the result
MAX_DEGREE, NEWTON_STEPS = 8, 16  # from 2, each step gains a share of 1 / degree until it doubles the digits
NO_KEY = np.int64(np.iinfo(np.int64).max >> 32 << 32)  # farther than every key; its position, 0, is valid


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function at its first call; the compiled code is cached if a cache directory is writable.

    Args:
        function: takes contiguous, aligned and writable arrays (see `plain`); other arrays would compile it again.
    """
    try:
        return njit(function, cache=True, nogil=True, fastmath=False, error_model="numpy")
    except RuntimeError:  # no writable cache directory
        return njit(function, nogil=True, fastmath=False, error_model="numpy")


def plain(array: np.ndarray, dtype: Any = None) -> np.ndarray:
    """Return a contiguous, aligned and writable array, without a copy if it is one."""
    return np.require(array, dtype, ["C", "A", "W"])


def products(rows: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Return rows (n, D) times matrix (D, m), or (K, n, D) times (K, D, m).

    Sums run over D in ascending order, in float32 if both arguments are float32, else in float64.
    """
    dtype = np.result_type(rows, matrix, F)
    stacked = [plain(array if array.ndim == 3 else array[None], dtype) for array in (rows, matrix)]
    out = np.empty((len(stacked[0]), rows.shape[-2], matrix.shape[-1]), dtype)
    _multiply(*stacked, out)
    return out.reshape(*rows.shape[:-1], matrix.shape[-1])


@compiled
def _multiply(rows: np.ndarray, matrices: np.ndarray, out: np.ndarray) -> None:
    """Fill `out` (K, n, m) with rows (K, n, D) times matrices (K, D, m), a strip of columns at a time."""
    count, inner, columns = matrices.shape
    width = min(STRIP_COLUMNS, _whole(columns))
    strip = np.zeros((inner, width), matrices.dtype)
    totals = np.empty((4, width), matrices.dtype)
    for k in range(count):
        used_inner = _without_zeros(rows[k])
        for start in range(0, columns, width):
            used = min(width, columns - start)
            for i in range(used_inner):
                for j in range(used):
                    strip[i, j] = matrices[k, i, start + j]
            _multiply_strip(rows[k], strip[:used_inner], totals, out[k], (start, used))


@compiled
def _without_zeros(rows: np.ndarray) -> int:
    """Return the number of columns up to the last that is not zero in all rows; a product of zeros adds nothing."""
    for d in range(rows.shape[1] - 1, -1, -1):
        for i in range(len(rows)):
            if rows[i, d] != 0:
                return d + 1
    return 0


@compiled
def _multiply_strip(
    rows: np.ndarray, strip: np.ndarray, totals: np.ndarray, out: np.ndarray, columns: tuple[int, int]
) -> None:
    """Fill `used` columns of `out` (n, m) from `start`, four rows at a time, the last one perhaps repeatedly."""
    start, used = columns
    last = len(rows) - 1
    for first in range(0, len(rows), 4):
        second, third, fourth = min(first + 1, last), min(first + 2, last), min(first + 3, last)
        _multiply_four(rows[first], rows[second], rows[third], rows[fourth], strip, totals)
        for j in range(used):
            out[first, start + j] = totals[0, j]
            out[second, start + j] = totals[1, j]
            out[third, start + j] = totals[2, j]
            out[fourth, start + j] = totals[3, j]


@compiled
def _multiply_four(
    a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray, strip: np.ndarray, totals: np.ndarray
) -> None:
    """Fill totals (4, w) with a, b, c and d (D or more,) times strip (D, w); w is a multiple of `LANES`."""
    inner, width = strip.shape
    of_a, of_b, of_c, of_d = totals[0], totals[1], totals[2], totals[3]
    for j in range(width):
        of_a[j] = of_b[j] = of_c[j] = of_d[j] = 0
    whole = inner // 4 * 4
    for i in range(0, whole, 4):  # four steps at once, in order, so that totals are loaded and stored less often
        a0, a1, a2, a3 = a[i], a[i + 1], a[i + 2], a[i + 3]
        b0, b1, b2, b3 = b[i], b[i + 1], b[i + 2], b[i + 3]
        c0, c1, c2, c3 = c[i], c[i + 1], c[i + 2], c[i + 3]
        d0, d1, d2, d3 = d[i], d[i + 1], d[i + 2], d[i + 3]
        w0, w1, w2, w3 = strip[i], strip[i + 1], strip[i + 2], strip[i + 3]
        for j in range(width):
            of_a[j] = (((of_a[j] + a0 * w0[j]) + a1 * w1[j]) + a2 * w2[j]) + a3 * w3[j]
            of_b[j] = (((of_b[j] + b0 * w0[j]) + b1 * w1[j]) + b2 * w2[j]) + b3 * w3[j]
            of_c[j] = (((of_c[j] + c0 * w0[j]) + c1 * w1[j]) + c2 * w2[j]) + c3 * w3[j]
            of_d[j] = (((of_d[j] + d0 * w0[j]) + d1 * w1[j]) + d2 * w2[j]) + d3 * w3[j]
    for i in range(whole, inner):
        a0, b0, c0, d0, w0 = a[i], b[i], c[i], d[i], strip[i]
        for j in range(width):
            of_a[j] += a0 * w0[j]
            of_b[j] += b0 * w0[j]
            of_c[j] += c0 * w0[j]
            of_d[j] += d0 * w0[j]


@compiled
def _whole(number: int) -> int:
    """Round a number up to whole lanes."""
    return (number + LANES - 1) // LANES * LANES


# Functions of one float32, with the coefficients of Moshier's Cephes library.

F = np.float32  # Numba reads a plain 0.5 as float64
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


@compiled
def _exp(x: Any) -> Any:
    """Return the exponential of x, clipped to `LOWEST` and `HIGHEST`; at most 1 unit in the last place off."""
    x = np.minimum(np.maximum(x, LOWEST), HIGHEST)
    shifted = np.float32(x * LOG2_E + ROUNDING)
    power = shifted - ROUNDING
    r = (x - power * LN2_HIGH) - power * LN2_LOW
    series = ((((E5 * r + E4) * r + E3) * r + E2) * r + E1) * r + E0
    scale = np.int32((shifted.view(np.int32) << MANTISSA_BITS) + ONE_BITS)
    return (series * (r * r) + r + ONE) * scale.view(np.float32)


@compiled
def _log(x: Any) -> Any:
    """Return the natural logarithm of x, a positive and normal number; at most 1 unit in the last place off."""
    bits = np.float32(x).view(np.int32)
    power = np.int32((bits - SQRT_HALF_BITS) >> MANTISSA_BITS)
    rest = np.int32(bits - (power << MANTISSA_BITS))
    f = rest.view(np.float32) - ONE
    s = f * f
    series = (((((((L8 * f + L7) * f + L6) * f + L5) * f + L4) * f + L3) * f + L2) * f + L1) * f + L0
    e = np.float32(power)
    return e * LN2_HIGH + (f + ((f * s * series + e * LN2_LOW) - HALF * s))


@compiled
def _sigmoid(x: Any) -> Any:
    return ONE / (ONE + _exp(-x))


@compiled
def _silu(x: Any) -> Any:
    return x / (ONE + _exp(-x))


@compiled
def _softplus(x: Any) -> Any:
    return np.maximum(x, ZERO) + _log(ONE + _exp(-np.abs(x)))


def exp(x: np.ndarray) -> np.ndarray:
    """Return the exponential of every number, in float32; numbers are clipped to `LOWEST` and `HIGHEST`."""
    return _elementwise(x, _EXP)


def log(x: np.ndarray) -> np.ndarray:
    """Return the natural logarithm of every number, in float32; all must be positive and normal."""
    return _elementwise(x, _LOG)


def sigmoid(x: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + exp(-x)) of every number, in float32."""
    return _elementwise(x, _SIGMOID)


def silu(x: np.ndarray) -> np.ndarray:
    """Return every number times its sigmoid, in float32."""
    return _elementwise(x, _SILU)


def softplus(x: np.ndarray) -> np.ndarray:
    """Return log(1 + exp(x)) of every number, in float32."""
    return _elementwise(x, _SOFTPLUS)


_EXP, _LOG, _SIGMOID, _SILU, _SOFTPLUS = range(5)


def _elementwise(x: np.ndarray, function: int) -> np.ndarray:
    x = plain(x, np.float32)
    out = np.empty(x.shape, np.float32)
    _apply(x.ravel(), function, out.ravel())
    return out


@compiled
def _apply(x: np.ndarray, function: int, out: np.ndarray) -> None:  # noqa: C901 - one loop for each function
    """Fill `out` (n,) with a function of x (n,)."""
    if function == _EXP:
        for i in range(len(x)):
            out[i] = _exp(x[i])
    elif function == _LOG:
        for i in range(len(x)):
            out[i] = _log(x[i])
    elif function == _SIGMOID:
        for i in range(len(x)):
            out[i] = _sigmoid(x[i])
    elif function == _SILU:
        for i in range(len(x)):
            out[i] = _silu(x[i])
    else:
        for i in range(len(x)):
            out[i] = _softplus(x[i])


def layer(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Return x (..., n, D) times kernel (..., D, m) plus bias (..., 1, m), in float32."""
    out = products(x, kernel)
    _add_bias(*_stacked(out, bias))
    return out


def silu_layer(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Return the silu of `layer`, in float32, with the bias and the silu in one pass."""
    out = products(x, kernel)
    _add_bias_and_silu(*_stacked(out, bias))
    return out


def _stacked(out: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return views with an axis of members, `out` (K, n, m) and bias (K, 1, m)."""
    bias = plain(bias, np.float32)
    return (out, bias) if out.ndim == 3 else (out[None], bias[None])


@compiled
def _add_bias(out: np.ndarray, bias: np.ndarray) -> None:
    """Add bias (K, 1, m) to `out` (K, n, m)."""
    for k in range(out.shape[0]):
        for i in range(out.shape[1]):
            row = out[k, i]
            for j in range(len(row)):
                row[j] += bias[k, 0, j]


@compiled
def _add_bias_and_silu(out: np.ndarray, bias: np.ndarray) -> None:
    """Replace `out` (K, n, m) with the silu of itself plus bias (K, 1, m)."""
    for k in range(out.shape[0]):
        of_member = bias[k, 0]
        for i in range(out.shape[1]):
            row = out[k, i]
            for j in range(len(row)):
                row[j] = _silu(row[j] + of_member[j])


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


# Plain tuples: with a class in its signature, cached code could not be loaded after the class has moved.
_Plain = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, int]
_Records = tuple[np.ndarray, np.ndarray, np.ndarray]
_MEAN, _REBUILT, _BLENDED = 0, 1, 2


def mean_distances(index: Index, queries: np.ndarray, searched: np.ndarray, k: int, own: np.ndarray) -> np.ndarray:
    """Return the mean Euclidean distance to the k nearest reference points, (n,) float64.

    Args:
        index: the points.
        queries: (n, D) float32.
        searched: (n, R) float32, their searched coordinates.
        k: number of neighbours.
        own: (n,) the position of each query among the points, or -1; a query is not its own neighbour.
    """
    return _distances(index, (queries, searched, own), k, _MEAN)


def reconstruction_distances(
    index: Index, queries: np.ndarray, searched: np.ndarray, k: int, own: np.ndarray
) -> np.ndarray:
    """Return the distance to the best affine combination of the k nearest reference points, (n,) float64.

    The arguments are the same as of `mean_distances`.
    """
    return _distances(index, (queries, searched, own), k, _REBUILT)


def blended_distances(index: Index, queries: np.ndarray, searched: np.ndarray, k: int, own: np.ndarray) -> np.ndarray:
    """Return the geometric mean of the reconstruction distance, which counts three times, and the mean distance, (n,).

    The arguments are the same as of `mean_distances`.
    """
    return _distances(index, (queries, searched, own), k, _BLENDED)


def _distances(index: Index, records: _Records, k: int, kind: int) -> np.ndarray:
    queries, searched, own = records
    result = np.empty(len(queries))
    records = plain(queries, np.float32), plain(searched, np.float32), plain(own, np.int64)
    _measure(tuple(index), records, k, kind, result)
    return result


@compiled
def _measure(index: _Plain, records: _Records, k: int, kind: int, out: np.ndarray) -> None:
    """Fill `out` (n,), one query after the other; buffers carry nothing from one query to the next."""
    points, positions, tiles, means, probed = index
    queries, searched, own = records
    count = min(k + 1 + SPARE_CANDIDATES, len(points))
    cells, candidates, order = np.empty(probed, np.int64), np.empty(count, np.int64), np.empty(count, np.int64)
    numbers, to_means = np.arange(len(tiles)), np.empty(means.shape[1], np.float32)
    to_points, squares = np.empty(positions.shape[1], np.float32), np.empty(_whole(count), np.float32)
    rows = np.empty((count, points.shape[1]), np.float32)
    columns = np.zeros((points.shape[1], len(squares)), np.float32)
    products = np.empty((count + 3, len(squares)), np.float32)
    gram = np.zeros((count, _whole(count + 1)), np.float64)
    for i in range(len(queries)):
        near = order[: min(k, len(points) - (own[i] >= 0))]
        _find_cells(searched[i], means, numbers, to_means, cells)
        _find_points(searched[i], tiles, positions, cells, to_points, candidates)
        _subtract(points, queries[i], candidates, rows, columns)
        _square(columns, squares)
        _sort(squares, candidates, own[i], near)
        if kind != _REBUILT:
            out[i] = _mean_length(squares, near)
        if kind != _MEAN:
            _multiply_nearest(rows, columns, near, products)
            rebuilt = _rebuilt(products, near, gram)
            out[i] = rebuilt if kind == _REBUILT else np.sqrt(rebuilt * np.sqrt(rebuilt * out[i]))


@compiled
def _find_cells(
    query: np.ndarray, means: np.ndarray, numbers: np.ndarray, distances: np.ndarray, cells: np.ndarray
) -> None:
    """Fill `cells` with the numbers of the cells whose means are nearest."""
    _half_distances(query, means, distances)
    _clear(cells)
    _keep(distances, numbers, cells)
    _read(cells)


@compiled
def _find_points(
    query: np.ndarray,
    tiles: np.ndarray,
    positions: np.ndarray,
    cells: np.ndarray,
    distances: np.ndarray,
    candidates: np.ndarray,
) -> None:
    """Fill the candidates with the positions of the nearest points in the cells."""
    _clear(candidates)
    for i in range(len(cells) - 1, -1, -1):  # the nearest cell first, so that few points come and go
        _half_distances(query, tiles[cells[i]], distances)
        _keep(distances, positions[cells[i]], candidates)
    _read(candidates)


@compiled
def _half_distances(query: np.ndarray, tile: np.ndarray, out: np.ndarray) -> None:
    """Fill `out` (w,) with half the squared distances of a query (R,) to a tile (R + 1, w), less that of the query."""
    inner, width = len(query), len(out)
    half_squares = tile[inner]
    for j in range(width):
        out[j] = half_squares[j]
    whole = inner // 4 * 4
    for i in range(0, whole, 4):
        q0, q1, q2, q3 = query[i], query[i + 1], query[i + 2], query[i + 3]
        t0, t1, t2, t3 = tile[i], tile[i + 1], tile[i + 2], tile[i + 3]
        for j in range(width):
            out[j] = (((out[j] + q0 * t0[j]) + q1 * t1[j]) + q2 * t2[j]) + q3 * t3[j]
    for i in range(whole, inner):
        q0, t0 = query[i], tile[i]
        for j in range(width):
            out[j] += q0 * t0[j]


# The nearest candidates are kept as whole numbers, farthest first: the distance in the upper half, the position in the
# lower half. They are thus ordered by both, and are inserted without a branch.


@compiled
def _key(distance: float, position: int) -> Any:
    """Return a whole number that orders like (distance, position), for a float32 distance."""
    bits = np.float32(distance).view(np.int32)
    return (np.int64(bits ^ ((bits >> 31) & 0x7FFFFFFF)) << 32) | np.int64(position)


@compiled
def _clear(kept: np.ndarray) -> None:
    for i in range(len(kept)):
        kept[i] = NO_KEY


@compiled
def _keep(distances: np.ndarray, positions: np.ndarray, kept: np.ndarray) -> None:
    """Insert the positions that are nearer than the farthest one kept."""
    bound = _distance(kept[0])
    for j in range(len(positions)):
        if not distances[j] > bound:
            _insert(_key(distances[j], positions[j]), kept)
            bound = _distance(kept[0])


@compiled
def _distance(key: int) -> Any:
    bits = np.int32(key >> 32)
    return np.int32(bits ^ ((bits >> 31) & 0x7FFFFFFF)).view(np.float32)


@compiled
def _insert(key: int, kept: np.ndarray) -> None:
    """Insert a key in order; the largest key is dropped."""
    last = len(kept) - 1
    for i in range(last):
        kept[i] = max(kept[i + 1], min(kept[i], key))
    kept[last] = min(kept[last], key)


@compiled
def _read(kept: np.ndarray) -> None:
    """Turn keys into their positions."""
    for i in range(len(kept)):
        kept[i] &= 0xFFFFFFFF


@compiled
def _subtract(
    points: np.ndarray, query: np.ndarray, candidates: np.ndarray, rows: np.ndarray, columns: np.ndarray
) -> None:
    """Fill rows (c, D) and columns (D, c or more) with the differences of the candidates (c,) to the query (D,)."""
    for c in range(len(candidates)):
        point, row = points[candidates[c]], rows[c]
        for d in range(len(query)):
            row[d] = point[d] - query[d]
    for d in range(len(query)):
        column = columns[d]
        for c in range(len(candidates)):
            column[c] = rows[c, d]


@compiled
def _square(columns: np.ndarray, squares: np.ndarray) -> None:
    """Fill `squares` (c,) with the squared lengths of columns (D, c), summed like the inner products."""
    for c in range(len(squares)):
        squares[c] = 0
    for d in range(len(columns)):
        column = columns[d]
        for c in range(len(squares)):
            squares[c] += column[c] * column[c]


@compiled
def _sort(squares: np.ndarray, candidates: np.ndarray, own: int, near: np.ndarray) -> None:
    """Fill `near` (k,) with the places of the nearest candidates, nearest first, without the query itself.

    The rank of a candidate is the number of candidates before it, in order of squared length and position.
    """
    for i in range(len(near)):
        near[i] = 0  # a valid place, if numbers that are not finite have no order
    for c in range(len(candidates)):
        rank = 0
        for other in range(len(candidates)):
            is_before = squares[other] < squares[c] or (
                squares[other] == squares[c] and candidates[other] < candidates[c]
            )
            rank += is_before and candidates[other] != own
        if candidates[c] != own and rank < len(near):
            near[rank] = c


@compiled
def _mean_length(squares: np.ndarray, order: np.ndarray) -> float:
    total = 0.0
    for c in order:
        total += np.sqrt(np.float64(squares[c]))
    return total / len(order)


@compiled
def _multiply_nearest(rows: np.ndarray, columns: np.ndarray, order: np.ndarray, products: np.ndarray) -> None:
    """Fill products (k or more, c) with the inner products of the nearest rows, in order, and all columns."""
    last = len(order) - 1
    for i in range(0, len(order), 4):
        a, b = rows[order[i]], rows[order[min(i + 1, last)]]
        c, d = rows[order[min(i + 2, last)]], rows[order[min(i + 3, last)]]
        _multiply_four(a, b, c, d, columns, products[i : i + 4])


@compiled
def _rebuilt(products: np.ndarray, order: np.ndarray, gram: np.ndarray) -> Any:
    """Return the smallest length of a weighted sum of the nearest differences, with a ridge; the weights sum to 1."""
    k = len(order)
    trace = total = squares = 0.0
    for i in range(k):
        trace += products[i, order[i]]
    unit = trace if trace > 0 else 1.0  # 0 if the record equals all of its neighbours
    ridge = 0.2 / k
    for i in range(k):
        for j in range(k):
            gram[i, j] = products[i, order[j]] / unit
        gram[i, i] += ridge
        gram[i, k] = 1.0
    _solve(gram, k)
    for i in range(k):
        total += gram[i, k]
        squares += gram[i, k] * gram[i, k]
    return np.sqrt(trace * max(total - ridge * squares, 0.0)) / total


@compiled
def _solve(matrix: np.ndarray, k: int) -> None:
    """Solve k equations; their right side, column k of the matrix (k, w), becomes the solution."""
    for i in range(k):
        pivot = matrix[i]
        for j in range(i + 1, k):
            row = matrix[j]
            factor = row[i] / pivot[i]
            for c in range(len(pivot)):  # columns up to i are not read again
                row[c] -= factor * pivot[c]
    for i in range(k - 1, -1, -1):
        matrix[i, k] /= matrix[i, i]
        for j in range(i):
            matrix[j, k] -= matrix[j, i] * matrix[i, k]


def roots(numbers: np.ndarray, degree: int) -> np.ndarray:
    """Return the root of every number, of a degree up to `MAX_DEGREE`, in float64; what has no root is returned."""
    out = np.empty(len(numbers))
    _take_roots(plain(numbers, np.float64), degree, out)
    return out


@compiled
def _take_roots(numbers: np.ndarray, degree: int, out: np.ndarray) -> None:
    for i in range(len(numbers)):
        out[i] = _root(numbers[i], degree) if 0.0 < numbers[i] < np.inf else numbers[i]


@compiled
def _root(number: float, degree: int) -> float:
    """Return the root of a positive number by Newton's method, from above, after powers of 2 are taken out."""
    mantissa, exponent = math.frexp(number)
    power = exponent // degree
    rest = math.ldexp(mantissa, exponent - power * degree)  # at least 1/2 and below 2 ** (degree - 1)
    root = 2.0
    for _ in range(NEWTON_STEPS):
        slope = 1.0
        for _factor in range(degree - 1):
            slope *= root
        root -= (root - rest / slope) / degree
    return math.ldexp(root, power)
