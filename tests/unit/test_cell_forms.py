"""A column of a CSV file gets a type that loses nothing, and what is not plain about it is reported."""

from datetime import UTC, datetime

import pyarrow as pa
import pytest

from jobs.importing import cell_forms, files
from jobs.importing.cell_forms import BOOLEAN, DECIMAL, INTEGER, NAIVE_TIME, TEXT
from schemas.errors import RecordsError


@pytest.fixture
def column(tmp_path):
    """Return a function that writes a file with a column `a` and returns the column's type, values and note."""

    def read(*cells, delimiter=",", others=""):
        path = tmp_path / "records.csv"
        lines = [f"{i}{delimiter}{cell}{others and delimiter + others}" for i, cell in enumerate(cells)]
        header = f"id{delimiter}a" + (f"{delimiter}b" if others else "")
        path.write_text("\n".join([header, *lines]) + "\n")
        records = files.open_records(path)
        kinds = {"a": cell_forms.TIME if records.kinds["a"] == NAIVE_TIME else records.kinds["a"]}
        values = [value for batch in records.batches(kinds) for value in batch["a"].to_pylist()]
        return records.kinds["a"], values, "; ".join(records.notes.get("a", ()))

    return read


@pytest.mark.parametrize("marker", ["NA", "NULL", "nan", "N/A", "None"])
@pytest.mark.parametrize("quote", ["", '"'])
def test_a_marker_of_a_missing_value_is_a_text_among_texts(column, marker, quote):
    assert column(f"{quote}{marker}{quote}", "DE") == (TEXT, [marker, "DE"], "")


@pytest.mark.parametrize("marker", ["NA", "NULL", "nan", "N/A", "-", "?"])
@pytest.mark.parametrize(
    ("cell", "kind"), [("1", INTEGER), ("1.5", DECIMAL), ("true", BOOLEAN), ("2026-01-31", NAIVE_TIME)]
)
def test_a_marker_among_other_values_is_null_and_reported(column, marker, cell, kind):
    found, values, note = column(cell, marker, cell, marker)
    assert (found, values[1], values[3]) == (kind, None, None)
    assert note == f"2 cells such as {marker!r} read as null"


def test_a_column_of_nothing_but_markers_keeps_them_and_fits_any_column(column, tmp_path):
    assert column("NA", "NA") == (TEXT, ["NA", "NA"], "")
    assert files.open_records(tmp_path / "records.csv").blank == {"a"}


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_decimal_commas_are_read_if_the_delimiter_is_no_comma(column, delimiter):
    expected = (DECIMAL, [12.5, 1234.5, -3.0, 1200.0], "decimal commas")
    assert column("12,5", "1.234,5", "-3", "1,2e3", delimiter=delimiter) == expected


def test_dots_separate_thousands_in_a_file_with_decimal_commas(column):
    assert column("1.234", "12.500", delimiter=";", others="0,5")[1] == [1234.0, 12500.0]
    assert column("1.234", "12.5", delimiter=";", others="0,5")[1] == [1.234, 12.5]
    assert column("1.234", "12.500", delimiter=";", others="x")[1] == [1.234, 12.5]


def test_commas_between_thousands_are_read_if_they_can_be_nothing_else(column):
    assert column('"1,234.50"', "12")[:2] == (DECIMAL, [1234.5, 12.0])
    assert column('"1,234"', "12") == (TEXT, ["1,234", "12"], "texts that look like numbers, such as '1,234'")


@pytest.mark.parametrize("delimiter", ["\t", "|"])
def test_commas_separate_thousands_in_a_file_with_decimal_dots(column, delimiter):
    assert column("1,234", "999", delimiter=delimiter, others="3.5")[1] == [1234.0, 999.0]
    assert column("3.500", "0.125", delimiter=delimiter, others="1,234")[1] == [3.5, 0.125]
    assert column("$1,234", "$999", delimiter=delimiter)[1] == [1234.0, 999.0]


def test_a_comma_with_two_meanings_is_read_by_the_other_columns_or_not_at_all(column):
    note = "kept as text, since the comma in '1,234' may separate decimals or thousands"
    assert column("999", "1,234", delimiter="\t") == (TEXT, ["999", "1,234"], note)
    assert column("999", "1,234", delimiter=";", others="3.5") == (TEXT, ["999", "1,234"], note)
    assert column("1,234", "2,5", delimiter="\t", others="1.234")[1] == [1.234, 2.5]
    assert column("1,234", "12,345", delimiter=";")[1] == [1.234, 12.345]
    assert column('"45,125 %"')[0] == TEXT


def test_a_ragged_line_is_named_in_a_file_that_names_its_delimiter(tmp_path):
    (tmp_path / "r.csv").write_text("sep=;\na;b;c\n1;2;3\n1;2\n")
    with pytest.raises(RecordsError, match="Line 4 of .* has 2 cells, expected 3"):
        files.open_records(tmp_path / "r.csv")


@pytest.mark.parametrize(
    ("cells", "numbers", "note"),
    [
        (("$1,234.50", "-$3", "($1,000)"), [1234.5, -3.0, -1000.0], "numbers in $, commas between thousands"),
        (("1.234,50 €", "5 €", "NA"), [1234.5, 5.0, None], "numbers in €, decimal commas; 1 cell such as 'NA' read"),
        (("23.5°C", "-2.0°C"), [23.5, -2.0], "numbers in °C"),
        (("12.5 kg", "13 kg"), [12.5, 13.0], "numbers in kg"),
        (("7", "-1\u202f234,5", "(2 000)"), [7.0, -1234.5, -2000.0], "numbers with gaps between thousands"),
    ],
)
def test_numbers_with_one_unit_are_read(column, cells, numbers, note):
    kind, values, found = column(*cells, delimiter=";")
    assert (kind, values) == (DECIMAL, numbers)
    assert found.startswith(note)


