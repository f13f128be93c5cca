"""A condition in SQL reads a text as the same time as the reader of records, or both read none."""

from itertools import product

import pandas as pd
import pytest

from jobs.dialects.time_texts import julian_day, read_times

DATES = [
    "2026-11-28",
    "2026/11/28",
    "2026.11.28",
    "20261128",
    "2026-11",
    "2026",
    "2026-1-2",
    "2026-02-30",
    "28.11.2026",
]
TIMES = [
    "",
    " 06:39",
    "T06:39:00",
    " 063900",
    "T06",
    " 6:39:00",
    "T06:39:00.5",
    " 06:39:00.123456",
    " 24:00:00",
    " 06:39:60",
]
ZONES = ["", "Z", "+02:00", "+0200", "-05", " +02:00", " UTC"]
OTHERS = ["", "now", "today", "12:00", "nan", "1764311940", "1764311940000", "2461372.5", " 2026-11-28", "0000-00-00"]
TEXTS = ["".join(parts) for parts in product(DATES, TIMES, ZONES)] + OTHERS


def test_both_readers_agree_on_every_text():
    times = read_times(pd.Series(TEXTS, dtype="object"))
    julian = times.map(lambda time: None if pd.isna(time) else time.to_julian_date())
    days = pd.Series([julian_day(value) for value in TEXTS], dtype="float64")
    assert times.notna().sum() > 100
    differing = [value for value, is_same in zip(TEXTS, julian.notna() == days.notna(), strict=True) if not is_same]
    assert differing == []
    assert (julian.astype("float64") - days).abs().max() < 1e-8


@pytest.mark.parametrize("value", [None, 1764311940, 1764311940.5, b"2026-11-28", True])
def test_a_value_that_is_no_text_is_no_time(value):
    assert julian_day(value) is None
