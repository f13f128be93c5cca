"""`plumbline serve` reports a pump that stopped, and the incidents that are too old, to a real channel."""

import json

import pytest

from tests.alert_receiver import receiving
from tests.e2e.serve_process import serving
from tests.workspace import PUMP, RECORDS, SMALL_MODEL

LAST_OF_B = 599


@pytest.fixture
def server(plant):
    """A channel of a plant whose pump b stopped, and which has no scored records."""
    for table in ("alerts", "events", "anomalies", "batch_hours", "batch_profiles", "batches", "incidents", "monitors"):
        plant.query(f"DELETE FROM {table}")
    plant.query("DELETE FROM entity_rhythms")
    plant.query("UPDATE pump_readings SET pump = 'a' WHERE id > :last", last=LAST_OF_B)
    with receiving() as server:
        channels = f'[service]\napi = false\nlog = "json"\n[alerts.channels]\nops = "{server.address}"\n'
        monitor = f'[monitors.pump]\n{PUMP}score_every = "1s"\ngap_after = "9000d"\n'
        text = f'[store]\nurl = "{plant.url}"\n{channels}{monitor}[monitors.pump.model]\n{SMALL_MODEL}\n'
        (plant.folder / "config.toml").write_text(text, encoding="utf-8")
        yield server


def test_a_pump_that_stopped_and_old_incidents_reach_the_channel_once(plant, server):
    with serving(plant) as process:
        process.until(lambda: len(server.received) >= 2)
        runs = plant.query("SELECT count(*) FROM runs")[0][0]
        process.until(lambda: plant.query("SELECT count(*) FROM runs")[0][0] > runs + 3)
    bodies = {body["title"]: body["message"] for body in server.received}
    assert len(server.received) == 2
    assert sorted(bodies) == ["pump, b: silent", "pump: not announced"]
    assert "Entity 'b' of monitor 'pump' has sent nothing since 2026-01-05 09:58:00 UTC" in bodies["pump, b: silent"]
    assert "were not announced because they ended more than 1d ago." in bodies["pump: not announced"]
    assert "pump: 1 silent entity: b since 2026-01-05 09:58:00 UTC" in plant.must("status").out
    assert [row["name"] for row in json.loads(plant.must("entities", "list", "pump", "--json").out)] == ["a", "b"]

    plant.must("entities", "retire", "pump", "b")
    assert "silent entity" not in plant.must("status").out
    assert "retired" in plant.must("entities", "list", "pump").out
    assert "watched again" in plant.must("entities", "watch", "pump", "b").out
    refused = plant.plumbline("entities", "retire", "pump", "pump-77")
    assert (refused.code, "has no entity 'pump-77'" in refused.err) == (2, True)
    assert plant.query("SELECT count(*) FROM pump_readings") == [(RECORDS,)]
