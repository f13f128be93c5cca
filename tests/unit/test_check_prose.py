"""scripts/check_prose.py reports wording that the rules of English rule out, and nothing else."""

import sys

import pytest

from scripts import check_prose
from scripts.check_prose import blocks_of, main, problems_of, rates

WRONG = [
    "Return the champion; None where there is none.",
    "Raises: RecordsError: where the table is empty.",
    "A batch is done where it was counted.",
    "Where a monitor has a time column, the latest records calibrate.",
    "the store's where absent",
    "`status` says how many are open.",
    "The answer tells the caller.",
    "The job asks for a training.",
    "The store knows nothing.",
    "Argparse wants a type.",
    "It is not scored any more.",
    "The batch is scored anew.",
    "The model beside simple peers.",
    "Names and addresses of those.",
    "Write what was found.",
]
RIGHT = [
    "The folder where it was installed.",
    "Ordered as (distance, position), where the distance is float32.",
    "Where alerts go.",
    "It goes on from where it is.",
    "See where the results are.",
    "Return the champion, or None if there is none.",
    "Are there any more records?",
    "Two peaks are told apart.",
    "The names of those records.",
    "Write to a user who wants it.",
]


@pytest.fixture
def problems(tmp_path):
    """Return the place of each problem in the text of a file."""

    def check(text, name="page.md"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return [problem.line for block in blocks_of(path) for problem in problems_of(block)]

    return check


@pytest.mark.parametrize("sentence", WRONG)
def test_wording_that_the_rules_rule_out_is_reported(problems, sentence):
    assert problems(sentence) != []


@pytest.mark.parametrize("sentence", RIGHT)
def test_other_wording_is_not_reported(problems, sentence):
    assert problems(sentence) == []


def test_docstrings_and_comments_are_read_across_lines_and_strings_are_not(problems):
    code = '"""Good."""\n\nX = "scored anew"\n\n# it is not scored any\n# more.\n'
    function = 'def f():\n    """Run.\n\n    None where\n    absent."""\n'
    assert sorted(set(problems(code + function, "module.py"))) == [5, 10]


def test_code_in_markdown_is_not_read(problems):
    assert problems("Good.\n```\nscored anew\n```\n`anew`\nscored anew\n") == [6]


def test_the_command_prints_problems_and_rates(tmp_path, monkeypatch, capsys):
    (tmp_path / "module.py").write_text('"""Scored anew if late, or when asked."""\n', encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["check_prose", "--stats", str(tmp_path)])
    assert main() == 1
    problem, statistics = capsys.readouterr().out.splitlines()
    assert problem.endswith("module.py:1: 'anew': write 'again', or the verb with 're-'")
    assert statistics == "7 words; per 1,000: where 0.0, if 142.9, when 142.9"


def test_no_words_have_no_rate():
    assert rates([]) == "0 words; per 1,000: where 0.0, if 0.0, when 0.0"


def test_every_checked_path_exists():
    assert [name for name in check_prose.CHECKED_PATHS if not (check_prose.ROOT / name).exists()] == []
