"""Contrast forests find what distances miss; the trees that have not seen a training record judge it."""

import numpy as np
import pytest

from detector.records.contrast import MAX_SHARE, ContrastForest, contrast_factors
from detector.records.contrast_fitting import (
    MAX_CELLS,
    MIN_TRAINING_RECORDS,
    NOISES,
    Noise,
    fit_contrasts,
    noisy_copies,
)

NEW = np.full(200, -1)  # no record of these is a training record


def steps(n, seed=0):
    """Return cells (n, 3): one of two usual values, a value that follows from it, and one that plays no part."""
    rng = np.random.default_rng(seed)
    step = rng.choice([-1.0, 1.0], n)
    return np.stack([step, step + 0.1 * rng.normal(size=n), rng.normal(size=n)], axis=1).astype(np.float32)


def fitted(cells):
    return fit_contrasts(cells, np.zeros(cells.shape, dtype=bool), np.random.default_rng(0))


@pytest.fixture(scope="module")
def forests():
    return fitted(steps(600))


@pytest.mark.parametrize("change", [lambda row: row * [0.3, 1, 1], lambda row: row * [1, -1, 1]])
def test_a_value_in_a_gap_and_one_that_does_not_fit_another_score_higher(forests, change):
    usual = steps(200, seed=1)
    changed = change(usual).astype(np.float32)
    factors = [contrast_factors(forests, cells, NEW) for cells in (usual, changed)]
    assert np.mean(factors[1] > np.quantile(factors[0], 0.99)) > 0.95


def test_training_records_are_judged_like_new_ones(forests):
    usual = contrast_factors(forests, steps(2_000, seed=1), np.full(2_000, -1))
    training = contrast_factors(forests, steps(600), np.arange(600))
    np.testing.assert_allclose(np.quantile(training, [0.5, 0.9]), np.quantile(usual, [0.5, 0.9]), rtol=0.1)


def test_the_same_draws_give_the_same_trees(forests):
    again = fitted(steps(600))
    pairs = [pair for old, new in zip(forests, again, strict=True) for pair in zip(old.trees, new.trees, strict=True)]
    assert all(np.array_equal(*pair) for pair in pairs)


def test_a_factor_is_at_least_one_and_finite(forests):
    far = np.full((1, 3), 30.0, dtype=np.float32)
    assert 1 < contrast_factors(forests, far, NEW[:1])[0] < np.inf
    leaf = forests[0].trees._replace(
        columns=np.array([-1], np.int32), values=np.ones(1, np.float32), roots=np.zeros(1, np.int32)
    )
    surprise = ContrastForest(leaf, 0.0, 1.0).surprise(far, NEW[:1])
    np.testing.assert_allclose(surprise, np.log1p(MAX_SHARE / (1 - MAX_SHARE)), rtol=1e-5)


@pytest.mark.parametrize(("records", "cells"), [(MIN_TRAINING_RECORDS - 1, 3), (MIN_TRAINING_RECORDS, MAX_CELLS + 1)])
def test_few_records_and_many_cells_have_no_forest(records, cells):
    assert fitted(np.random.default_rng(0).normal(size=(records, cells)).astype(np.float32)) == ()


@pytest.mark.parametrize("noise", NOISES)
def test_a_missing_cell_gets_no_noise(noise):
    missing = np.zeros((50, 3), dtype=bool)
    missing[:, 1] = True
    cells = np.where(missing, 0, steps(50)).astype(np.float32)
    copies, copied = noisy_copies(cells, missing, noise, np.random.default_rng(0))
    assert (copies[:, 1] == 0).all()
    assert (copies != cells[copied]).any()


def test_snapped_noise_keeps_to_the_values_of_training_records():
    cells = steps(50)
    copies, copied = noisy_copies(
        cells, np.zeros(cells.shape, dtype=bool), Noise("random", is_snapped=True), np.random.default_rng(0)
    )
    assert set(copies[:, 0]) == {-1.0, 1.0}
    assert np.isin(copies[:, 1], cells[:, 1]).all()
    assert (copies != cells[copied]).any(axis=1).mean() > 0.3
