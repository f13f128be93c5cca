"""Synthetic anomalies: each kind changes what it says, and nothing else."""

import numpy as np
import pandas as pd
import pytest

from detector.records.encoder import Encoder
from detector.records.synthetic import synthetic_anomalies
from schemas.frames import Features
from tests.samples import FEATURES, make_records

SEED = 7


@pytest.fixture(scope="module")
def records():
    return make_records(400, seed=2).set_index(np.arange(1000, 1400))


@pytest.fixture(scope="module")
def made(records):
    return make(records, FEATURES)


def make(records, features, max_levels=64):
    encoder = Encoder.fit(records, features, max_levels)
    return synthetic_anomalies(records, encoder, np.random.default_rng(SEED))


def differs(made, records):
    """Return whether each feature differs from the record that a synthetic record was made from, (n, f) bool."""
    made = made[list(FEATURES.names)]
    before = records.loc[made.index, list(FEATURES.names)]
    return ~(made.eq(before).fillna(value=False) | (made.isna() & before.isna()))


def test_the_records_stay_as_they_are(records):
    before = records.copy(deep=True)
    make(records, FEATURES)
    pd.testing.assert_frame_equal(records, before)


def test_the_same_seed_makes_the_same_anomalies(records, made):
    for kind, again in make(records, FEATURES).items():
        pd.testing.assert_frame_equal(again, made[kind])


def test_one_to_three_features_are_perturbed_and_never_a_null_or_a_date(records, made):
    changed = differs(made["perturbed"], records)
    assert set(changed.sum(axis=1)) == {1, 2, 3}
    assert changed.any().to_dict() == {name: name != "read_at" for name in FEATURES.names}
    assert made["perturbed"]["pressure"].isna().equals(records["pressure"].isna())


def test_a_perturbed_number_moves_by_3_to_10_standard_deviations(records, made):
    moved = (made["perturbed"]["load"] - records["load"])[differs(made["perturbed"], records)["load"]]
    size = moved.abs() / records["load"].std(ddof=0)
    assert 3 <= size.min() < 3.5
    assert 9.5 < size.max() <= 10
    assert {-1.0, 1.0} == set(np.sign(moved))


def test_shuffled_records_take_a_third_of_their_values_from_others(records, made):
    changed = differs(made["shuffled"], records)
    assert changed.sum(axis=1).max() == 2  # of 6
    assert changed.any().all()
    for name in FEATURES.names:
        assert set(made["shuffled"][name].dropna()) <= set(records[name].dropna())


def test_scaled_numbers_lie_farther_out_by_one_factor_and_the_rest_stays(records, made):
    numeric = list(FEATURES.numeric)
    mean = records[numeric].mean()
    factors = (made["scaled"][numeric] - mean) / (records[numeric] - mean)
    assert factors["load"].between(1.5, 3).all()
    assert factors["load"].std() > 0.3
    np.testing.assert_allclose(factors["flow"], factors["load"])
    assert not differs(made["scaled"], records).drop(columns=numeric).any(axis=None)


@pytest.mark.parametrize(
    ("features", "kinds"),
    [
        (Features(boolean=("is_open",)), {"perturbed"}),
        (Features(timestamp=("read_at",)), set()),
        (Features(categorical=("mode",), timestamp=("read_at",)), {"perturbed", "shuffled"}),
        (Features(numeric=("flow",)), {"perturbed", "scaled"}),
    ],
    ids=["flag", "date", "category and date", "number"],
)
def test_kinds_that_do_not_apply_are_left_out(records, features, kinds):
    assert set(make(records, features)) == kinds


def test_every_anomaly_differs_from_its_record_even_if_few_values_exist():
    records = pd.DataFrame({"a": [True, False] * 20, "b": [True, True, False, False] * 10})
    shuffled = make(records, Features(boolean=("a", "b")))["shuffled"]
    assert 0 < len(shuffled) < len(records)
    assert (shuffled != records.loc[shuffled.index]).any(axis=1).all()


def test_large_integers_and_infinities_and_rare_levels_are_handled():
    records = pd.DataFrame(
        {
            "count": pd.array([2**60 + 3 * i for i in range(59)] + [None], dtype="Int64"),
            "extreme": [np.inf, -np.inf, 1.7e308, -1.7e308, np.nan, *range(55)],
            "level": [f"level {i % 7}" for i in range(60)],
            "same": [5] * 60,
        }
    )
    made = make(records, Features(numeric=("count", "extreme", "same"), categorical=("level",)), max_levels=3)
    assert set(made) == {"perturbed", "shuffled", "scaled"}
    mean = 2**60 + 3 * 29
    offsets = (made["scaled"]["count"] - mean).dropna().astype(float)
    assert 80 < offsets.abs().max() < 270  # a float would have lost the differences
    level = made["perturbed"]["level"]
    assert set(level[level != records["level"][level.index]]) == set(records["level"])
    assert all((frame["same"] == 5).all() for frame in made.values())
