"""`plumbline status` fits a terminal, reports failures, and has complete JSON output."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import insert, update

from jobs.app import open_store
from jobs.databases import open_engine, writing
from jobs.store import Worker
from jobs.store.events import NewEvent
from schemas import tables
from schemas.config import load_config
from tests.watched_table import MODEL
from tests.workspace import PUMP, Workspace

CONFIG = f"""\
[store]
url = "sqlite:///plumbline.db"

[monitors.pump]
{PUMP}
[monitors.a_boiler_with_name]
table = "boiler"
key = "id"
numeric = "heat"
"""


@pytest.fixture
def watched(tmp_path):
    """Two monitors, one of them with records, runs, events and a served schedule."""
    workspace = Workspace(tmp_path)
    (tmp_path / "config.toml").write_text(CONFIG)
    workspace.must("migrate")
    engine = open_engine(load_config(tmp_path / "config.toml", {}).store.url)
    now = datetime.now(UTC)
    store = open_store(engine)
    store.models.add("pump", MODEL, now, promote=True)
    fill(store, now)
    yield workspace
    engine.dispose()


def fill(store, now):
    pump, hour = {"monitor": "pump"}, now.replace(minute=0, second=0, microsecond=0)
    batch = pump | {"after_key": "", "upto_key": "[9]", "state": "done", "planned_at": now, "records": 4_000}
    with writing(store.engine) as connection:
        connection.execute(insert(tables.batches).values(batch | {"late_records": 12}))
        hours = pump | {"batch_id": 1, "hour": hour, "records": 1_500, "anomalies": 15}
        connection.execute(insert(tables.batch_hours).values(hours))
        marks = {"scored_until": now - timedelta(hours=5), "too_late_records": 3}
        connection.execute(update(tables.monitors).values(marks))
    run = store.runs.start("pump", "score", now - timedelta(hours=4))
    store.runs.finish(run, "failed", "The table has gone.", None, now - timedelta(hours=3))
    store.events.open(NewEvent("gap", "Silent.", "pump", since=now - timedelta(hours=2)), now)
    store.events.add(NewEvent("missed_run", "Late.", "pump"), now)
    store.workers.record_heartbeat(Worker("a", "host", 1, "1.0", now), {"pump": now + timedelta(hours=5)}, now)


def test_the_tables_fit_in_a_hundred_columns(watched):
    out = watched.must("status").out
    assert max(map(len, out.splitlines())) <= 100
    cells = [line.split() for line in out.splitlines()]
    ran = ["failed", "3", "h", "ago", "in", "5", "h"]
    assert ["pump", "model", "1", "4,000", "12", "0", "5", "h", *ran] in cells
    assert ["pump", "1,500", "15", "1.00%", "1.00%", "0", "0", "0"] in cells
    assert ["a_boiler_with_name", "none", "0", "0", "0", "none", "not", "served"] in cells


def test_a_monitor_that_is_never_scored_has_no_schedule(watched):
    (watched.folder / "config.toml").write_text(CONFIG + 'score_every = "never"\n')
    cells = [line.split() for line in watched.must("status").out.splitlines()]
    assert ["a_boiler_with_name", "none", "0", "0", "0", "none", "no", "schedule"] in cells


def test_failures_and_ongoing_events_are_listed(watched):
    notes = watched.must("status").out.splitlines()
    assert "pump: score failed 3 h ago: The table has gone." in notes
    assert "pump: 3 records came too late to be scored" in notes
    assert any(line.startswith("pump: gap since 20") for line in notes)
    assert "pump: events of the last day: 1 gap, 1 missed run, 1 promoted" in notes


def test_the_json_output_is_complete(watched):
    pump, boiler = json.loads(watched.must("status", "--json").out)
    assert (pump["records"], pump["late_records"], pump["too_late_records"]) == (4_000, 12, 3)
    assert pump["last_day"] == {"records": 1_500, "anomalies": 15, "confirmed": 0, "realised_rate_at_most": 0.01}
    assert (pump["last_runs"]["score"]["outcome"], pump["false_positive_rate"]) == ("failed", 0.01)
    assert pump["lag_seconds"] >= 5 * 3600
    assert (boiler["champion_id"], boiler["next_run"], boiler["events_of_last_day"]) == (None, None, {})


def test_without_monitors_the_output_names_the_next_step(watched):
    (watched.folder / "config.toml").write_text('[store]\nurl = "sqlite:///plumbline.db"\n')
    assert "plumbline init" in watched.must("status").out
