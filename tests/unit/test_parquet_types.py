"""Every type that a Parquet file can hold is read, or refused by name with the record and the value."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.importing.files import open_records
from schemas.errors import RecordsError

BEYOND = 400_000_000_000_000_000  # microseconds: the year 14645


def read(folder, values):
    pq.write_table(pa.table({"id": pa.array([7, 8, 9]), "x": values}), folder / "odd.parquet")
    records = open_records(folder / "odd.parquet")
    return [value for batch in records.batches(records.kinds) for value in batch["x"].to_pylist()]


@pytest.mark.parametrize("kind", [pa.timestamp("us"), pa.timestamp("us", "UTC"), pa.timestamp("ms")], ids=str)
def test_a_time_beyond_the_calendar_is_named_with_its_record(tmp_path, kind):
    unit = 1_000 if kind.unit == "ms" else 1
    sentence = r"Column 'x' of .* a time of the years 1 to 9999, but record 2 \(id = 8\) holds 14645-06-30"
    with pytest.raises(RecordsError, match=sentence):
        read(tmp_path, pa.array([0, BEYOND // unit, None], kind))


def test_an_integer_beyond_the_largest_is_named_with_its_record(tmp_path):
    with pytest.raises(RecordsError, match=r"Column 'x' of .* but record 2 \(id = 8\) holds 18446744073709551615"):
        read(tmp_path, pa.array([1, 2**64 - 1, None], pa.uint64()))


@pytest.mark.parametrize(
    "values",
    [
        pa.array([[1], [2], None]),
        pa.array([{"a": 1}, {"a": 2}, None]),
        pa.array([b"a", b"b", None]),
    ],
    ids=lambda values: str(values.type),
)
def test_a_type_that_no_column_has_is_left_out_by_name(tmp_path, values):
    pq.write_table(pa.table({"id": [7, 8, 9], "x": values}), tmp_path / "odd.parquet")
    records = open_records(tmp_path / "odd.parquet")
    assert list(records.kinds) == ["id"]
    assert records.remarks[0].startswith("Left out of odd.parquet: 'x' ")
    pq.write_table(pa.table({"x": values}), tmp_path / "odd.parquet")
    with pytest.raises(RecordsError, match="holds no column to import. Left out of .* Convert one of them"):
        open_records(tmp_path / "odd.parquet")


def test_a_duration_is_read_in_seconds(tmp_path):
    assert read(tmp_path, pa.array([1_500_000, 2, None], pa.duration("us"))) == [1.5, 2e-6, None]


def test_codes_of_a_dictionary_and_half_floats_are_read(tmp_path):
    assert read(tmp_path, pa.array(["a", "b", None]).dictionary_encode()) == ["a", "b", None]
    assert read(tmp_path, pa.array([1.5, 2, None], pa.float16())) == [1.5, 2.0, None]
