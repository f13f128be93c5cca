"""Compiled kernels with fixed rounding: every sum is taken in one stated order of plain IEEE operations.

Nothing is reassociated or contracted into fused multiply-adds, and no mathematical library of the system is called. The
numbers of a record therefore depend neither on the other records of a batch nor on threads, memory or the processor.
Inner loops run along vectors of results; each result is summed separately, in ascending order of the inner index.

All compiled code is in this one file, because Numba's cache notices changes of the file of a function only, not of the
files of the functions that it calls. `core.arithmetic` loads it once there is work that is worth it.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np import linalg

from detector.core.arithmetic import Index, Trees, plain

LANES = 16  # numbers that vector code works on at once; the columns of its matrices are a multiple of them
STRIP_COLUMNS = 64  # of a product, so that they stay in the cache
SPARE_CANDIDATES = 5  # beyond the neighbours, so that neither ties nor the axes left out change the result
TREE_ROWS = 64  # that fall through a tree side by side
FEW_NUMBERS = 512  # of which NumPy's own functions are as fast
RIDGE = 0.2  # of the weights of neighbours, shared by them
MAX_DEGREE, NEWTON_STEPS = 8, 16  # from 2, each step gains a share of 1 / degree until it doubles the digits
NO_KEY = np.int64(np.iinfo(np.int64).max >> 32 << 32)  # farther than every key; its position, 0, is valid
FARTHEST = np.int64(np.iinfo(np.int64).max)  # farther than every key, and than `NO_KEY`


def _load_array_functions() -> None:
    """Load Numba's array functions without SciPy, whose BLAS they look for: that takes .2 s and 16 MiB."""
    ensure_blas = linalg.ensure_blas
    linalg.ensure_blas = lambda: None  # code that uses BLAS calls the function again
    try:
        import numba.np.arraymath  # noqa: F401
    finally:
        linalg.ensure_blas = ensure_blas


_load_array_functions()


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function at its first call; the compiled code is cached if a cache directory is writable.

    Args:
        function: takes contiguous, aligned and writable arrays (see `plain`); other arrays would compile it again.
    """
    try:
        return njit(function, cache=True, nogil=True, fastmath=False, error_model="numpy")
    except RuntimeError:  # no writable cache directory
        return njit(function, nogil=True, fastmath=False, error_model="numpy")


def products(rows: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Return rows (n, D) times matrix (D, m), or (K, n, D) times (K, D, m).

    Sums run over D in ascending order, in float32 if both arguments are float32, else in float64.
    """
    dtype = np.result_type(rows, matrix, F)
    stacked = [plain(array if array.ndim == 3 else array[None], dtype) for array in (rows, matrix)]
    out = np.empty((len(stacked[0]), rows.shape[-2], matrix.shape[-1]), dtype)
    if out.size:
        _multiply(*stacked, out)
    return out.reshape(*rows.shape[:-1], matrix.shape[-1])


@compiled
def _multiply(rows: np.ndarray, matrices: np.ndarray, out: np.ndarray) -> None:
    """Fill `out` (K, n, m) with rows (K, n, D) times matrices (K, D, m), a strip of columns at a time."""
    count, inner, columns = matrices.shape
    width = min(STRIP_COLUMNS, _whole(columns))
    strip, zeros = np.zeros((inner, width), matrices.dtype), np.zeros(width, matrices.dtype)
    for k in range(count):
        used_inner = _without_zeros(rows[k])
        for start in range(0, columns, width):
            used = min(width, columns - start)
            for i in range(used_inner):
                for j in range(used):
                    strip[i, j] = matrices[k, i, start + j]
            whole = _whole(used)
            _add_strip(rows[k], zeros[:whole], strip[:used_inner], out[k][:, start : start + used])


@compiled
def _without_zeros(rows: np.ndarray) -> int:
    """Return the number of columns up to the last that is not zero in all rows; a product of zeros adds nothing."""
    for d in range(rows.shape[1] - 1, -1, -1):
        for i in range(len(rows)):
            if rows[i, d] != 0:
                return d + 1
    return 0


