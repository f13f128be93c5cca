"""Scores stay in a range that a person can read, in the order of the product."""

import numpy as np
import pandas as pd
import pytest

from detector.records.fitting import DecisionRule, fit_artifact
from detector.records.normal_records import NormalRecords
from detector.records.score_range import compressed
from detector.records.scorer import RecordScorer
from schemas.config import ModelConfig
from schemas.frames import Features

READABLE = 150_000  # no score is above it
COLUMNS = ("first", "second", "third")


def test_the_range_keeps_the_order_and_starts_above_ordinary_scores():
    scores = np.exp(np.linspace(0, 700, 100_000))
    result = compressed(scores)
    assert (np.diff(result) > 0).all()
    assert (result[scores < 2048] == scores[scores < 2048]).all()
    assert compressed(np.array([np.finfo(float).max]))[0] <= 1_039_360


def with_rare_values(n, values, seed):
    """Return records of a constant, a rare second value, and one of few values that is nearly always the first."""
    rng = np.random.default_rng(seed)
    rare = rng.random((n, 2)) < 0.04
    columns = np.zeros(n), rare[:, 0], rare[:, 1] * rng.integers(1, values, n)
    return pd.DataFrame(dict(zip(COLUMNS, map(np.float64, columns), strict=True)))


@pytest.mark.parametrize("values", [2, 3])
def test_scores_of_a_table_of_few_distinct_values_are_readable(values):
    records = with_rare_values(900, values, seed=0)
    normal = NormalRecords(records[:600], records[600:])
    config = ModelConfig(members=2, hidden=8, steps=20)
    scorer = RecordScorer(fit_artifact(normal, Features(COLUMNS), config, rule=DecisionRule(rate=0.1)))
    odd = pd.DataFrame([[0, 0, 0], [0, 1, 0], [0, 1, 1], [5, 1, 9], [1e9, -1e9, np.nan]], columns=COLUMNS, dtype=float)
    scores = scorer.model.anomaly_score(odd)
    assert (np.diff(scores[:4]) > 0).all()
    assert max(*scores, scorer.threshold) < READABLE
