"""Blatant outliers among the calibration records are found, and do not set the threshold."""

import numpy as np
import pytest

from detector import VAEDetector
from detector.core.outlying import is_outlying

DRAWS = {
    "exponential": lambda rng, m: rng.exponential(size=m),
    "gamma": lambda rng, m: rng.gamma(5, size=m),
    "lognormal": lambda rng, m: rng.lognormal(0, 1, m),
    "pareto": lambda rng, m: 1 + rng.pareto(2, m),
    "uniform": lambda rng, m: rng.random(m),
    "two kinds": lambda rng, m: rng.gamma(20, size=m) * np.where(rng.random(m) < 0.05, 2, 1),
}


@pytest.mark.parametrize("name", DRAWS)
@pytest.mark.parametrize("m", [99, 1000])
def test_clean_scores_have_hardly_ever_outliers(name, m):
    rng = np.random.default_rng(0)
    assert np.mean([is_outlying(DRAWS[name](rng, m)).any() for _ in range(200)]) <= 0.015


@pytest.mark.parametrize(("m", "outliers"), [(99, 1), (200, 20), (1000, 4), (5000, 50)])
def test_scores_far_above_the_others_are_outlying_and_no_others(m, outliers):
    rng = np.random.default_rng(0)
    scores = rng.gamma(5, size=m)
    scores[:outliers] = scores.max() * rng.uniform(5, 40, outliers)
    assert np.flatnonzero(is_outlying(scores)).tolist() == list(range(outliers))


def test_few_or_equal_scores_have_no_outliers():
    assert not is_outlying(np.zeros(0)).any()
    assert not is_outlying(np.ones(300)).any()
    assert not is_outlying(np.arange(15.0)).any()


def test_outliers_set_the_threshold_only_if_they_are_trusted():
    rng = np.random.default_rng(0)
    level = rng.normal(size=(600, 1))
    records = np.hstack([level, 2 * level]) + 0.1 * rng.normal(size=(600, 2))
    records[::60] += 1000 * rng.normal(size=(10, 2))
    quick = {"members": 2, "hidden": 16, "steps": 60, "false_positive_rate": 0.01}
    default, trusting = VAEDetector(**quick).fit(records), VAEDetector(trust_outliers=True, **quick).fit(records)
    assert default.n_outliers_ > 0
    assert trusting.n_outliers_ == 0
    assert default.offset_ > trusting.offset_
    assert VAEDetector.from_bytes(trusting.to_bytes()).trust_outliers
