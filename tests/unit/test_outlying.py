"""Blatant outliers among the calibration records are found, and do not set the threshold."""

import numpy as np
import pandas as pd
import pytest

from detector.core.outlying import is_outlying, is_unlike_training
from detector.records.fitting import DecisionRule, fit_artifact
from detector.records.normal_records import NormalRecords
from detector.records.scorer import RecordScorer
from schemas.frames import Features
from tests.samples import SMALL

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


@pytest.mark.parametrize(("trained", "outliers"), [(0, 20), (10, 20), (100, 0)])
def test_scores_that_training_records_have_too_are_no_outliers(trained, outliers):
    rng = np.random.default_rng(0)
    scores, training_scores = rng.gamma(5, size=200), rng.gamma(5, size=800)
    scores[:20], training_scores[:trained] = rng.uniform(100, 400, 20), rng.uniform(100, 400, trained)
    assert is_unlike_training(scores, training_scores).sum() == outliers


def test_few_or_equal_scores_have_no_outliers():
    assert not is_outlying(np.zeros(0)).any()
    assert not is_outlying(np.ones(300)).any()
    assert not is_outlying(np.arange(15.0)).any()


@pytest.mark.parametrize("trusts_outliers", [False, True])
def test_outliers_among_the_newest_records_set_the_threshold_only_if_they_are_trusted(trusts_outliers):
    rng = np.random.default_rng(0)
    level = rng.normal(size=600)
    records = pd.DataFrame({"flow": level, "pressure": 2 * level + 0.1 * rng.normal(size=600)})
    records.loc[580:, "flow"] += 50
    rule = DecisionRule(rate=0.01, trusts_outliers=trusts_outliers)
    normal = NormalRecords(records[:450], records[450:])
    artifact = fit_artifact(normal, Features(numeric=("flow", "pressure")), SMALL, rule=rule)
    is_flagged = RecordScorer(artifact).score(records[570:])["is_anomaly"]
    assert is_flagged.loc[580:].all() == (not trusts_outliers)
    assert set(artifact.about.get("outlying", ())) >= set(range(130, 150) if not trusts_outliers else ())
