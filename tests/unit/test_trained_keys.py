"""Records that a model was trained on do not enter its drift."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from detector.core.about import TrainingRange
from detector.core.drift import P_VALUES, Profile
from detector.records.feature_types import drift_bins
from jobs.scoring.batch_results import count_records_upto, count_upto, score_page
from schemas.config import MonitorConfig
from schemas.keys import dump_key
from tests.watched_table import RuleScorer

AT = datetime(2026, 3, 1, tzinfo=UTC)


def counted(trained_upto):
    """Return how many of the records 1 to 100 enter the profile."""
    records = pd.DataFrame({"id": np.arange(1, 101), "flow": np.linspace(0, 1, 100)})
    monitor = MonitorConfig(table="t", key="id", numeric="flow")
    scorer = RuleScorer()
    scorer.profile = Profile.fit(records, drift_bins(monitor.features), np.linspace(0.01, 1, 100), 50)
    counts = score_page(records, monitor, scorer, AT, trained_upto).profile
    assert sum(counts["feature:flow"]) == sum(counts[P_VALUES])
    return sum(counts[P_VALUES])


def test_records_up_to_the_last_training_record_do_not_enter_the_profile():
    assert [counted(key) for key in (None, (0,), (60,), (100,), (500,))] == [100, 100, 40, 0, 0]


def test_the_end_of_the_training_is_found_in_the_order_of_the_database():
    keys = [("a",), ("B",), ("c",)]  # a database with a collation, unlike Python
    assert count_upto(keys, ("a",)) == 1
    assert count_upto(keys, (7,)) == 0  # the key was of another type


@pytest.mark.parametrize("last", [0, 2, 3, 9, 2**70, "b"])
def test_whole_numbers_are_counted_along_a_vector_like_keys_one_by_one(last):
    records = pd.DataFrame({"id": [1, 2, 5]})
    assert count_records_upto(records, ["id"], (last,)) == count_upto([(1,), (2,), (5,)], (last,))


def test_a_training_without_a_recorded_end_has_no_last_key():
    assert TrainingRange().last is None
    assert replace(TrainingRange(), upto_key=dump_key((7, "b"))).last == (7, "b")
