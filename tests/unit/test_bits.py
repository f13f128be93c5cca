"""A record gets the same bits in every batch, at every place and in every thread."""

from dataclasses import replace

import numpy as np
import pytest

from detector import bit_check
from detector.bit_check import BATCH_SIZES, check_bits
from detector.core import kernels
from detector.core.arithmetic import CHOICE
from detector.core.threads import in_threads
from detector.records.scorer import RecordScorer
from detector.series import SeriesModel, SeriesSettings
from detector.series.series import Series
from schemas.frames import SCORE_COLUMNS
from tests.samples import make_records

SCORES = ("ensemble", "combined", "local_reconstruction", "joint_knn", "latent_knn", "elbo", "reconstruction_error")


@pytest.fixture(scope="module", autouse=True)
def compiled_kernels():
    """Compute in compiled code, whatever the process has computed before; its bits are those of NumPy."""
    with CHOICE.only("compiled"):
        yield


def test_every_kernel_and_network_is_independent_of_the_batch():
    checks = list(check_bits())
    assert len(checks) > 40
    assert [check.name for check in checks if not check.is_equal] == []


def test_the_check_notices_a_function_that_depends_on_the_place():
    def placed(rows):
        return rows * np.where(np.arange(len(rows)) % 16 < 6, 1, 1 + 1e-7)[:, None].astype(np.float32)

    def missing(rows):
        return rows * (np.nan if len(rows) == BATCH_SIZES[4] else 1)

    rows = np.ones((bit_check.CHECKED_ROWS, 3), dtype=np.float32)
    assert bit_check._largest_difference(placed, rows) > 0
    assert bit_check._largest_difference(missing, rows) == np.inf
    assert bit_check._largest_difference(np.negative, rows) == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("n", "d", "m"), [(1, 1, 1), (2, 3, 5), (5, 64, 64), (33, 76, 14), (7, 200, 130)])
def test_a_product_is_the_sum_in_ascending_order_without_fused_steps(dtype, n, d, m):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((n, d)).astype(dtype), rng.standard_normal((d, m)).astype(dtype)
    total = np.zeros((n, m), dtype)
    for i in range(d):
        total = total + x[:, i, None] * y[i]
    np.testing.assert_array_equal(kernels.products(x, y), total)
    np.testing.assert_array_equal(kernels.products(np.stack([x, -x]), np.stack([y, y])), [total, -total])


@pytest.mark.parametrize("used", [0, 3, 7])
def test_columns_that_are_zero_in_all_rows_add_nothing_to_a_product(used):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((9, 10)).astype(np.float32), rng.standard_normal((10, 20)).astype(np.float32)
    x[:, used:] = 0
    np.testing.assert_array_equal(
        kernels.products(x, y), kernels.products(np.pad(x[:, :used], ((0, 0), (0, 1))), y[: used + 1])
    )
    x[4, 9] = 1
    np.testing.assert_array_equal(kernels.products(x, y)[4], kernels.products(x[4:5], y)[0])


@pytest.mark.parametrize(
    ("function", "exact", "low", "high"),
    [
        (kernels.exp, np.exp, -87, 87),
        (kernels.log, np.log, 1e-30, 1e30),
        (kernels.sigmoid, lambda x: 1 / (1 + np.exp(-x)), -80, 80),
        (kernels.silu, lambda x: x / (1 + np.exp(-x)), -80, 80),
    ],
)
def test_functions_are_right_to_a_few_units_in_the_last_place(function, exact, low, high):
    x = np.random.default_rng(0).uniform(low, high, (100, 200)).astype(np.float32)
    expected = exact(x.astype(np.float64))
    np.testing.assert_allclose(function(x), expected, rtol=4 * np.finfo(np.float32).eps)


def test_softplus_is_right_to_the_rounding_of_one():
    x = np.random.default_rng(0).uniform(-20, 20, 10_000).astype(np.float32)
    np.testing.assert_allclose(kernels.softplus(x), np.logaddexp(0, x.astype(np.float64)), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("degree", [1, 2, 3, 5, 8])
def test_a_root_is_right_to_the_last_places_over_the_whole_range(degree):
    numbers = np.logspace(-300, 300, 2_001)
    np.testing.assert_allclose(kernels.roots(numbers, degree), numbers ** (1 / degree), rtol=2e-13)
    np.testing.assert_array_equal(kernels.roots(np.array([0.0, 1.0, np.inf, np.nan]), degree), [0, 1, np.inf, np.nan])


@pytest.mark.parametrize("knots", [2, 3, 8, 9, 512])
def test_interpolation_has_the_bits_of_numpy(knots):
    rng = np.random.default_rng(knots)
    x, y = np.sort(rng.standard_normal((2, knots)), axis=1)
    edges = [np.nan, np.inf, -np.inf, 0.0, -0.0]
    numbers = np.concatenate([3 * rng.standard_normal(kernels.FEW_NUMBERS), x, edges])
    np.testing.assert_array_equal(kernels.interpolated(numbers, x, y), np.interp(numbers, x, y))
    near = np.array([0.0, 5e-324, 1.0])  # the slope between them is beyond all numbers
    np.testing.assert_array_equal(kernels.interpolated(numbers, near, near + 1), np.interp(numbers, near, near + 1))


@pytest.fixture(scope="module")
def records():
    return make_records(max(BATCH_SIZES), seed=5)


@pytest.mark.parametrize("score", SCORES)
def test_scores_of_records_are_equal_in_batches_of_every_size_and_in_threads(artifact, records, score):
    artifact = replace(artifact, config=artifact.config.model_copy(update={"score": score}))
    scorers = {threads: RecordScorer(artifact, threads=threads) for threads in (1, 2)}
    whole = _scores(scorers[1], records)
    for size in BATCH_SIZES:
        starts = range(0, len(records) if size > 100 else 20 * size, size)
        parts = [records.iloc[start : start + size] for start in starts]
        for threads, scorer in scorers.items():
            scored = np.concatenate([_scores(scorer, part) for part in parts])
            np.testing.assert_array_equal(scored, whole[: len(scored)], err_msg=f"{size} records, {threads} threads")


def _scores(scorer, records):
    return scorer.score(records, "all")[list(SCORE_COLUMNS)].to_numpy(dtype=np.float64)


@pytest.mark.parametrize("network", [False, True])
def test_scores_of_series_are_equal_in_batches_of_every_size_and_in_threads(network):
    rng = np.random.default_rng(0)
    values = rng.standard_normal((8_000, 4)).cumsum(axis=0) * 0.01 + rng.standard_normal((8_000, 4))
    series = Series(np.arange(8_000), values)
    model = SeriesModel.fit({"pump": Series(np.arange(2_000), values[:2_000])}, SeriesSettings(network=network))
    whole = model.scores("pump", series)
    for size in BATCH_SIZES:
        starts = range(2_000, 7_000, size) if size > 100 else range(2_000, 2_000 + 40 * size, size)

        def scored(start, size=size):
            rows = slice(max(start - model.context_rows, 0), start + size)
            return model.scores("pump", Series(series.times[rows], values[rows]))[start - rows.start :]

        for threads in (1, 2):
            parts = in_threads(scored, list(starts), threads)
            np.testing.assert_array_equal(np.concatenate(parts), whole[2_000 : 2_000 + sum(map(len, parts))])