@compiled
def _add_strip(rows: np.ndarray, initial: np.ndarray, strip: np.ndarray, out: np.ndarray) -> None:
    """Fill `out` (n, up to w) with initial (w,) plus rows (n, D or more) times strip (D, w or more).

    w is a multiple of `LANES`. Rows are taken four at a time, the last one perhaps repeatedly.
    """
    last, width = len(rows) - 1, len(initial)
    paired = width // (2 * LANES) * 2 * LANES
    for first in range(0, len(rows), 4):
        places = first, min(first + 1, last), min(first + 2, last), min(first + 3, last)
        for start in range(0, paired, 2 * LANES):
            _add_four_by_two((rows, places, initial, strip, start, out))
        if paired < width:
            _add_four_by_one((rows, places, initial, strip, paired, out))


@compiled
def _whole(number: int) -> int:
    """Round a number up to whole lanes."""
    return (number + LANES - 1) // LANES * LANES


# Numba has no vectors: in its loops, totals are loaded and stored at every step. The innermost loops are therefore
# written in LLVM's own code. Without flags, LLVM neither contracts nor reassociates it.


class _Code:
    """Writes code that works on `LANES` numbers at once.

    Args:
        context: Numba's.
        builder: LLVM's.
        kinds: types of the arguments of the code.
        values: the arguments.
    """

    def __init__(self, context: Any, builder: ir.IRBuilder, kinds: Sequence[Any], values: Sequence[Any]) -> None:
        self.builder = builder
        self.arguments = [
            context.make_array(kind)(context, builder, value) if isinstance(kind, types.Array) else value
            for kind, value in zip(kinds, values, strict=True)
        ]

    def vector(self, array: Any) -> ir.VectorType:
        """Return the type of `LANES` numbers of an array."""
        return ir.VectorType(array.data.type.pointee, LANES)

    def constants(self, numbers: Iterable[int], bits: int = 64) -> ir.Constant:
        """Return a vector of whole numbers."""
        constants = list(numbers)
        return ir.Constant(ir.VectorType(ir.IntType(bits), len(constants)), constants)

    def length(self, array: Any, axis: int) -> Any:
        """Return the length of an axis."""
        return cgutils.unpack_tuple(self.builder, array.shape)[axis]

    def variable(self, value: Any) -> Any:
        """Return a place for a vector that changes in a loop, which LLVM turns into a register."""
        place = cgutils.alloca_once(self.builder, value.type)
        self.builder.store(value, place)
        return place

    def pointer(self, array: Any, indices: Sequence[Any], kind: ir.Type) -> Any:
        """Return a pointer to a number of an array with any strides, or to the numbers that begin there."""
        builder, offset = self.builder, INT64(0)
        for index, stride in zip(indices, cgutils.unpack_tuple(builder, array.strides), strict=True):
            offset = builder.add(offset, builder.mul(index, stride))
        byte = builder.gep(builder.bitcast(array.data, ir.IntType(8).as_pointer()), [offset])
        return builder.bitcast(byte, kind.as_pointer())

    def load(self, array: Any, *indices: Any) -> Any:
        """Return `LANES` numbers of an array, from a place along its last axis."""
        return self.builder.load(self.pointer(array, indices, self.vector(array)), align=4)

    def load_one(self, array: Any, *indices: Any) -> Any:
        """Return a number of an array."""
        return self.builder.load(self.pointer(array, indices, array.data.type.pointee))

    def store(self, numbers: Any, array: Any, *indices: Any) -> None:
        """Store `LANES` numbers in an array."""
        self.builder.store(numbers, self.pointer(array, indices, numbers.type), align=4)

    def store_part(self, numbers: Any, array: Any, *indices: Any) -> None:
        """Store the numbers whose places exist in an array."""
        builder, left = self.builder, self.builder.sub(self.length(array, -1), indices[-1])
        with builder.if_else(builder.icmp_signed(">=", left, INT64(LANES))) as (is_whole, is_part):
            with is_whole:
                self.store(numbers, array, *indices)
            with is_part:
                mask = builder.icmp_signed("<", self.constants(range(LANES)), self.spread(left))
                pointer = self.pointer(array, indices, numbers.type)
                arguments = [numbers, pointer, ir.IntType(32)(4), mask]
                kind = ir.FunctionType(ir.VoidType(), [argument.type for argument in arguments])
                name = f"llvm.masked.store.v{LANES}{numbers.type.element.intrinsic_name}.p0"
                builder.call(cgutils.get_or_insert_function(builder.module, kind, name), arguments)

    def spread(self, number: Any) -> Any:
        """Return a vector of equal numbers."""
        undefined = ir.Constant(ir.VectorType(number.type, LANES), ir.Undefined)
        one = self.builder.insert_element(undefined, number, ir.IntType(32)(0))
        return self.builder.shuffle_vector(one, one, self.constants([0] * LANES, 32))

    def smaller_and_larger(self, x: Any, y: Any) -> tuple[Any, Any]:
        """Return the smaller and the larger whole number in each lane."""
        is_less = self.builder.icmp_signed("<", x, y)
        return self.builder.select(is_less, x, y), self.builder.select(is_less, y, x)


