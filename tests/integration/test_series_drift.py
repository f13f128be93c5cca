"""Drift of a monitor of series: machines of different levels raise none, a channel that moves is named and answered."""

import pandas as pd
import pytest
from sqlalchemy import select

from jobs.databases import reading
from jobs.drift import assess_drift
from jobs.store import EventQuery
from jobs.store.batch_result import summed
from jobs.store.requests import RequestQuery
from schemas.tables import batch_profiles, drift_features
from tests.machines import interleaved, machine

WATCHED = {"drift": {"records": 200}, "retrain": {"on_drift": True}, "batch_size": 100}
FOREVER = pd.Timestamp("2026-01-01", tz="UTC"), pd.Timestamp("2027-01-01", tz="UTC")


def plant(start, end):
    """Readings of two machines, one of which pulls a thousand times the torque."""
    first, second = machine("a", end, 0), machine("b", end, 1)
    second["torque"] *= 1000
    return interleaved(first, second)[2 * start :]


@pytest.fixture
def watched(mixer):
    """800 readings of each machine: of the first 600 a model was made, and all are scored."""
    mixer.fill(plant(0, 800), if_exists="replace")
    mixer.train(**WATCHED)
    mixer.score(**WATCHED)
    return mixer


def assess(mixer):
    return assess_drift(mixer.store, "mixer", mixer.source(**WATCHED).monitor, lambda: mixer.now)


def score_moved(mixer, channel):
    later = plant(800, 900)
    later[channel] += 1.5 * later.groupby("machine")[channel].transform("std")
    mixer.fill(later, if_exists="append")
    mixer.score(**WATCHED)


def profiles(mixer):
    with reading(mixer.store.engine) as connection:
        return connection.scalars(select(batch_profiles.c.counts).order_by(batch_profiles.c.batch_id)).all()


def test_machines_that_go_on_as_they_were_raise_nothing(watched):
    drift = assess(watched)
    assert (drift.records, drift.is_drift) == (200, False)
    assert set(drift.psi) == {"torque", "speed", "load", "is_open"}
    assert watched.store.events.page(EventQuery(monitor="mixer", kind="drift")) == []


@pytest.mark.parametrize("channel", ["torque", "load"])
def test_a_channel_that_drifts_is_named_alerted_and_requests_a_training(watched, channel):
    score_moved(watched, channel)
    drift = assess(watched)
    assert (drift.features, drift.is_score_drift) == ((channel,), True)
    (event,) = watched.store.events.page(EventQuery(monitor="mixer", kind="drift"))
    assert f"the training records of model 1: {channel} (stability index" in event.message
    assert "drift" in watched.store.overviews.get("mixer", watched.now).ongoing_since
    requests = watched.store.requests.page(RequestQuery(monitor="mixer"))
    assert [request.reason for request in requests] == ["drift"]
    with reading(watched.store.engine) as connection:
        rows = connection.execute(select(drift_features.c.feature, drift_features.c.psi)).all()
    assert dict(map(tuple, rows)) == drift.psi


def test_a_batch_leaves_each_of_its_records_in_one_bin_of_every_channel(watched):
    counts_by_batch = profiles(watched)
    assert len(counts_by_batch) == 16
    sums = [{sum(bins) for bins in counts.values()} for counts in counts_by_batch]
    assert sums == sorted(sums, key=max)  # the training records, which come first, are not counted
    assert sums[0] == {0}
    assert sums[-1] == {100}
    assert all(len(of_batch) == 1 for of_batch in sums)
    assert set(counts_by_batch[0]) == {"p_values", "feature:torque", "feature:speed", "feature:load", "feature:is_open"}


def test_the_counts_add_up_to_the_same_however_batches_are_cut(watched):
    counts = summed(profiles(watched))
    watched.store.recounting.reopen_window("mixer", *FOREVER)
    for batch_size in (70, 1000):
        watched.store.recounting.reopen_window("mixer", *FOREVER)
        watched.score(**WATCHED | {"batch_size": batch_size})
        assert summed(profiles(watched)) == counts


def test_a_model_without_a_profile_is_scored_and_not_assessed(watched, monkeypatch):
    monkeypatch.setattr("detector.core.drift.Profile.to_state", lambda _profile: None)
    watched.train(**WATCHED)
    watched.fill(plant(800, 900), if_exists="append")
    watched.score(**WATCHED)
    assert len(profiles(watched)) == 16
    assert assess(watched) is None
