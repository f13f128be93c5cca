"""Records to the matrix and back."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.core.bins import LevelBins
from detector.records.encoder import Encoder, squash, unsquash
from detector.records.feature_types import CLIP, FEATURE_TYPES
from detector.records.feature_types.category import CategoryColumn
from schemas.config import MonitorConfig
from schemas.errors import MissingColumns, RecordsError
from schemas.frames import FORMS, Features
from tests.samples import FEATURES


def encode(values, kind="numeric", probe=None):
    """Return the matrix of a probe column, encoded as learned from other values."""
    encoder = Encoder.fit(pd.DataFrame({"a": values}), Features(**{kind: ("a",)}), max_levels=4)
    return encoder, encoder.encode(pd.DataFrame({"a": values if probe is None else probe}))


def test_a_number_is_standardised():
    _, matrix = encode(np.arange(100.0))
    assert matrix.standard.mean() == pytest.approx(0, abs=1e-6)
    assert matrix.standard.std() == pytest.approx(1, abs=1e-5)


def test_the_quantile_view_makes_nine_orders_of_magnitude_gaussian():
    values = 10.0 ** np.random.default_rng(0).uniform(0, 9, 5000)
    _, matrix = encode(values)
    assert abs(pd.Series(matrix.quantile[:, 0]).kurt()) < 0.2
    assert abs(pd.Series(matrix.standard[:, 0]).kurt()) > 1


def test_integers_beyond_two_to_the_53_keep_their_differences():
    values = pd.Series(2**60 + np.arange(100), dtype="int64")
    _, matrix = encode(values)
    assert np.unique(matrix.standard).size == 100


@pytest.mark.parametrize("value", [np.inf, -np.inf, 1e300])
def test_infinite_and_huge_values_are_as_far_out_as_anything_gets(value):
    _, matrix = encode(np.arange(100.0), probe=[value])
    assert abs(matrix.standard[0, 0]) == CLIP
    assert abs(matrix.quantile[0, 0]) == CLIP


def test_a_null_is_a_cell_of_its_own_if_training_had_nulls():
    values = np.where(np.arange(100) % 5 == 0, np.nan, np.arange(100.0))
    _, matrix = encode(values)
    assert matrix.standard.shape == (100, 2)
    assert matrix.missing[0].tolist() == [True, False]
    assert matrix.standard[0, 1] > matrix.standard[1, 1]
    assert not matrix.violations.any()


def test_a_null_is_a_violation_if_training_had_none():
    _, matrix = encode(np.arange(100.0), probe=[np.nan, 3.0])
    assert matrix.violations.tolist() == [1, 0]


def test_a_constant_has_no_cell_and_another_value_violates_it():
    records = pd.DataFrame({"a": np.arange(10.0), "k": 7.0})
    encoder = Encoder.fit(records, Features(numeric=("a", "k")), 4)
    matrix = encoder.encode(pd.DataFrame({"a": [1.0, 1.0], "k": [7.0, 8.0]}))
    assert matrix.standard.shape == (2, 1)
    assert matrix.violations.tolist() == [0, 1]


def test_a_third_value_of_a_flag_is_a_violation():
    _, matrix = encode(np.arange(100) % 2, probe=[0, 1, 5])
    assert matrix.violations.tolist() == [0, 0, 1]


def test_a_category_never_seen_is_a_violation_and_a_rare_one_is_not():
    values = ["a"] * 50 + ["b"] * 30 + ["c"] * 10 + ["d", "e", "f"]
    encoder, matrix = encode(values, "categorical", probe=["a", "e", "zebra"])
    assert encoder.columns[0].levels == ("a", "b", "c", "(rare)")
    assert matrix.violations.tolist() == [0, 0, 1]
    assert matrix.missing[2].all()


def test_more_levels_than_can_be_remembered_make_an_unseen_one_rare():
    values = [f"user-{i}" for i in range(10_001)]
    _, matrix = encode(values, "categorical", probe=["user-77", "nobody"])
    assert matrix.violations.tolist() == [0, 0]


def test_a_null_category_is_a_level():
    _, matrix = encode(pd.Series(["a", None, "b", "a"] * 10, dtype="str"), "categorical", probe=["a", None])
    assert not matrix.violations.any()
    assert (matrix.standard[0] != matrix.standard[1]).any()


def test_a_timestamp_is_its_time_of_day_and_week():
    times = pd.Series(pd.date_range("2026-01-05", periods=336, freq="30min", tz="UTC"))
    encoder, matrix = encode(times, "timestamp", probe=times + pd.Timedelta(weeks=3))
    same = encoder.encode(pd.DataFrame({"a": times}))
    np.testing.assert_allclose(matrix.standard, same.standard, atol=1e-5)
    assert encoder.decode(matrix.standard[[29]])["a"] == ["Mon 14:30"]


@given(st.lists(st.floats(-1e12, 1e12), min_size=3, max_size=50, unique=True))
def test_a_number_within_the_clip_decodes_to_itself(values):
    encoder, matrix = encode(values)
    decoded = np.array(encoder.decode(matrix.standard)["a"])
    within = np.abs(matrix.standard[:, 0]) < CLIP
    np.testing.assert_allclose(decoded[within], np.array(values)[within], rtol=1e-4, atol=np.ptp(values) * 1e-4)


@pytest.mark.parametrize(
    ("values", "low", "high"),
    [([0.0, 1.5, 2.0, 40.0] * 300, 0.0, 40.0), (np.array([2**60, 2**60 + 7, 2**60 + 9]), 2**60, 2**60 + 9)],
)
def test_a_number_is_decoded_to_nothing_that_training_did_not_span(values, low, high):
    encoder, _ = encode(values)
    decoded = encoder.decode(np.array([[-CLIP], [-3.0], [3.5], [CLIP]], dtype=np.float32))["a"]
    assert (decoded[0] - low, decoded[-1] - high) == pytest.approx((0, 0), abs=1e-12)
    assert decoded == sorted(decoded)


@given(st.floats(-CLIP, CLIP))
def test_unsquash_undoes_squash(value):
    assert unsquash(squash(np.array([value])))[0] == pytest.approx(value, abs=1e-9)


def test_the_state_survives_json(normal_records):
    encoder = Encoder.fit(normal_records, FEATURES, 4)
    again = Encoder.from_state(json.loads(json.dumps(encoder.to_state())), encoder.grids())
    before, after = encoder.encode(normal_records), again.encode(normal_records)
    np.testing.assert_array_equal(before.standard, after.standard)
    np.testing.assert_array_equal(before.quantile, after.quantile)


def test_encoding_does_not_depend_on_the_other_records(normal_records):
    encoder = Encoder.fit(normal_records, FEATURES, 4)
    whole, part = encoder.encode(normal_records), encoder.encode(normal_records.iloc[7:8])
    np.testing.assert_array_equal(whole.standard[7:8], part.standard)


def test_a_missing_column_is_named():
    encoder, _ = encode(np.arange(10.0))
    with pytest.raises(MissingColumns, match=r"lack the columns \['a'\]; received \['b'\]"):
        encoder.encode(pd.DataFrame({"b": [1.0]}))


def test_a_feature_that_is_always_null_is_refused():
    with pytest.raises(RecordsError, match=r"\['a'\] are null in all 10 training records"):
        encode(np.full(10, np.nan))


def test_features_that_are_all_constant_are_refused():
    with pytest.raises(RecordsError, match="Every feature is constant"):
        encode(np.full(10, 3.0))


def test_text_in_a_numeric_feature_is_refused():
    encoder, _ = encode(np.arange(10.0))
    with pytest.raises(RecordsError, match="'a' holds str values, expected number"):
        encoder.encode(pd.DataFrame({"a": ["high"]}))


def test_every_type_of_feature_can_be_configured_read_and_learned():
    types = list(Features().by_type())
    assert types == list(FEATURE_TYPES) == list(FORMS)
    assert set(types) <= MonitorConfig.model_fields.keys()


def test_a_model_that_learned_a_decimal_with_its_scale_reads_the_plain_number():
    column = CategoryColumn.fit("kind", pd.Series(["1.00", "2.50", "1.00", "01"]), 10)
    learned, plain = (column.encode(pd.Series(texts)) for texts in (["1.00", "2.50"], ["1", "2.5"]))
    assert (learned.standard == plain.standard).all()
    assert column.encode(pd.Series(["3", "02", "1"])).violations.tolist() == [1, 1, 0]
    constant = CategoryColumn.fit("kind", pd.Series(["1.00", "1.00"]), 10)
    assert constant.encode(pd.Series(["1.00", "1", "01"])).violations.tolist() == [0, 0, 1]


def test_drift_counts_a_number_in_one_bin_whatever_its_type():
    bins = LevelBins.of(pd.Series(["1.00", "2.00"]))
    assert bins.count(pd.Series(["1.00", "2.00", "x"])) == bins.count(pd.Series(["1", "2", "x"]))
