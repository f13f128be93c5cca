"""A fault that ended without a label is not learned: the retrained model flags the next one."""

from datetime import timedelta

import pytest

from jobs.app import open_store
from jobs.store import migrations
from tests.machines import machine
from tests.series_monitor import Mixer

FAULT, AGAIN = range(660, 760), range(960, 1_060)  # the minutes of a fault, and of its repetition
SETTINGS = {"normal": None, "series": {}, "false_positive_rate": 0.02}


def blocked(frame, minutes):
    frame.loc[minutes, "speed"] = 10 + 0.2 * (frame.loc[minutes, "speed"] - 10) - 3


def dead(frame, minutes):
    frame.loc[minutes, "torque"] = frame.loc[minutes[0], "torque"]


@pytest.fixture
def plant(sqlite_engine, tmp_path, now):
    migrations.upgrade(sqlite_engine)
    mixer = Mixer(open_store(sqlite_engine), tmp_path, now + timedelta(days=2))
    yield mixer
    mixer.close()


def readings(fault):
    frame = machine("a", 1_100, 0).assign(id=range(1_100))
    for minutes in (FAULT, AGAIN):
        fault(frame, list(minutes))
    return frame


def flagged_share(mixer, minutes):
    return sum(is_anomaly for key, *_, is_anomaly in mixer.scores() if key in minutes) / len(minutes)


@pytest.mark.parametrize("fault", [blocked, dead])
def test_a_series_model_still_flags_a_fault_that_ended_without_a_label(plant, fault):
    frame = readings(fault)
    plant.fill(frame[:600])
    plant.train(**SETTINGS)
    plant.fill(frame[600:950], if_exists="append")
    plant.score(**SETTINGS)
    assert flagged_share(plant, FAULT) > 0.6
    report = plant.train("if_better", **SETTINGS)
    assert report.is_champion, report.reason
    model = plant.store.models.get(report.model_id)
    assert model.about.training.left_out["in an incident that nobody labelled as normal"] >= 100
    assert model.comparison.challenger.found["incidents"] == model.comparison.champion.found["incidents"]
    assert model.comparison.challenger.auroc.keys() == model.comparison.champion.auroc.keys()
    plant.fill(frame[950:], if_exists="append")
    plant.score(**SETTINGS)
    assert flagged_share(plant, AGAIN) > 0.6