@pytest.mark.parametrize(
    "cells",
    [
        ("12.5 kg", "13 lb"),
        ("$5", "5"),
        ("12B", "14B"),
        ("$5 €", "$6 €"),
        ("5.5 kg", "07 kg"),
        ("0 123 456", "0 234 567"),
    ],
)
def test_numbers_with_several_units_or_none_for_certain_stay_texts(column, cells):
    assert column(*cells)[:2] == (TEXT, list(cells))


@pytest.mark.parametrize("mark", [";", "\t"])
def test_a_first_line_for_spreadsheets_names_the_delimiter(tmp_path, mark):
    (tmp_path / "r.csv").write_text(f"sep={mark}\r\nid{mark}a,b\r\n1{mark}2.5\r\n", encoding="utf-8-sig")
    assert files.open_records(tmp_path / "r.csv").kinds == {"id": INTEGER, "a,b": DECIMAL}


@pytest.mark.parametrize("code", ["+491701234567", "+49 170 123", "+49", "1E5", "12e10", "00123", "0x1F"])
def test_codes_that_a_number_would_change_are_texts(column, code):
    assert column("200", code) == (TEXT, ["200", code], f"kept as text, since a number would change {code!r}")


@pytest.mark.parametrize("number", ["+5", "1E5"])
def test_signs_and_exponents_are_numbers_among_measurements(column, number):
    assert column("-0.5", number)[:2] == (DECIMAL, [-0.5, float(number)])


@pytest.mark.parametrize("number", ["12345678901234567890", "9007199254740993", "12345678901234567.89"])
def test_digits_that_a_double_cannot_hold_stay_texts(column, number):
    note = f"kept as text, since a double cannot hold the digits of {number!r}"
    assert column("0.5", number) == (TEXT, ["0.5", number], note)


def test_whole_numbers_of_64_bits_and_exact_doubles_are_numbers(column):
    assert column("9007199254740993", "5")[:2] == (INTEGER, [9007199254740993, 5])
    assert column("100000000000000000000", "0.5")[:2] == (DECIMAL, [1e20, 0.5])


@pytest.mark.parametrize(
    "cell",
    [
        "28.11.2026 6:39",
        "28/11/2026 06:39:00",
        "11/28/2026 06:39",
        "2026/11/28 06:39:00",
        "2026/11/28 6:39",
        "20261128T063900",
        "2026-11-28 06:39:00.000000999",
        "2026-11-28T06:39:00Z",
    ],
)
def test_usual_forms_of_times_are_read(column, cell):
    _, values, _ = column(cell)
    assert [value.astimezone(UTC) for value in values] == [datetime(2026, 11, 28, 6, 39, tzinfo=UTC)]


def test_days_and_months_that_may_be_exchanged_stay_texts(column):
    kind, values, note = column("01/02/2026", "03/04/2026")
    assert (kind, values) == (TEXT, ["01/02/2026", "03/04/2026"])
    assert note == "kept as text, since '01/02/2026' may begin with the day or the month"


@pytest.mark.parametrize(
    ("cells", "note"),
    [
        (("12B", "14B"), "texts that look like numbers, such as '12B'"),
        (('"12,5"', '"13,1"'), "texts that look like numbers, such as '12,5'"),
        ([*map(str, range(100, 130)), "broken"], "texts that look like numbers, such as '100', among others such as"),
        (("11-28-2026 06:39", "11-29-2026 06:39"), "texts that look like times"),
        (("A12", "B7"), ""),
    ],
)
def test_a_text_that_looks_like_a_number_or_a_time_is_reported(column, cells, note):
    assert column(*cells)[2].startswith(note)
    assert bool(column(*cells)[2]) == bool(note)


def test_a_column_is_read_alike_however_the_file_is_cut_into_blocks(column, monkeypatch):
    cells = ["1"] * 60 + ["NA", "+49", "-1.5"] + ["true"] * 60
    whole = column(*cells)
    monkeypatch.setattr(files, "_BLOCK_BYTES", 64)
    assert column(*cells) == whole
    assert whole[0] == TEXT


def test_parquet_columns_have_no_notes(tmp_path):
    pa.parquet.write_table(pa.table({"a": ["NA", "x"]}), tmp_path / "r.parquet")
    assert files.open_records(tmp_path / "r.parquet").notes == {}


@pytest.mark.parametrize(("day", "note"), [("1/31/2026", "month/day/year"), ("2026-01-31", "")])
def test_a_time_with_am_or_pm_is_read_by_its_half_of_the_day(column, day, note):
    times = {"12:05 AM": 0, "1:05 am": 1, "11:05AM": 11, "12:05 PM": 12, "01:05 PM": 13, "11:05pm": 23}
    hours = [datetime(2026, 1, 31, hour, 5, tzinfo=UTC) for hour in times.values()]
    assert column(*(f"{day} {time}" for time in times)) == (NAIVE_TIME, hours, note)
    assert column(f"{day} 13:05 PM")[0] == TEXT
