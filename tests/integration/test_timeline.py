"""The timeline of a monitor of series, read from its table and the store, on each database."""

import pytest

from jobs.demo.timeline import read_timeline
from jobs.scoring.run import score_monitor
from jobs.training.train import train_monitor
from schemas.errors import NoChampion
from tests.machines import interleaved, machine
from tests.series_monitor import Mixer
from tests.timeline import FAULT


@pytest.fixture
def watch(store, tmp_path, now):
    """Return a source on readings of two machines, one of which spikes after the training records."""
    first, second = machine("a", 800, 0), machine("b", 800, 1)
    first.loc[700:702, ["speed", "is_fault"]] += [9, 1]
    mixer = Mixer(store, tmp_path, now)
    mixer.fill(interleaved(first, second))
    yield lambda **changes: mixer.source(batch_size=500, **changes)
    mixer.close()


@pytest.mark.parametrize("threshold", ["conformal", "online"])
def test_it_has_the_results_of_each_record_after_the_training(watch, store, now, threshold):
    source = watch(threshold=threshold)
    train_monitor(source, store, lambda: now)
    score_monitor(source, store, lambda: now)
    timeline = read_timeline(source, store, [FAULT])
    records = timeline.records
    assert records["id"].tolist() == list(range(1201, 1601))
    assert (records["is_anomaly"] == (records["anomaly_score"] > records["threshold"])).all()
    assert records["threshold"].groupby(records["entity"]).nunique().min() > (1 if threshold == "online" else 0)
    spiked = records[records["is_fault"]]
    assert spiked["is_anomaly"].any()
    assert set(spiked["cause"].dropna()) == {"speed"}
    assert set(records["incident"].dropna()) == {incident.id for incident in timeline.incidents}
    assert timeline.events == (FAULT,)


def test_a_monitor_without_champion_has_none(watch, store):
    with pytest.raises(NoChampion, match="mixer"):
        read_timeline(watch(), store, [])