INT64 = ir.IntType(64)


def _vector_code(write: Callable[[_Code], None]) -> Any:
    """Return a function of compiled code whose one argument, a tuple, has the arguments of the code that is written."""

    @intrinsic
    def call(_typing: Any, arguments: Any) -> Any:
        def generate(context: Any, builder: ir.IRBuilder, _signature: Any, values: Sequence[Any]) -> Any:
            write(_Code(context, builder, arguments.types, cgutils.unpack_tuple(builder, values[0])))
            return context.get_dummy_value()

        return types.void(arguments), generate

    return call


def _adder(rows: int, vectors: int) -> Any:
    """Return vector code that adds products to initial numbers, for `rows` times `vectors` vectors at once.

    Its arguments are rows (n, D or more) and the places of some of them, initial (w,), a matrix (D, w or more) and its
    first column, and out (n, m). Columns of `out` from m on are left out.
    """

    def write(code: _Code) -> None:
        builder = code.builder
        rows_, places, initial, matrix, first, out = code.arguments
        positions = [builder.extract_value(places, row) for row in range(rows)]
        starts = [builder.add(first, INT64(vector * LANES)) for vector in range(vectors)]
        totals = {(p, s): code.variable(code.load(initial, s)) for p in positions for s in starts}
        with cgutils.for_range(builder, code.length(matrix, 0)) as loop:
            factors = {start: code.load(matrix, loop.index, start) for start in starts}
            numbers = {place: code.spread(code.load_one(rows_, place, loop.index)) for place in positions}
            for (place, start), total in totals.items():
                product = builder.fmul(numbers[place], factors[start])
                builder.store(builder.fadd(builder.load(total), product), total)
        for (place, start), total in totals.items():
            code.store_part(builder.load(total), out, place, start)

    return _vector_code(write)


_add_four_by_two, _add_four_by_one, _add_eight_by_one = _adder(4, 2), _adder(4, 1), _adder(8, 1)


def _tile_measure(vectors: int) -> Any:
    """Return a function that measures four tiles at once, in `vectors` times `LANES` columns.

    Its arguments are a query (R,), tiles (C, R + 1, w), the numbers of four of them, the first column, and out (p, w)
    with four of its places. It fills `out` with half squared distances to the query, less that of the query.
    """

    def write(code: _Code) -> None:
        builder = code.builder
        query, tiles, cells, first, out, places = code.arguments
        inner = code.length(query, 0)
        columns = [builder.add(first, INT64(vector * LANES)) for vector in range(vectors)]
        parts = [(builder.extract_value(cells, n), column, n) for n in range(4) for column in columns]
        totals = [code.variable(code.load(tiles, cell, inner, column)) for cell, column, _ in parts]
        with cgutils.for_range(builder, inner) as loop:
            number = code.spread(code.load_one(query, loop.index))
            for (cell, column, _), total in zip(parts, totals, strict=True):
                product = builder.fmul(number, code.load(tiles, cell, loop.index, column))
                builder.store(builder.fadd(builder.load(total), product), total)
        for (_, column, n), total in zip(parts, totals, strict=True):
            code.store(builder.load(total), out, builder.extract_value(places, n), column)

    return _vector_code(write)


_measure_three_columns, _measure_one_column = _tile_measure(3), _tile_measure(1)


@_vector_code
def _order_keys(code: _Code) -> None:
    """Write a function of distances, positions, keys (n,) and minima (LANES,); n is a multiple of `LANES`.

    It fills the keys with whole numbers that order like (distance, position), and lowers each lane's minimum to theirs.
    """
    builder, half = code.builder, ir.VectorType(ir.IntType(32), LANES)
    distances, positions, keys, minima = code.arguments
    least = code.variable(code.load(minima, INT64(0)))
    with cgutils.for_range_slice(builder, INT64(0), code.length(keys, 0), INT64(LANES), inc=True) as (start, _):
        bits = builder.bitcast(code.load(distances, start), half)
        is_negative = builder.ashr(bits, code.constants([31] * LANES, 32))
        ordered = builder.xor(bits, builder.and_(is_negative, code.constants([0x7FFFFFFF] * LANES, 32)))
        upper = builder.shl(builder.sext(ordered, code.vector(keys)), code.constants([32] * LANES))
        key = builder.or_(upper, code.load(positions, start))
        code.store(key, keys, start)
        builder.store(code.smaller_and_larger(key, builder.load(least))[0], least)
    code.store(builder.load(least), minima, INT64(0))


