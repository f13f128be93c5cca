"""Output of commands cannot control a terminal, whatever watched tables hold."""

import pytest

from jobs import cli
from jobs.output import Output

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
