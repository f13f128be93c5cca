"""Every kind of event has one meaning, which docs/events.md shows and alerts follow."""

import ast
import re
from typing import get_args

import pytest

from jobs.store.event_kinds import EVENT_KINDS, EventKind, Recipients
from tests.workspace import ROOT

PAGE = (ROOT / "docs" / "events.md").read_text(encoding="utf-8")


def recorded_kinds():
    """Return the kind of each event that the code records."""
    calls = (
        node
        for path in (ROOT / "jobs").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "NewEvent"
    )
    return {call.args[0].value for call in calls if isinstance(call.args[0], ast.Constant)}


def test_each_kind_that_is_recorded_has_a_meaning_and_no_other():
    assert tuple(EVENT_KINDS) == get_args(EventKind)
    assert recorded_kinds() == set(EVENT_KINDS)
    assert max(map(len, EVENT_KINDS)) <= 24  # characters of the column


@pytest.mark.parametrize(("kind", "meaning"), EVENT_KINDS.items())
def test_an_event_that_nobody_is_alerted_of_is_a_decision_with_a_reason(kind, meaning):
    assert meaning.recipients in get_args(Recipients)
    assert bool(meaning.decision) == (meaning.recipients == "nobody")


def test_the_page_shows_the_table():
    rows = re.findall(r"^\| `(\w+)` \| (.*) \| (.*) \| (.*) \|$", PAGE, re.MULTILINE)
    expected = [
        (kind, item.cause, f"{item.recipients}: {item.decision}" if item.decision else item.recipients, item.end)
        for kind, item in EVENT_KINDS.items()
    ]
    assert rows == expected
