"""Output of commands cannot control a terminal, whatever watched tables hold."""

from datetime import UTC, datetime, timedelta

import pytest

from jobs import cli
from jobs.output import Output
from jobs.wording import shown

HOSTILE = "ok\x1b]0;owned\x07\x1b[2J"
SEEN = r"ok\x1b]0;owned\x07\x1b[2J"


@pytest.fixture
def out():
    return Output(is_json=False)


def test_cells_and_headers_of_tables_show_control_characters(out, capsys):
    out.table(["entity", "[/red] " + HOSTILE], [("é\n" + HOSTILE, 1.5), ("[/red]", 2.0)], "Title")
    printed = capsys.readouterr().out
    assert r"é\n" + SEEN in printed
    assert "[/red] " + SEEN in printed
    assert all(char.isprintable() or char == "\n" for char in printed)


def test_facts_and_sentences_show_control_characters(out, capsys):
    out.facts({"entity": HOSTILE + "\n", "seen": 1_000})
    out.line(f"two\nlines {HOSTILE}\r\u202e\x9b")
    fact = rf"entity  {SEEN}\n"
    assert capsys.readouterr().out == f"{fact}\nseen    1,000\ntwo\nlines {SEEN}\\r\\u202e\\x9b\n"


def test_errors_show_control_characters(capsys):
    assert cli.run(["status", "--config", HOSTILE]) == 2
    assert capsys.readouterr().err.startswith(f"Error: There is no configuration at {SEEN}. ")


def test_json_output_escapes_control_characters(capsys):
    out = Output(is_json=True)
    out.result({"entity": HOSTILE}, lambda: out.line("for people"))
    assert capsys.readouterr().out == '{\n  "entity": "ok\\u001b]0;owned\\u0007\\u001b[2J"\n}\n'


WHOLE_MINUTE = datetime(2026, 1, 5, 13, 39, tzinfo=UTC)
WIDE = ["id", "key", "time", "entity", "severity", "score / threshold", "incident", "muted", "cause", "value"]


def table_lines(out, capsys, columns, rows):
    out.table(columns, rows)
    return [line.rstrip() for line in capsys.readouterr().out.splitlines()]


def test_a_list_fits_100_columns_and_cuts_no_number(out, capsys):
    row = ("1234", '[17, "' + "a" * 60 + '"]', WHOLE_MINUTE + timedelta(seconds=1), "pump-12", 36, 12.34, "8", "yes")
    lines = table_lines(out, capsys, WIDE, [(*row, "vibration_mm_s", 9999.99)])
    assert max(map(len, lines)) <= 100
    text = "\n".join(lines)
    assert all(part in text for part in ("1234", "2026-01-05 13:39:01", "12.34", "9,999.99", "score /", "threshold"))


def test_empty_columns_are_left_out(out, capsys):
    lines = table_lines(out, capsys, ["key", "entity", "muted", "value"], [("a", None, "", 0.0), ("b", None, None, 1)])
    assert lines[1].split() == ["key", "value"]
    assert [line.split() for line in lines[3:5]] == [["a", "0"], ["b", "1"]]


def test_many_numbers_get_longer_lines_instead_of_being_cut(out, capsys):
    lines = table_lines(out, capsys, [f"z{i}" for i in range(30)], [[-1.23456] * 30])
    assert lines[3].split() == ["-1.235"] * 30


def test_wide_characters_and_accents_keep_columns_aligned(out, capsys):
    lines = table_lines(out, capsys, ["entity", "value"], [("水泵一号", 1), ("cafe\u0301", 2), ("pump", 3)])
    assert [line.rstrip() for line in lines[3:6]] == ["水泵一号      1", "cafe\u0301          2", "pump          3"]


def test_times_that_are_whole_minutes_have_no_seconds(out, capsys):
    lines = table_lines(out, capsys, ["from", "to"], [(WHOLE_MINUTE, WHOLE_MINUTE + timedelta(seconds=61))])
    assert lines[3] == "2026-01-05 13:39  2026-01-05 13:40:01"


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (9999.99, "9,999.99"),
        (-12_345_678.9, "-12,345,678.9"),
        (10_000.0, "10,000"),
        (123.456, "123.46"),
        (0.1 + 0.2, "0.3"),
        (0.000012345, "0.00001234"),
        (-3.5e-18, "0"),
        (-0.0, "0"),
        (2.5e-9, "2.5e-9"),
        (6.02214e23, "6.022e23"),
        (999_999.999, "1,000,000"),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
    ],
)
def test_numbers_read_as_people_write_them(number, text):
    assert shown(number) == text
