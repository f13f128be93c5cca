"""Thresholds other than by rank, and a rate changed after the training."""

import pytest

from tests.workspace import FAULTS, PUMP, readings

RATE = "false_positive_rate = 0.01"
WITH_TAIL = PUMP.replace(RATE, 'false_positive_rate = 1e-5\nthreshold = "pot"').replace("id <= 700", "id <= 2000")


@pytest.fixture
def plant(workspace):
    """A workspace with imported readings; the test configures the pump."""

    def configured(monitor):
        readings().to_csv(workspace.folder / "readings.csv", index=False)
        workspace.configure("sqlite:///plumbline.db", monitor)
        for command in ("migrate", "import readings.csv --table pump_readings"):
            workspace.must(*command.split())
        return workspace

    return configured


def flagged(plant):
    return {int(key) for (key,) in plant.query("SELECT record_key FROM anomalies")}


def test_a_threshold_by_f_beta_is_set_between_the_known_faults_and_the_normal_records(plant):
    plant = plant(PUMP.replace(RATE, 'threshold = "f_beta"'))
    card = plant.must("train", "pump", "--json").json["card"]
    assert (card["threshold_method"], card["false_positive_rate"]) == ("f_beta", None)
    plant.must("score", "pump")
    assert set(FAULTS) <= flagged(plant)
    assert len(flagged(plant)) <= len(FAULTS) + 2
    assert "would flag the same with this model: f_beta decides" in plant.must("forecast", "pump").out


def test_a_tail_model_flags_at_a_rate_that_ranks_would_refuse(plant):
    plant = plant(PUMP.replace(RATE, "false_positive_rate = 1e-5").replace("id <= 700", "id <= 2000"))
    refused = plant.plumbline("train", "pump")
    assert refused.code == 1
    assert "a false-positive rate of 0.00001 needs 199998" in refused.err
    plant.configure("sqlite:///plumbline.db", WITH_TAIL)
    readings(2000).to_csv(plant.folder / "readings.csv", index=False)
    plant.must("import", "readings.csv", "--table", "pump_readings", "--if-exists", "replace")
    plant.must("train", "pump")
    plant.must("score", "pump")
    assert flagged(plant) == set(FAULTS)


def test_a_changed_rate_takes_effect_without_a_training(plant):
    plant = plant(PUMP)
    plant.must("train", "pump")
    plant.configure("sqlite:///plumbline.db", PUMP.replace(RATE, "false_positive_rate = 0.2"))
    plant.must("score", "pump")
    assert 840 * 0.1 < len(flagged(plant)) < 840 * 0.4
    assert plant.query("SELECT max(p_value) <= 0.2 FROM anomalies") == [(1,)]
