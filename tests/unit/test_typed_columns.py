"""Whatever a driver hands over becomes the documented type, or an error that names the value."""

import re
from contextlib import nullcontext
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from jobs.reading.typed_columns import typed
from schemas.config import MonitorConfig
from schemas.errors import SourceError
from schemas.keys import MAX_ENTITY_LENGTH, MAX_KEY_LENGTH, dump_key
from schemas.tables import anomalies, batches, scores, trackers

BIG = 2**53 + 1


def column(values, kind="numeric"):
    monitor = MonitorConfig(table="t", key="id", **{kind: "x"})
    frame = pd.DataFrame({"id": range(len(values)), "x": pd.Series(values, dtype="object")})
    return typed(frame, "pump", monitor)["x"]


@pytest.mark.parametrize(
    ("values", "dtype", "expected"),
    [
        ([1, BIG], "int64", [1, BIG]),
        ([None, BIG], "Int64", [None, BIG]),
        ([1, 2.5], "float64", [1.0, 2.5]),
        ([Decimal("0.1"), None], "float64", [0.1, None]),
        ([Decimal("0.5"), 1.5], "float64", [0.5, 1.5]),
        ([float("inf"), 1], "float64", [float("inf"), 1.0]),
        ([2**70, 1], "float64", [2.0**70, 1.0]),
        ([True, False], "float64", [1.0, 0.0]),
        ([None, None], "float64", [None, None]),
        ([], "float64", []),
    ],
)
def test_numbers(values, dtype, expected):
    series = column(values)
    assert str(series.dtype) == dtype
    assert [None if pd.isna(value) else value for value in series] == expected


@pytest.mark.parametrize("values", [[True, None], [1, 0, None], [1.0, None], [None]])
def test_truth_values(values):
    series = column(values, "boolean")
    assert str(series.dtype) == "boolean"
    assert [None if pd.isna(value) else bool(value) for value in series] == [
        None if v is None else bool(v) for v in values
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("high", "high"),
        (3, "3"),
        (True, "True"),
        (Decimal("1.50"), "1.5"),
        (2.0, "2"),
        ("01", "01"),
        ("a\0b", "a\ufffdb"),
    ],
)
def test_categories(value, text):
    series = column([value, None], "categorical")
    assert str(series.dtype) == "str"
    assert series.iloc[0] == text
    assert pd.isna(series.iloc[1])


NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "value",
    [
        NOON,
        NOON.replace(tzinfo=None),
        NOON.astimezone(timezone(timedelta(hours=2))),
        "2026-01-01 12:00:00.000000",
        "2026-01-01T12:00:00Z",
        "2026-01-01T14:00+02:00",
    ],
)
def test_times(value):
    series = column([value, None], "timestamp")
    assert str(series.dtype) == "datetime64[us, UTC]"
    assert series.iloc[0] == NOON
    assert pd.isna(series.iloc[1])


def test_times_of_several_forms_in_one_column():
    series = column([NOON, "2026-01-01", date(2026, 1, 2)], "timestamp")
    assert series.dt.day.tolist() == [1, 1, 2]


@pytest.mark.parametrize(
    ("values", "kind", "message"),
    [
        ([1, "n/a"], "numeric", "a number.* key 1 holds 'n/a'"),
        (["1.5", None], "numeric", "a number.* key 0 holds '1.5'"),
        ([b"\x00"], "numeric", "a number"),
        ([1, 2], "boolean", "true or false.* key 1 holds 2"),
        (["yes"], "boolean", "holds 'yes'"),
        ([NOON, "soon"], "timestamp", "a time.* key 1 holds 'soon'"),
        ([1767225600], "timestamp", "a time.* holds 1767225600"),
    ],
)
def test_a_value_that_does_not_fit_is_named_with_its_key(values, kind, message):
    with pytest.raises(SourceError, match=message):
        column(values, kind)


def test_a_label_is_any_number_but_zero():
    monitor = MonitorConfig(table="t", key="id", numeric="x", label="y")
    frame = pd.DataFrame({"id": [1, 2, 3, 4], "x": 1.0, "y": pd.Series([0, 1, 2, None], dtype="object")})
    series = typed(frame, "pump", monitor)["y"]
    assert series.isna().tolist() == [False, False, False, True]
    assert series[:3].tolist() == [False, True, True]


