"""Incidents, labels and alerts on the command line."""

import os
from contextlib import nullcontext
from datetime import UTC, datetime

import pytest
from pydantic import SecretStr

from jobs.alerting import deliver_alerts
from jobs.app import open_store
from jobs.databases import open_engine
from schemas.config import load_config
from tests.alert_receiver import receiving
from tests.workspace import FAULTS, PUMP, Workspace, readings

MONITOR = PUMP + 'incident_gap = "60m"\ngap_after = "9000d"\nalert = { newest = "9000d" }\n'


@pytest.fixture(scope="module")
def channel():
    with receiving() as server:
        yield server


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def plant(request, tmp_path_factory, channel):
    """A scored pump whose alerts were sent to the channel."""
    plant = Workspace(tmp_path_factory.mktemp("plant"))
    readings().to_csv(plant.folder / "readings.csv", index=False)
    is_sqlite = request.param == "sqlite"
    here = nullcontext(SecretStr("sqlite:///plumbline.db"))
    with here if is_sqlite else request.getfixturevalue("empty_database")() as url:
        configure(plant, url.get_secret_value(), channel)
        for command in ("migrate", "import readings.csv --table pump_readings", "train pump", "score pump"):
            plant.must(*command.split())
        channel.received.clear()
        deliver(plant, datetime.now(UTC))
        yield plant


def configure(workspace, url, channel):
    workspace.configure(url, MONITOR)
    with (workspace.folder / "config.toml").open("a", encoding="utf-8") as config:
        config.write(f'[alerts.channels]\nops = "{channel.address}"\n')


def deliver(plant, now):
    config = load_config(plant.folder / "config.toml", os.environ)
    engine = open_engine(config.store.url)
    deliver_alerts(open_store(engine).outbox, config.alerts.channels, config.alerts.per_hour, lambda: now)
    engine.dispose()


def test_faults_become_incidents_and_each_is_alerted(plant, channel):
    incidents = plant.must("incidents", "list", "pump", "--json").json
    flagged = plant.must("anomalies", "list", "--limit", "200", "--json").json
    assert sum(incident["records"] for incident in incidents) == len(flagged)
    assert {row["incident_id"] for row in flagged} == {incident["id"] for incident in incidents}
    subjects = sorted(body["title"].split(":")[0] for body in channel.received)
    assert subjects == sorted(f"pump, {incident['entity']}" for incident in incidents)


def test_a_label_of_an_incident_labels_its_records(plant):
    flagged = plant.must("anomalies", "list", "--limit", "200", "--json").json
    fault = next(row["incident_id"] for row in flagged if row["record_key"] == str(FAULTS[-1]))
    result = plant.must("incidents", "label", fault, "confirmed", "--json").json
    labelled = plant.must("anomalies", "list", "--incident", fault, "--newest", "--json").json
    assert {row["label"] for row in labelled} == {"confirmed"}
    assert result == {"id": fault, "label": "confirmed", "records": len(labelled)}
    (listed,) = plant.must("incidents", "list", "--label", "confirmed", "--json").json
    shown = plant.must("incidents", "show", listed["id"], "--json").json
    assert shown["causes"][0]["feature"] == "pressure"
    assert [row["id"] for row in shown["newest_anomalies"]] == [row["id"] for row in labelled]


def test_incidents_and_alerts_are_readable(plant, channel):
    (last, *_) = plant.must("incidents", "list", "--json").json
    table, page = plant.must("incidents", "list").out, plant.must("incidents", "show", last["id"]).out
    assert "pressure" in table
    assert f"Incident {last['id']} of monitor 'pump': ended" in page
    body = next(body["message"] for body in channel.received if body["message"].endswith(f"show {last['id']}"))
    assert f"Entity: {last['entity']}\nTime: {last['start_time'][:10]} " in body
    assert "\nCauses:\n- pressure: " in body


def test_a_channel_is_tested_by_command(workspace, channel):
    configure(workspace, "sqlite:///plumbline.db", channel)
    channel.received.clear()
    assert workspace.must("alerts", "test", "ops").out == "A test message was sent to channel 'ops'.\n"
    assert [body["title"] for body in channel.received] == ["Plumbline: a test message"]
    channel.status = 403
    failed = workspace.plumbline("alerts", "test", "ops")
    assert (failed.code, "did not accept the message" in failed.err) == (1, True)
    unknown = workspace.plumbline("alerts", "test", "night")
    assert (unknown.code, "The channels of [alerts] are: ops." in unknown.err) == (2, True)
    assert "hunter2" not in failed.out + failed.err + unknown.err


def test_missing_incidents_are_reported(workspace):
    workspace.configure("sqlite:///plumbline.db", PUMP)
    workspace.must("migrate")
    assert workspace.must("incidents", "list", "pump").out.startswith("No matching incidents.")
    assert workspace.must("incidents", "list", "--json").json == []
    for arguments in (["show", 7], ["label", 7, "known"]):
        result = workspace.plumbline("incidents", *arguments)
        assert (result.code, "There is no incident 7." in result.err) == (2, True)