@_vector_code
def _keep_smallest(code: _Code) -> None:
    """Write a function of keys (n, LANES), the number of them, and kept (c, LANES) in ascending order.

    It inserts the keys; in each lane the largest ones are dropped.
    """
    builder = code.builder
    keys, count, kept = code.arguments
    with cgutils.for_range(builder, count) as loop:
        moving = code.variable(code.load(keys, loop.index, INT64(0)))
        with cgutils.for_range(builder, code.length(kept, 0)) as place:
            old = code.load(kept, place.index, INT64(0))
            smaller, larger = code.smaller_and_larger(builder.load(moving), old)
            code.store(smaller, kept, place.index, INT64(0))
            builder.store(larger, moving)


def _keeper(size: int) -> Any:
    """Return `_keep_smallest` for `size` kept keys, which stay in registers: half of the lanes at a time."""

    def write(code: _Code) -> None:
        builder, half = code.builder, LANES // 2
        keys, count, kept = code.arguments
        kind = ir.VectorType(ir.IntType(64), half)
        for lane in (INT64(0), INT64(half)):
            places = [code.pointer(kept, (INT64(place), lane), kind) for place in range(size)]
            smallest = [code.variable(builder.load(place, align=8)) for place in places]
            with cgutils.for_range(builder, count) as loop:
                moving = builder.load(code.pointer(keys, (loop.index, lane), kind), align=8)
                for old in smallest:
                    smaller, moving = code.smaller_and_larger(moving, builder.load(old))
                    builder.store(smaller, old)
            for place, number in zip(places, smallest, strict=True):
                builder.store(builder.load(number), place, align=8)

    return _vector_code(write)


_keep_eight, _keep_sixteen = _keeper(8), _keeper(16)