def test_numpy_columns_pass_unchanged():
    monitor = MonitorConfig(table="t", key="id", numeric=["x", "y"])
    frame = pd.DataFrame({"id": [1], "x": np.float32([0.5]), "y": pd.array([None], dtype="Int32")})
    assert typed(frame, "pump", monitor).dtypes.astype(str).to_dict() == {"id": "int64", "x": "float64", "y": "Int64"}


def entities(names, **key):
    monitor = MonitorConfig(table="t", key="id", numeric="x", entity="pump")
    frame = pd.DataFrame({"id": pd.Series(key.get("key", range(len(names)))), "x": 1.0, "pump": names})
    return typed(frame, "pump_readings", monitor)


def test_the_limits_of_names_are_the_lengths_of_the_columns_of_the_store():
    columns = [anomalies.c.entity, scores.c.entity, trackers.c.entity]
    assert {column.type.length for column in columns} == {MAX_ENTITY_LENGTH}
    columns = [batches.c.after_key, batches.c.upto_key, anomalies.c.record_key, scores.c.record_key]
    assert {column.type.length for column in columns} == {MAX_KEY_LENGTH}


def test_an_entity_longer_than_the_store_holds_is_named_with_its_key():
    assert entities(["é" * 255, None])["pump"].isna().tolist() == [False, True]
    message = (
        "Column 'pump' of monitor 'pump_readings' should hold names of entities of at most 255 characters, but the "
        f"record with key 1 holds '{'é' * 79} (and so on). Correct the record, or take another column as `entity` in "
        "config.toml."
    )
    with pytest.raises(SourceError, match=f"^{re.escape(message)}$"):
        entities(["a", "é" * 256])


@pytest.mark.parametrize(
    ("key", "is_fit"), [("a" * 508, True), ("a" * 509, False), ('"' * 254, True), ('"' * 255, False)]
)
def test_a_key_longer_than_the_store_holds_is_refused(key, is_fit):
    expected = f"has {len(dump_key((key,)))} characters: {key[:80]} (and so on). The store holds 512. Choose a"
    with nullcontext() if is_fit else pytest.raises(SourceError, match=re.escape(expected)):
        assert entities(["a", "b"], key=["0", key])["id"].tolist() == ["0", key]


@pytest.mark.parametrize(
    ("value", "counts"), [("0001-12-31", False), ("0002-01-01", True), ("9998-12-31", True), ("9999-12-31", False)]
)
def test_times_at_the_ends_of_the_calendar_count_as_none(value, counts):
    assert column([value, "2026-01-01"], "timestamp").notna().tolist() == [counts, True]


@pytest.mark.parametrize(
    ("kind", "values", "kept", "reasons"),
    [
        ("numeric", ["", 3, None], [3, None], ["holds '', expected a number"]),
        ("numeric", [Decimal("1e400"), 1], [1], ["holds 1e+400, expected a number of at most 1.8e308"]),
        ("numeric", [-(10**400), 1], [1], [f"holds -1{'0' * 78} (and so on), expected a number of at most 1.8e308"]),
        ("numeric", [[1], 1.5, {}], [1.5], ["holds [1], expected a number", "holds {}, expected a number"]),
        ("boolean", [2, 1], [True], ["holds 2, expected true or false"]),
        ("timestamp", ["20000-01-01", ["x"]] + [None] * 60, [None] * 60, ["holds '20000-01-01', expected a time"]),
    ],
)
def test_records_with_values_that_do_not_fit_are_left_out_and_named(kind, values, kept, reasons):
    monitor = MonitorConfig(table="t", key="id", **{kind: "x"})
    frame = pd.DataFrame({"id": range(len(values)), "x": pd.Series(values, dtype="object")})
    left_out = []
    records = typed(frame, "pump", monitor, left_out)
    assert [None if pd.isna(value) else value for value in records["x"]] == kept
    assert [item.reason for item in left_out][: len(reasons)] == reasons
    assert [values[item.key[0]] for item in left_out] == [value for value in values if value not in [*kept, None]]


def test_nested_values_are_categories_by_their_text():
    values = [["a", "b"], {"x": 1}, None]
    assert column(values, "categorical").fillna("missing").tolist() == ["['a', 'b']", "{'x': 1}", "missing"]


def test_a_column_that_holds_other_values_throughout_is_an_error():
    monitor = MonitorConfig(table="t", key="id", numeric="x")
    frame = pd.DataFrame({"id": range(150), "x": pd.Series(["n/a"] * 150, dtype="object")})
    with pytest.raises(SourceError, match="should hold a number, but the record with key 0 holds 'n/a'"):
        typed(frame, "pump", monitor, [])
