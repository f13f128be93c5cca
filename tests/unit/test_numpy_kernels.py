"""NumPy computes the bits of the compiled kernels, and Numba is loaded only by work that is worth it."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from detector.core import arithmetic, kernels, numpy_kernels
from detector.core.arithmetic import CHOICE, MAX_NUMPY_WORK, Choice, Trees
from detector.core.neighbours import Neighbours

ROOT = Path(__file__).parents[2]
SPECIAL = [0.0, -0.0, 1e-40, -1e-40, 87.9, 88.1, -87.4, np.inf, -np.inf, np.nan]


def assert_equal_bits(compute):
    """Assert that both kinds of kernels return the same bits, NaN aside."""
    with CHOICE.only("compiled"):
        compiled = compute()
    with CHOICE.only("numpy"):
        numpy = compute()
    assert compiled.dtype == numpy.dtype
    np.testing.assert_array_equal(np.signbit(compiled[~np.isnan(compiled)]), np.signbit(numpy[~np.isnan(numpy)]))
    np.testing.assert_array_equal(compiled, numpy)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("n", "d", "m"), [(1, 1, 1), (5, 64, 9), (700, 76, 64), (4, 3, 0), (0, 3, 5)])
def test_products(dtype, n, d, m):
    rng = np.random.default_rng(0)
    rows, matrices = rng.standard_normal((3, n, d)).astype(dtype), rng.standard_normal((3, d, m)).astype(dtype)
    rows[1, :, d // 2 :] = 0
    assert_equal_bits(lambda: arithmetic.products(rows, matrices))


@pytest.mark.parametrize("function", [arithmetic.exp, arithmetic.sigmoid, arithmetic.silu, arithmetic.softplus])
def test_functions(function):
    x = np.append(np.random.default_rng(0).uniform(-95, 95, 50_000), SPECIAL).astype(np.float32)
    assert_equal_bits(lambda: function(x))


def test_logarithms_and_roots():
    x = np.random.default_rng(0).uniform(1e-30, 1e3, 50_000)
    assert_equal_bits(lambda: arithmetic.log(x.astype(np.float32)))
    numbers = np.concatenate([np.logspace(-320, 308, 2_001), [-1.0], SPECIAL])
    for degree in (1, 2, 5, 8):
        assert_equal_bits(lambda degree=degree: arithmetic.roots(numbers, degree))


def test_leaves_of_trees():
    rng = np.random.default_rng(0)
    trees = random_trees(rng, trees=5, cells=3)
    rows = rng.standard_normal((1_100, 3)).astype(np.float32)
    rows[0] = trees.limits[0]  # equal to a limit: the first child
    assert_equal_bits(lambda: arithmetic.mean_leaves(trees, rows))


def random_trees(rng, trees, cells):
    """Return complete trees of depth 3 with random limits and values."""
    first, node = 15 * np.arange(trees), np.tile(np.arange(15), trees)
    is_inner = node < 7
    return Trees(
        columns=np.where(is_inner, rng.integers(0, cells, 15 * trees), 0).astype(np.int32),
        limits=np.where(is_inner, rng.standard_normal(15 * trees), np.finfo(np.float32).max).astype(np.float32),
        children=(np.where(is_inner, 2 * node + 1, node) + np.repeat(first, 15)).astype(np.int32),
        values=rng.random(15 * trees).astype(np.float32),
        roots=first.astype(np.int32),
        levels=np.full(trees, 3, np.int32),
    )


@pytest.mark.parametrize("layer", [arithmetic.layer, arithmetic.silu_layer])
def test_layers(layer):
    rng = np.random.default_rng(0)
    x, kernel, bias = (rng.standard_normal(shape).astype(np.float32) for shape in [(2, 90, 7), (2, 7, 9), (2, 1, 9)])
    assert_equal_bits(lambda: layer(x, kernel, bias))
    assert_equal_bits(lambda: layer(x[0], kernel[0], bias[0]))


@pytest.mark.parametrize("measure", ["mean_distance", "reconstruction_distance", "blended_distance"])
@pytest.mark.parametrize(("m", "d"), [(1, 3), (7, 3), (200, 20), (3_000, 4), (3_000, 40)])
def test_distances_to_neighbours(measure, m, d):
    rng = np.random.default_rng(0)
    mixing = rng.standard_normal((6, d))
    points, others = ((rng.standard_normal((n, 6)) @ mixing).astype(np.float32) for n in (m, 90))
    queries = np.concatenate([points[:30], others])
    own = np.append(np.arange(len(queries) - 90), np.full(90, -1))
    for step in (1e-6, 1.0):  # with 1, many points are at one distance
        search = Neighbours(np.round(points / step).astype(np.float32), probed=8)
        rounded = np.round(queries / step).astype(np.float32)
        assert_equal_bits(lambda search=search, rounded=rounded: getattr(search, measure)(rounded, 10, own))


def test_compiled_code_takes_over_once_there_was_work_enough():
    choice = Choice()
    modules = [choice.module(MAX_NUMPY_WORK // 4).__name__ for _ in range(6)]
    assert modules == ["detector.core.numpy_kernels"] * 4 + ["detector.core.kernels"] * 2
    assert Choice().module(MAX_NUMPY_WORK + 1) is kernels
    assert arithmetic.LANES % kernels.LANES == 0


def test_compiled_code_does_much_work_from_its_beginning():
    choice = Choice()
    choice.expect(MAX_NUMPY_WORK)
    assert choice.module(1) is numpy_kernels
    choice.expect(MAX_NUMPY_WORK + 1)
    assert choice.module(1) is kernels


def test_a_process_that_computes_little_does_not_load_numba():
    code = (
        "import sys, numpy as np; from detector.core.neighbours import Neighbours\n"
        "Neighbours(np.eye(20, dtype=np.float32)).mean_distance(np.ones((3, 20), np.float32), 5)\n"
        "sys.exit('numba' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
