"""JSON records become the same columns as records of a source."""

import json
from datetime import UTC, datetime

import pandas as pd
import pytest

from jobs.api.problems import UnfitRecords
from jobs.api.scoring import to_frame
from schemas.frames import Features
from tests.samples import FEATURES, make_records


def column(kind, *values):
    return to_frame("pump", Features(**{kind: ("x",)}), [{"x": value} for value in values])["x"]


def test_records_sent_as_json_are_the_records():
    records = make_records(50)
    sent = json.loads(records.to_json(orient="records", date_format="iso", double_precision=15))
    pd.testing.assert_frame_equal(to_frame("pump", FEATURES, sent), records[list(FEATURES.names)], rtol=1e-12)


def test_whole_numbers_stay_exact_in_columns_with_nulls():
    values = column("numeric", 2**53 + 1, None, -(2**63))
    assert (str(values.dtype), values[0], values[2]) == ("Int64", 2**53 + 1, -(2**63))


@pytest.mark.parametrize("values", [(1, 2.5), (2**63, 1), (None, None)])
def test_other_numbers_are_floats(values):
    assert column("numeric", *values).dtype == "float64"


def test_a_category_that_is_a_number_is_its_text():
    assert column("categorical", 3, "3", None).tolist()[:2] == ["3", "3"]


def test_times_are_in_utc_and_end_with_the_calendar():
    values = column("timestamp", "2026-03-01 12:00", "2026-03-01T12:00:00+02:00", "0001-01-01T00:00:00+10:00")
    times = [datetime(2026, 3, 1, hour, tzinfo=UTC) for hour in (12, 10)] + [datetime.min.replace(tzinfo=UTC)]
    assert values.dt.to_pydatetime().tolist() == times


@pytest.mark.parametrize(
    "text", ["2026-02-30T00:00:00Z", "2026-03-01T25:00:00Z", "2026-03-01T12:00:00+24:00", "1e9", ""]
)
def test_what_is_no_time_is_refused(text):
    with pytest.raises(UnfitRecords, match="1 invalid value"):
        column("timestamp", text)
