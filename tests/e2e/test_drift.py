"""`plumbline score` reports drift once, and can request a training."""

import numpy as np
import pytest

from tests.workspace import PUMP, SMALL_MODEL, readings

DRIFT = '[monitors.pump.drift]\nrecords = 400\n[monitors.pump.retrain]\non_drift = true\npromote = "always"\n'


@pytest.fixture
def drifting(workspace):
    """A pump with 800 usual readings, then 800 with the flow raised by one standard deviation."""
    both = readings(1600, faults=(), seed=1)
    later = both[800:].assign(flow=both["flow"][800:] + both["flow"].std())
    both[:800].to_csv(workspace.folder / "first.csv", index=False)
    later.to_csv(workspace.folder / "later.csv", index=False)
    workspace.configure("sqlite:///plumbline.db", PUMP + DRIFT, model=SMALL_MODEL)
    for command in ("migrate", "import first.csv --table pump_readings", "train pump"):
        workspace.must(*command.split())
    return workspace


def test_a_drift_is_reported_and_requests_a_training(drifting):
    assert drifting.must("score", "pump", "--json").json["drift"] is None  # the training records are not compared
    drifting.must("import", "later.csv", "--table", "pump_readings", "--if-exists", "append")
    output = drifting.must("score", "pump").out
    assert "Drift: the newest" in output
    assert "of monitor 'pump' no longer look like the training records of model 1: flow (stability index" in output
    assert "Drift" not in drifting.must("score", "pump").out
    assert drifting.must("status", "--json").json[0]["ongoing_since"].keys() >= {"drift"}
    assert [row[0] for row in drifting.query("SELECT reason FROM retrain_requests")] == ["drift"]


def test_the_profile_of_a_model_counts_its_training_records(drifting):
    profile = drifting.must("models", "show", "1", "--json").json["manifest"]["about"]["profile"]
    assert profile["features"].keys() == {"flow", "pressure", "is_open", "mode"}
    trained = drifting.must("models", "show", "1", "--json").json["card"]["training_records"]
    assert np.unique([sum(bins["counts"]) for bins in profile["features"].values()]).tolist() == [trained]