@_vector_code
def _subtract_block(code: _Code) -> None:
    """Write a function of points, candidates (c,), the first of `LANES`, a query (D,), a coordinate and differences.

    It fills differences (D, c or more) of `LANES` candidates, the last one perhaps repeatedly, in `LANES` coordinates.
    """
    builder = code.builder
    points, candidates, first, query, start, differences = code.arguments
    last, subtracted = builder.sub(code.length(candidates, 0), INT64(1)), code.load(query, start)
    rows = []
    for lane in range(LANES):
        place = builder.add(first, INT64(lane))
        within = builder.select(builder.icmp_signed("<", place, last), place, last)
        rows.append(builder.fsub(code.load(points, code.load_one(candidates, within), start), subtracted))
    low = code.constants([n for i in range(LANES // 2) for n in (i, i + LANES)], 32)
    high = code.constants([n for i in range(LANES // 2, LANES) for n in (i, i + LANES)], 32)
    for _ in range(LANES.bit_length() - 1):  # each step moves a bit of the row number to the column number
        pairs = zip(rows[: LANES // 2], rows[LANES // 2 :], strict=True)
        rows = [builder.shuffle_vector(x, y, order) for x, y in pairs for order in (low, high)]
    for lane, column in enumerate(rows):
        code.store(column, differences, builder.add(start, INT64(lane)), first)


@_vector_code
def _add_ridge(code: _Code) -> None:
    """Write a function of products (k, k + 1, LANES), k, their traces (LANES,) and the ridge.

    It turns the products into the equations of weights, in units of the traces and with the ridge.
    """
    builder, zero = code.builder, INT64(0)
    matrix, k, traces, ridge = code.arguments
    trace = code.load(traces, zero)
    nothing, one = (code.spread(ir.Constant(ir.DoubleType(), number)) for number in (0.0, 1.0))
    is_positive = builder.fcmp_ordered(">", trace, nothing)
    unit = builder.select(is_positive, trace, one)  # it is 0 if the record equals all of its neighbours
    with cgutils.for_range(builder, k) as row:
        with cgutils.for_range(builder, k) as column:
            place = row.index, column.index, zero
            code.store(builder.fdiv(code.load(matrix, *place), unit), matrix, *place)
        place = row.index, row.index, zero
        code.store(builder.fadd(code.load(matrix, *place), code.spread(ridge)), matrix, *place)


@_vector_code
def _solve_lanes(code: _Code) -> None:
    """Write a function of equations (k, k + 1, LANES) and k, whose solution becomes column k: by elimination."""
    builder, zero, step = code.builder, INT64(0), INT64(1)
    matrix, k = code.arguments
    with cgutils.for_range(builder, k) as pivot:
        i, after = pivot.index, builder.add(pivot.index, step)
        divisor = code.load(matrix, i, i, zero)
        with cgutils.for_range_slice(builder, after, k, step, inc=True) as (j, _):
            factor = builder.fdiv(code.load(matrix, j, i, zero), divisor)
            with cgutils.for_range_slice(builder, after, builder.add(k, step), step, inc=True) as (c, _):
                product = builder.fmul(factor, code.load(matrix, i, c, zero))
                code.store(builder.fsub(code.load(matrix, j, c, zero), product), matrix, j, c, zero)
    with cgutils.for_range(builder, k) as last:
        i = builder.sub(builder.sub(k, step), last.index)
        solution = builder.fdiv(code.load(matrix, i, k, zero), code.load(matrix, i, i, zero))
        code.store(solution, matrix, i, k, zero)
        with cgutils.for_range(builder, i) as row:
            product = builder.fmul(code.load(matrix, row.index, i, zero), solution)
            code.store(builder.fsub(code.load(matrix, row.index, k, zero), product), matrix, row.index, k, zero)


@_vector_code
def _find_knots(code: _Code) -> None:
    """Write a function of numbers (LANES,), knots (2 ** steps,), steps and places (LANES,).

    It fills the places with the last knot that is not above each number, or 0, by bisection.
    """
    builder, lanes = code.builder, [ir.IntType(32)(lane) for lane in range(LANES)]
    numbers, knots, steps, places = code.arguments
    number, place = code.load(numbers, INT64(0)), code.variable(code.constants([0] * LANES))
    with cgutils.for_range(builder, steps) as loop:
        step = builder.shl(INT64(1), builder.sub(builder.sub(steps, INT64(1)), loop.index))
        later = builder.add(builder.load(place), code.spread(step))
        knot = ir.Constant(number.type, ir.Undefined)
        for lane in lanes:
            knot = builder.insert_element(knot, code.load_one(knots, builder.extract_element(later, lane)), lane)
        is_below = builder.fcmp_ordered("<=", knot, number)
        builder.store(builder.select(is_below, later, builder.load(place)), place)
    code.store(builder.load(place), places, INT64(0))


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


# Plain tuples: with a class in its signature, cached code could not be loaded after the class has moved.
_Plain = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, int]
_Records = tuple[np.ndarray, np.ndarray, np.ndarray]
_Choice = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]
_MEAN, _REBUILT, _BLENDED = 0, 1, 2


def mean_distances(index: Index, queries: np.ndarray, searched: np.ndarray, k: int, own: np.ndarray) -> np.ndarray:
    """Implement `arithmetic.mean_distances`."""
    return _distances(index, (queries, searched, own), k, _MEAN)


def reconstruction_distances(
    index: Index, queries: np.ndarray, searched: np.ndarray, k: int, own: np.ndarray
) -> np.ndarray:
    """Implement `arithmetic.reconstruction_distances`."""
    return _distances(index, (queries, searched, own), k, _REBUILT)


def blended_distances(index: Index, queries: np.ndarray, searched: np.ndarray, k: int, own: np.ndarray) -> np.ndarray:
    """Implement `arithmetic.blended_distances`."""
    return _distances(index, (queries, searched, own), k, _BLENDED)


def _distances(index: Index, records: _Records, k: int, kind: int) -> np.ndarray:
    queries, searched, own = records
    result = np.empty(len(queries))
    records = plain(queries, np.float32), plain(searched, np.float32), plain(own, np.int64)
    _measure(tuple(index), records, k, kind, result)
    return result


@compiled
def _measure(index: _Plain, records: _Records, k: int, kind: int, out: np.ndarray) -> None:
    """Fill `out` (n,), for `LANES` queries at once; buffers carry nothing from some queries to the next.

    Queries with the same nearest cell follow each other, as their cells and points then stay in the cache.
    """
    points, positions, tiles, means, probed = index
    queries, searched, own = records
    near = np.empty((len(queries), probed), np.int64)
    _find_cells(searched, means, len(tiles), near)
    order, count = _sorted_by_cell(near, len(tiles)), min(k + 1 + SPARE_CANDIDATES, len(points))
    choice, candidates = _choice(positions.shape[1] * probed, count), np.empty((LANES, count), np.int64)
    differences = np.empty((points.shape[1], _whole(count)), np.float32)
    grams, matrix = np.empty((LANES, count, _whole(count)), np.float32), np.zeros((k, k + 1, LANES))
    size = LANES if len(points) > k else 1  # queries that are measured together have equally many neighbours
    for start in range(0, len(order), size):
        group = order[start : start + size]
        _find_points(searched, group, (positions, tiles, near), choice, candidates)
        for lane in range(len(group)):
            _subtract(points, candidates[lane], queries[group[lane]], differences)
            _multiply_differences(differences, grams[lane])
        near_count = min(k, len(points) - (own[group[0]] >= 0))
        _measure_group(candidates, grams, (group, own), matrix[:near_count], kind, out)


@compiled
def _find_cells(searched: np.ndarray, means: np.ndarray, count: int, near: np.ndarray) -> None:
    """Fill `near` (n, p) with the numbers of the cells, of `count`, whose means are nearest, farthest first."""
    inner, width = searched.shape[1], _whole(count)
    padded, numbers = np.zeros((inner + 1, width), np.float32), np.minimum(np.arange(width), count - 1)
    padded[:, :count] = means[:, :count]
    padded[inner, count:] = np.inf  # farther than every cell
    distances, choice = np.empty((LANES, width), np.float32), _choice(width, near.shape[1])
    keys, minima = choice[:2]
    for start in range(0, len(searched), LANES):
        group = searched[start : start + LANES]
        _add_strip(group, padded[inner], padded[:inner], distances)
        for lane in range(len(group)):
            minima[:] = FARTHEST
            _order_keys((distances[lane], numbers, keys, minima))
            _choose(lane, choice)
        _take_nearest(choice, near[start : start + len(group)])


@compiled
def _sorted_by_cell(near: np.ndarray, count: int) -> np.ndarray:
    """Return the places of queries in the order of their nearest cell, of `count`; `near` (n, p) has it last."""
    nearest = near[:, near.shape[1] - 1]
    starts, order = np.zeros(count + 1, np.int64), np.empty(len(nearest), np.int64)
    for cell in nearest:
        starts[cell + 1] += 1
    starts = np.cumsum(starts)
    for i in range(len(nearest)):
        order[starts[nearest[i]]] = i
        starts[nearest[i]] += 1
    return order


@compiled
def _find_points(
    searched: np.ndarray,
    group: np.ndarray,
    cells: tuple[np.ndarray, np.ndarray, np.ndarray],
    choice: _Choice,
    candidates: np.ndarray,
) -> None:
    """Fill candidates (LANES, c) with the positions of the points near a group of queries, from their near cells."""
    positions, tiles, near = cells
    keys, minima = choice[:2]
    size, distances = positions.shape[1], np.empty((near.shape[1], positions.shape[1]), np.float32)
    for lane in range(len(group)):
        i = group[lane]
        minima[:] = FARTHEST
        _measure_tiles(searched[i], tiles, near[i], distances)
        for c in range(near.shape[1]):
            _order_keys((distances[c], positions[near[i, c]], keys[c * size : (c + 1) * size], minima))
        _choose(lane, choice)
    _take_nearest(choice, candidates[: len(group)])


@compiled
def _measure_tiles(query: np.ndarray, tiles: np.ndarray, cells: np.ndarray, out: np.ndarray) -> None:
    """Fill `out` (p, w) with half squared distances of a query (R,) to the points of the cells (p,), less its own."""
    width, last = tiles.shape[2], len(cells) - 1
    tripled = width // (3 * LANES) * 3 * LANES
    for c in range(0, len(cells), 4):
        places = c, min(c + 1, last), min(c + 2, last), min(c + 3, last)
        four = cells[places[0]], cells[places[1]], cells[places[2]], cells[places[3]]
        for start in range(0, tripled, 3 * LANES):
            _measure_three_columns((query, tiles, four, start, out, places))
        for start in range(tripled, width, LANES):
            _measure_one_column((query, tiles, four, start, out, places))


# Distances are compared as whole numbers: the distance in the upper half, the position in the lower half. They are thus
# ordered by both. No branch depends on a distance, as processors would often guess it wrongly.


@compiled
def _choice(distances: int, kept: int) -> _Choice:
    """Return memory to choose from so many distances of `LANES` queries.

    It has the keys of one query (n,), their minima (LANES,), the keys that may be kept of all queries (n + 1, LANES),
    the number of these (LANES,), and the kept ones (c, LANES).
    """
    keys, minima, counts = np.empty(distances, np.int64), np.empty(LANES, np.int64), np.empty(LANES, np.int64)
    return keys, minima, np.empty((distances + 1, LANES), np.int64), counts, np.empty((kept, LANES), np.int64)


@compiled
def _choose(lane: int, choice: _Choice) -> None:
    """Write the keys up to a bound, which are all that may be kept, into a lane."""
    keys, minima, chosen, counts, kept = choice
    bound, count = _bound(minima, len(kept)), 0
    for key in keys:
        chosen[count, lane] = key
        count += key <= bound
    counts[lane] = count


@compiled
def _bound(minima: np.ndarray, count: int) -> Any:
    """Return a key that at least `count` keys do not exceed, from the minima of `LANES` groups of them."""
    groups = LANES
    if count > groups:
        return FARTHEST
    while groups >= 2 * count:
        groups //= 2
        for j in range(groups):
            minima[j] = min(minima[j], minima[groups + j])
    return minima[:groups].max()


@compiled
def _take_nearest(choice: _Choice, positions: np.ndarray) -> None:
    """Fill positions (n, c) of up to `LANES` queries with those of their smallest keys, farthest first."""
    _, _, chosen, counts, kept = choice
    most = counts[: len(positions)].max()
    for lane in range(len(positions)):
        for place in range(counts[lane], most):
            chosen[place, lane] = FARTHEST
    kept[:] = NO_KEY
    if len(kept) == 8:
        _keep_eight((chosen, most, kept))
    elif len(kept) == 16:
        _keep_sixteen((chosen, most, kept))
    else:
        _keep_smallest((chosen, most, kept))
    for lane in range(len(positions)):
        for place in range(len(kept)):
            positions[lane, len(kept) - 1 - place] = kept[place, lane] & 0xFFFFFFFF


@compiled
def _subtract(points: np.ndarray, candidates: np.ndarray, query: np.ndarray, differences: np.ndarray) -> None:
    """Fill differences (D, c or more) with those of the candidates (c,) to the query (D,)."""
    if len(query) < LANES:
        for c in range(differences.shape[1]):
            point = points[candidates[min(c, len(candidates) - 1)]]
            for d in range(len(query)):
                differences[d, c] = point[d] - query[d]
        return
    for first in range(0, differences.shape[1], LANES):
        for start in range(0, len(query), LANES):
            coordinate = min(start, len(query) - LANES)
            _subtract_block((points, candidates, first, query, coordinate, differences))


@compiled
def _multiply_differences(differences: np.ndarray, gram: np.ndarray) -> None:
    """Fill gram (c, w) with the inner products of the differences (D, w); w is a multiple of `LANES`."""
    rows, zeros, last = differences.T, np.zeros(LANES, np.float32), len(gram) - 1
    for i in range(0, len(gram), 8):
        a, b, c, d = i, min(i + 1, last), min(i + 2, last), min(i + 3, last)
        places = a, b, c, d, min(i + 4, last), min(i + 5, last), min(i + 6, last), min(i + 7, last)
        for start in range(0, gram.shape[1], LANES):
            _add_eight_by_one((rows, places, zeros, differences[:, start:], 0, gram[:, start:]))


@compiled
def _measure_group(
    candidates: np.ndarray,
    grams: np.ndarray,
    places: tuple[np.ndarray, np.ndarray],
    matrix: np.ndarray,
    kind: int,
    out: np.ndarray,
) -> None:
    """Fill `out` at the places of a group of queries, from the inner products (LANES, c, c) of their candidates."""
    group, own = places
    k, count = len(matrix), candidates.shape[1]
    near, squares, traces = np.empty(k, np.int64), np.empty(count, np.float32), np.zeros(LANES)
    for lane in range(len(group)):
        i = group[lane]
        for c in range(count):
            squares[c] = grams[lane, c, c]
        _sort(squares, candidates[lane], own[i], near)
        out[i] = _mean_length(squares, near)
        if kind != _MEAN:
            traces[lane] = _set_equations(grams[lane], near, matrix[:, :, lane])
    if kind != _MEAN:
        _add_ridge((matrix, k, traces, RIDGE / k))
        _solve(matrix, k)
        for lane in range(len(group)):
            i, rebuilt = group[lane], _rebuilt(matrix[:, k, lane], traces[lane])
            out[i] = rebuilt if kind == _REBUILT else np.sqrt(rebuilt * np.sqrt(rebuilt * out[i]))


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
def _set_equations(gram: np.ndarray, order: np.ndarray, matrix: np.ndarray) -> float:
    """Fill a matrix (k, k + 1) with the products of the nearest differences; return their trace."""
    k, trace = len(order), 0.0
    for c in order:
        trace += gram[c, c]
    for i in range(k):
        row = gram[order[i]]
        for j in range(k):
            matrix[i, j] = row[order[j]]
        matrix[i, k] = 1.0
    return trace


@compiled
def _rebuilt(weights: np.ndarray, trace: float) -> Any:
    """Return the smallest length of a weighted sum of the nearest differences, with a ridge; the weights sum to 1."""
    total = squares = 0.0
    for weight in weights:
        total += weight
        squares += weight * weight
    ridge = RIDGE / len(weights)
    return np.sqrt(trace * max(total - ridge * squares, 0.0)) / total


@compiled
def _solve(matrix: np.ndarray, k: int) -> None:
    """Solve k equations in each lane; their right side, in column k of (k, k + 1, LANES), becomes the solution."""
    _solve_lanes((matrix, k))


def interpolated(x: np.ndarray, knots: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return `numpy.interp` of numbers (n,) among ascending knots (g,), to the bit, in a tenth of its time.

    NumPy's search has a branch at every step, which processors guess wrongly for numbers in no order.
    """
    with np.errstate(over="ignore"):
        slopes = np.diff(values) / np.diff(knots)
    if len(x) < FEW_NUMBERS or not np.isfinite(slopes).all():
        return np.interp(x, knots, values)
    steps = (len(knots) - 1).bit_length()  # of a bisection
    padded = np.concatenate([knots, np.full((1 << steps) - len(knots), np.nan)])
    out = np.empty(len(x))
    _interpolate(plain(x, np.float64), padded, plain(values, np.float64), np.append(slopes, 0.0), steps, out)
    return out


@compiled
def _interpolate(
    x: np.ndarray, knots: np.ndarray, values: np.ndarray, slopes: np.ndarray, steps: int, out: np.ndarray
) -> None:
    places, last = np.empty(LANES, np.int64), len(values) - 1
    for start in range(0, len(x), LANES):
        first = min(start, len(x) - LANES)
        numbers, results = x[first : first + LANES], out[first : first + LANES]
        _find_knots((numbers, knots, steps, places))
        for lane in range(LANES):
            place = places[lane]
            number, knot = numbers[lane], knots[place]
            result = slopes[place] * (number - knot) + values[place]
            results[lane] = values[place] if number <= knot or place == last else result


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


def mean_leaves(trees: Trees, rows: np.ndarray) -> np.ndarray:
    """Return the mean over trees of the values of the leaves that rows (n, d) float32 fall into, (n,) float64."""
    out = np.zeros(len(rows))
    columns, limits, children, values, roots, levels = (plain(array) for array in trees)
    _add_leaves(plain(rows, np.float32), (columns, limits, children, values), (roots, levels), out)
    return out / len(roots)


@compiled
def _add_leaves(
    rows: np.ndarray,
    nodes: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
    trees: tuple[np.ndarray, np.ndarray],
    out: np.ndarray,
) -> None:
    """Add the values of the leaves to `out` (n,): a block of rows falls through a tree side by side, level by level."""
    columns, limits, children, values = nodes
    roots, levels = trees
    places = np.empty(TREE_ROWS, np.int32)
    for start in range(0, len(rows), TREE_ROWS):
        block = rows[start : start + TREE_ROWS]
        for tree in range(len(roots)):
            places[:] = roots[tree]
            for _level in range(levels[tree]):
                for i in range(len(block)):
                    place = places[i]
                    places[i] = children[place] + np.int32(block[i, columns[place]] > limits[place])
            for i in range(len(block)):
                out[start + i] += values[places[i]]
