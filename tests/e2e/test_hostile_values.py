"""Values of a watched table are escaped for terminals, and unchanged in JSON."""

import pytest

from jobs.app import open_store
from jobs.databases import open_engine
from schemas.config import load_config
from tests.flagged_rows import FlaggedRows
from tests.watched_table import MODEL
from tests.workspace import PUMP

HOSTILE = "ok\x1b]0;owned\x07\x1b[2J"
SEEN = r"ok\x1b]0;owned\x07\x1b[2J"
IN_JSON = r"ok\u001b]0;owned\u0007\u001b[2J"


@pytest.fixture
def flagged(workspace, now):
    """A flagged row with control characters in entity and cause, and with score 0."""
    workspace.configure("sqlite:///plumbline.db", PUMP)
    workspace.must("migrate")
    engine = open_engine(load_config(workspace.folder / "config.toml", {}).store.url)
    store = open_store(engine)
    store.models.add("pump", MODEL, now, promote=True)
    rows = FlaggedRows(store, "pump", now)
    row = rows.row(now, HOSTILE, score=0.0, share=0.0)
    (cause,) = row["attribution"]
    rows.write([row | {"record_key": HOSTILE, "attribution": [cause | {"value": HOSTILE}]}])
    engine.dispose()
    return workspace


@pytest.mark.parametrize("command", ["anomalies list", "anomalies show 1", "incidents list", "incidents show 1"])
def test_no_value_controls_the_terminal(flagged, command):
    out = flagged.must(*command.split()).out
    assert (SEEN if "show" in command else "ok\\x") in out  # a narrow column of a list folds the rest
    assert all(char.isprintable() or char == "\n" for char in out)
    assert IN_JSON in flagged.must(*command.split(), "--json").out


def test_a_row_with_score_zero_is_shown_without_relative_shares(flagged):
    *_, cause, _ = flagged.must("anomalies", "show", "1").out.splitlines()
    assert cause.split() == ["flow", SEEN, "1", "2"]
