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


def test_people_take_care_of_an_incident(plant):
    number = str(plant.must("incidents", "list", "pump", "--json").json[0]["id"])
    assert plant.must("incidents", "ack", number).out == f"Incident {number} is acknowledged.\n"
    assert plant.must("incidents", "assign", number, "Ada").out == f"Incident {number} is assigned to Ada.\n"
    plant.must("incidents", "comment", number, "bearing replaced")
    notes = plant.must("incidents", "show", number, "--json").json["notes"]
    assert [(note["kind"], note["text"]) for note in notes] == [
        ("acknowledge", None),
        ("assign", None),
        ("comment", "bearing replaced"),
    ]
    assert "bearing replaced" in plant.must("incidents", "show", number).out


def test_settings_are_tried_stored_reported_and_removed(plant):
    options = ("--rate", "0.2", "--consecutive", "2/3", "--direction", "flow=up", "--quiet-hours", "22:00-06:00")
    previewed = plant.must("tune", "preview", "pump", *options, "--days", "9", "--json").json
    now, proposed = (previewed["comparison"][name] for name in ("now", "proposed"))
    assert now["records"] == proposed["records"] > 0
    assert proposed["flagged"] > now["flagged"] > 0
    assert proposed["alerts"]["held_back"]
    plant.must("tune", "set", "pump", *options)
    assert 'quiet_hours = "22:00-06:00"' in plant.must("tune", "show").out
    for command in ("status", "check", "monitors list"):
        assert "The store has other settings than config.toml" in plant.must(*command.split()).out
    assert plant.must("tune", "clear", "pump").out.startswith("Monitor 'pump' uses the settings of config.toml")
    assert plant.must("tune", "show", "--json").json == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "there is nothing to store"),
        (("--rate", "2"), "less than 1"),
        (("--rate", "0.00001"), "calibration records"),
        (("--consecutive", "3of5"), "is not a number of records"),
        (("--direction", "mode=up"), "is about numeric features"),
        (("--ignore-below", "flow=much"), "has no number"),
    ],
)
def test_settings_that_do_not_work_are_refused(plant, options, message):
    refused = plant.plumbline("tune", "set", "pump", *options)
    assert refused.code in {1, 2}
    assert message in refused.err


def test_a_maintenance_window_is_stored_listed_and_ended(plant):
    plant.must("maintenance", "add", "pump", "--for", "3h", "--entity", "a", "--reason", "new bearings")
    (window,) = plant.must("maintenance", "list", "--json").json
    assert (window["state"], window["entity"], window["reason"]) == ("open", "a", "new bearings")
    plant.must("maintenance", "end", str(window["id"]))
    assert "over" in plant.must("maintenance", "list", "pump").out
    for length in ("long", "0s", "99999999d"):
        assert "is not a duration" in plant.plumbline("maintenance", "add", "pump", "--for", length).err
    late = plant.plumbline("maintenance", "add", "pump", "--for", "36525d", "--from", "9990-01-01")
    assert "is not in the years" in late.err
