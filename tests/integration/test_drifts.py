"""Drift of scored batches: assessed by window, alerted once, followed by a retrain request if configured."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import insert, text

from detector.core.drift import Profile
from detector.records.feature_types import drift_bins
from jobs.databases import reading, writing
from jobs.drift import assess_drift
from jobs.store import EventQuery
from jobs.store.drifts import Drifts
from jobs.store.requests import RequestQuery
from schemas.config import MonitorConfig
from schemas.errors import ArtifactError
from schemas.tables import alerts, batch_profiles, drifts
from tests.watched_table import HOSTILE, MODEL, NAMES, MonitoredTable, RuleScorer, at

WINDOW = 200


def p_values(values):
    return 1 / (1 + np.abs(values))


class DriftingTable(MonitoredTable):
    """A pump whose flow is standard normal, with models trained on it; batches of 50 records."""

    def __init__(self, store, names=NAMES, **settings):
        self.rng = np.random.default_rng(1)
        self.next_key = 1
        given = {"batch_size": 50, "drift": {"records": WINDOW}, "store_scores": "anomalies"}
        super().__init__(store, names, **given | settings)

    def train(self, monitor, threshold=3.0, state=None):
        values = self.rng.normal(size=2000)
        records, features = pd.DataFrame({self.names["value"]: values}), MonitorConfig(**self.settings).features
        profile = Profile.fit(records, drift_bins(features), p_values(self.rng.normal(size=1000)), WINDOW)
        manifest = {"about": {"profile": profile.to_state() if state is None else state}}
        model_id = self.store.models.add(monitor, replace(MODEL, manifest=manifest), self.now, promote=True)
        self.models[model_id] = RuleScorer(self.names["value"], threshold)
        self.models[model_id].profile = profile
        return model_id

    def run(self, records, shift=0.0):
        """Score new records, and return the assessment after them."""
        names = [self.names[name] for name in ("key", "time", "updated", "entity", "value")]
        keys = range(self.next_key, self.next_key + records)
        self.next_key += records
        values = (self.rng.normal(size=records) + shift).tolist()
        stored = self._stored(self.now)
        rows = [(key, self._stored(at(key)), stored, "a", value) for key, value in zip(keys, values, strict=True)]
        with writing(self.store.engine) as connection:
            connection.execute(insert(self.table), [dict(zip(names, row, strict=True)) for row in rows])
        self.wait(minutes=1)
        self.score()
        return self.assess()

    def assess(self):
        return assess_drift(self.store, "pump", MonitorConfig(**self.settings), self.clock)

    def events(self):
        return self.store.events.page(EventQuery(monitor="pump", kind="drift"))

    def requests(self):
        return [item.reason for item in self.store.requests.page(RequestQuery(monitor="pump"))]

    def windows(self):
        return self.rows(drifts.c.from_batch, drifts.c.upto_batch, drifts.c.is_drift)


@pytest.fixture
def watched(store):
    return DriftingTable(store)


def test_a_batch_leaves_the_counts_of_its_records(watched):
    watched.run(70)
    c = batch_profiles.c
    profiles = watched.rows(c.batch_id, c.monitor, c.model_id, c.records)
    assert profiles == [(1, "pump", 1, 50), (2, "pump", 1, 20)]
    for (counts,) in (watched.rows(c.batch_id, c.counts)[0][1:],):
        assert {name: sum(bins) for name, bins in counts.items()} == {"p_values": 50, "feature:flow": 50}


def test_records_as_trained_on_are_assessed_and_raise_nothing(watched):
    drift = watched.run(WINDOW)
    assert (drift.is_drift, drift.records, watched.windows()) == (False, WINDOW, [(1, 4, False)])
    assert (watched.events(), watched.requests()) == ([], [])


def test_too_few_records_are_not_assessed(watched):
    assert watched.run(WINDOW - 1) is None
    assert watched.windows() == []


def test_a_window_is_assessed_once_and_again_when_a_tenth_of_it_is_new(watched):
    watched.run(WINDOW)
    assert watched.assess() is None
    assert watched.run(19) is None
    assert watched.run(1) is not None
    assert watched.windows() == [(1, 4, False), (1, 6, False)]


def test_the_view_shows_each_feature_of_each_assessment(watched):
    drift = watched.run(WINDOW, shift=1.0)
    with reading(watched.store.engine) as connection:
        (row,) = connection.execute(text("SELECT * FROM drift_by_feature")).mappings().all()
    assert (row["monitor"], row["feature"], row["model_id"], row["records"]) == ("pump", "flow", 1, WINDOW)
    assert (row["from_batch"], row["upto_batch"], bool(row["is_drift"])) == (1, 4, True)
    assert (row["psi"], row["ks_statistic"]) == (drift.psi["flow"], drift.ks_statistic)
    assert watched.rows(drifts.c.top_feature, drifts.c.max_psi) == [("flow", drift.psi["flow"])]


def test_a_drift_is_an_event_once_however_long_it_lasts_and_however_large_the_batches_are(store):
    watched = DriftingTable(store, batch_size=WINDOW)
    assert all(watched.run(WINDOW, shift=1.0).is_drift for _ in range(3))
    (event,) = watched.events()
    assert "flow (stability index" in event.message
    assert (event.counts["model_id"], list(event.counts["psi"])) == (1, ["flow"])
    assert (event.at, event.until) == (watched.now - timedelta(minutes=2), None)


def test_a_drift_is_over_with_a_window_that_shares_nothing_with_it_and_then_begins_again(watched):
    watched.run(WINDOW, shift=2.0)
    for _ in range(3):  # of four batches; the last of these windows still holds one that has drifted
        watched.run(50)
    assert watched.events()[0].until is None
    for _ in range(3):
        watched.run(50)
    assert watched.windows()[-1][2] is False
    assert watched.events()[0].until is not None
    watched.run(WINDOW, shift=2.0)
    assert [event.until is None for event in watched.events()] == [True, False]


def test_a_new_champion_starts_afresh(watched):
    watched.run(WINDOW, shift=2.0)
    watched.train("pump")
    assert watched.run(WINDOW - 1) is None  # the batches of the old model are no measure of the new one
    assert not watched.run(1).is_drift
    assert [event.until is None for event in watched.events()] == [False]


def test_a_drift_from_a_new_champion_is_an_event_of_its_own(watched):
    watched.run(WINDOW, shift=2.0)
    watched.train("pump")
    watched.run(WINDOW, shift=2.0)
    assert [(event.counts["model_id"], event.until is None) for event in watched.events()] == [(2, True), (1, False)]


@pytest.mark.parametrize(("on_drift", "expected"), [(True, ["drift"]), (False, [])])
def test_drift_requests_a_training_if_configured(store, on_drift, expected):
    watched = DriftingTable(store, retrain={"on_drift": on_drift})
    watched.run(WINDOW, shift=1.0)
    assert watched.requests() == expected


def test_drift_requests_another_training_only_after_the_cooldown(store):
    watched = DriftingTable(store, retrain={"on_drift": True, "cooldown": "1h"})
    store.requests.add("pump", "schedule", watched.now)
    watched.run(WINDOW, shift=1.0)
    watched.run(WINDOW, shift=1.0)
    assert watched.requests() == ["drift", "schedule"]
    watched.wait(hours=1)
    watched.run(WINDOW, shift=1.0)
    assert watched.requests() == ["drift", "drift", "schedule"]


def test_the_channels_of_the_monitor_are_alerted_of_a_drift_once(store):
    watched = DriftingTable(store, alert={"channels": ["ops", "lab"]})
    watched.run(WINDOW, shift=1.0)
    watched.run(WINDOW, shift=1.0)
    alerted = watched.rows(alerts.c.channel, alerts.c.title, where=alerts.c.reason == "event")
    assert alerted == [("lab", "pump: drift"), ("ops", "pump: drift")]


def test_a_second_process_records_no_assessment_twice(watched, monkeypatch):
    add_drift = Drifts.add

    def twice(store, *arguments):
        assert add_drift(store, *arguments)
        return add_drift(store, *arguments)

    monkeypatch.setattr(Drifts, "add", twice)
    assert watched.run(WINDOW, shift=1.0) is None
    assert (watched.windows(), len(watched.events())) == ([(1, 4, True)], 1)


def test_a_batch_that_is_scored_again_counts_once(watched):
    watched.run(WINDOW)
    watched.store.recounting.reopen_window("pump", at(0), at(60))
    watched.run(20)
    assert watched.rows(batch_profiles.c.batch_id, batch_profiles.c.records)[0] == (1, 50)
    assert watched.windows()[-1] == (1, 5, False)


def test_a_model_without_a_profile_is_not_assessed(store):
    pump = MonitoredTable(store, batch_size=50)
    pump.put(*range(1, 300))
    pump.score()
    assert assess_drift(store, "pump", MonitorConfig(**pump.settings), pump.clock) is None
    assert pump.rows(batch_profiles.c.batch_id) == []


def test_a_profile_that_was_tampered_with_is_an_error(watched):
    watched.train("pump", state={"features": {}, "p_values": []})
    with pytest.raises(ArtifactError, match="is not as it was written"):
        watched.run(WINDOW)


def test_a_monitor_without_a_model_is_not_assessed(store, now):
    monitor = MonitorConfig(table="readings", key="id", numeric="flow")
    assert assess_drift(store, "pump", monitor, lambda: now) is None


def test_hostile_names_are_only_names(store):
    watched = DriftingTable(store, HOSTILE)
    assert watched.run(WINDOW, shift=1.0).features == (HOSTILE["value"],)
    assert HOSTILE["value"] in watched.events()[0].message
