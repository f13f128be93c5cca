"""Features that move with time or key are named, with advice, and steady features are not."""

import numpy as np
import pandas as pd
import pytest

from jobs.realised_rate import rate_sentence
from jobs.unsteady_features import unsteady_features
from schemas.config import MonitorConfig

N = 1000


@pytest.fixture
def records():
    """Return records in order of key and time."""
    rng = np.random.default_rng(0)
    days = pd.date_range("2024-01-01", periods=N, freq="D", tz="UTC")
    return pd.DataFrame(
        {
            "id": np.arange(N),
            "at": days,
            "machine": np.tile(list("abcd"), N // 4),
            "steady": rng.normal(size=N),
            "year": days.year,
            "counter": np.arange(N) // 4 + 1000 * np.tile([3, 0, 2, 1], N // 4),
            "number": rng.permutation(N) + 5000,
            "constant": 1.5,
            "shifted": rng.normal(size=N) + 3 * (np.arange(N) > 0.8 * N),
            "name": [f"record {place}" for place in range(N)],
            "mode": rng.choice(["low", "high"], N),
            "firmware": np.where(np.arange(N) > 0.85 * N, "2.0", "1.0"),
        }
    )


def unsteady(records, **settings):
    given = {"table": "t", "key": "id", "numeric": (), **settings}
    return unsteady_features(records, MonitorConfig(**given))


def test_numbers_that_move_are_named_with_how_they_move(records):
    names = ("steady", "year", "number", "constant", "shifted")
    warnings = unsteady(records, time="at", numeric=names)
    assert list(warnings) == ["year", "number", "constant", "shifted"]
    assert "'year' rises with the time 'at'" in warnings["year"]
    assert "Many more than 1.00% of normal records may be flagged" in warnings["year"]
    assert "different in nearly every record" in warnings["number"]
    assert "has one value in all normal records" in warnings["constant"]
    assert "in the newest fifth" in warnings["shifted"]


def test_categories_that_move_are_named(records):
    warnings = unsteady(records, time="at", categorical=("mode", "name", "firmware"))
    assert list(warnings) == ["name", "firmware"]


def test_a_counter_of_each_machine_is_named(records):
    assert "rises" not in unsteady(records, time="at", numeric=("counter",))["counter"]
    assert "rises" in unsteady(records, time="at", entity="machine", numeric=("counter",))["counter"]


def test_without_a_time_the_key_is_the_order(records):
    assert "falls with the key" in unsteady(records.iloc[::-1], numeric=("year",))["year"]


def test_few_records_have_no_warnings(records):
    assert unsteady(records.head(30), time="at", numeric=("number", "constant")) == {}


def test_a_rate_near_the_configured_one_is_not_reported():
    assert rate_sentence(3000, 55, 0.01, {"flow": 55}) is None
    assert rate_sentence(100, 4, 0.01, {"flow": 4}) is None


def test_too_few_flagged_records_are_reported():
    assert "fewer than the configured rate of 1.00%" in rate_sentence(3000, 2, 0.01, {})


def test_the_features_behind_too_many_flagged_records_are_named():
    sentence = rate_sentence(3000, 300, 0.01, {"year": 200, "number": 90, "flow": 10})
    assert "10.00% of the records are flagged, 10.0 times the configured rate of 1.00%." in sentence
    assert sentence.endswith("The main causes: 'year' (66.67% of them), 'number' (30.00% of them).")
