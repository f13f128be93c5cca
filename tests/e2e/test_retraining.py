"""Retraining by commands: requested, processed, killed and resumed."""

import signal

import pytest

from tests.chaos.waiting import until
from tests.workspace import PUMP, readings

DEADLINE = 120  # seconds


@pytest.fixture
def everywhere(workspace, database_url):
    """A trained monitor on each database."""
    return trained(workspace, database_url)


@pytest.fixture
def pump(workspace, sqlite_url):
    """A trained monitor."""
    return trained(workspace, sqlite_url)


def trained(workspace, url):
    """A monitor whose lease is short."""
    readings().to_csv(workspace.folder / "readings.csv", index=False)
    settings = PUMP.replace(" AND id <= 700", "") + 'lease = "1s"\n'
    workspace.configure(url.get_secret_value(), settings)
    for command in ("migrate", "import readings.csv --table pump_readings", "train pump"):
        workspace.must(*command.split())
    return workspace


def requests(workspace):
    return workspace.query("SELECT state, attempts FROM retrain_requests ORDER BY id")


def test_a_killed_training_is_resumed_and_leaves_one_model(everywhere):
    pump = everywhere
    pump.must("retrain", "pump")
    pump.must("retrain", "pump", "--reason", "drift")
    process = pump.start("retrain", "--work")
    until(lambda: requests(pump)[0][0] == "running", "the training runs", pause=0.1)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert [state for state, _ in requests(pump)] == ["running", "running"]
    assert pump.query("SELECT count(*) FROM models") == [(1,)]
    (done,) = until(lambda: pump.must("retrain", "--work", "--json").json, "the request is claimed again", pause=0.1)
    assert (done["request_id"], done["state"]) == (1, "done")
    assert requests(pump) == [("done", 2), ("done", 0)]
    assert pump.query("SELECT count(*) FROM models WHERE state = 'champion'") == [(1,)]
    assert pump.must("retrain", "--work").out == "No pending requests.\n"


def test_a_stopped_training_releases_its_request(pump):
    pump.must("retrain", "pump")
    process = pump.start("retrain", "--work")
    until(lambda: requests(pump)[0][0] == "running", "the training runs", pause=0.1)
    process.send_signal(signal.SIGTERM)
    _, output = process.communicate(timeout=DEADLINE)
    assert process.returncode == 1, output
    assert "Interrupted" in output
    assert requests(pump) == [("pending", 0)]


def test_the_decision_and_its_reason_are_printed(pump):
    pump.must("retrain", "pump")
    output = pump.must("retrain", "--work").out
    (reason,) = pump.query("SELECT message FROM retrain_requests")[0]
    assert output.startswith("Request 1 done. Model 2 is ")
    assert reason in output
    shown = pump.must("models", "show", 2).out
    assert "Comparison with the champion" in shown
    assert "a sound model flags" in shown
    assert reason in shown
    card = pump.must("models", "show", 2, "--markdown").out
    assert card.startswith("# Model card of monitor pump\n")
    assert "| anomalies | model | kNN | isolation forest | PCA |" in card
    assert pump.must("models", "show", 2, "--markdown", "--json").json["markdown"] == card


def test_a_refused_model_needs_force(pump):
    pump.must("train", "pump", "--challenger")
    comparison = '{"verdict": "worse", "is_refused": true, "reason": "It is worse."}'
    pump.query("UPDATE models SET comparison = :told WHERE id = 2", told=comparison)
    refused = pump.plumbline("models", "promote", 2)
    assert (refused.code, "It is worse." in refused.err) == (2, True)
    assert pump.must("models", "promote", 2, "--force", "--json").json["state"] == "champion"


def test_a_failed_training_exits_with_1_and_its_request_has_the_reason(pump):
    pump.query("DELETE FROM pump_readings WHERE id > 5")
    pump.must("retrain", "pump")
    failed = pump.plumbline("retrain", "--work")
    assert (failed.code, "1 of 1 training failed" in failed.err) == (1, True)
    ((state, message),) = pump.query("SELECT state, message FROM retrain_requests")
    assert state == "failed"
    assert "normal records" in message
    assert message in failed.out


def test_a_call_without_a_valid_monitor_is_refused(workspace):
    workspace.configure("sqlite:///plumbline.db", PUMP)
    workspace.must("migrate")
    for arguments in (("pump", "--work"), ("nobody",)):
        refused = workspace.plumbline("retrain", *arguments)
        assert refused.code == 2
        assert "monitor" in refused.err
    assert requests(workspace) == []
