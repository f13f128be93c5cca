"""What a watched table holds reaches a terminal as text, and programs as it stands."""

import pytest

from jobs.databases import open_engine
from jobs.store import Store
from schemas.config import load_config
from tests.flagged_rows import FlaggedRows
from tests.watched_table import MODEL
from tests.workspace import PUMP

HOSTILE = "ok\x1b]0;owned\x07\x1b[2J"
SEEN = r"ok\x1b]0;owned\x07\x1b[2J"
IN_JSON = r"ok\u001b]0;owned\u0007\u001b[2J"


@pytest.fixture
def flagged(workspace, now):
    """A flagged row whose entity and cause steer a terminal, and whose score is 0."""
    workspace.configure("sqlite:///plumbline.db", PUMP)
    workspace.must("migrate")
    engine = open_engine(load_config(workspace.folder / "config.toml", {}).store.url)
    store = Store(engine)
    store.models.add("pump", MODEL, now, promote=True)
    rows = FlaggedRows(store, "pump", now)
    row = rows.row(now, HOSTILE, score=0.0, share=0.0)
    (cause,) = row["attribution"]
    rows.write([row | {"record_key": HOSTILE, "attribution": [cause | {"value": HOSTILE}]}])
    engine.dispose()
    return workspace


@pytest.mark.parametrize("command", ["anomalies list", "anomalies show 1", "incidents list", "incidents show 1"])
def test_a_terminal_is_steered_by_no_value(flagged, command):
    out = flagged.must(*command.split()).out
    assert SEEN in out
    assert all(char.isprintable() or char == "\n" for char in out)
    assert IN_JSON in flagged.must(*command.split(), "--json").out


def test_a_row_with_a_score_of_zero_is_shown_without_parts_of_it(flagged):
    *_, cause, _ = flagged.must("anomalies", "show", "1").out.splitlines()
    assert cause.split() == ["flow", SEEN, "1", "2"]
