"""A worker scores the batches that other processes planned, and does nothing else."""

import contextlib
from dataclasses import replace

import pytest

from jobs.scoring.run import plan_batches, score_planned
from schemas.tables import runs
from tests.watched_table import MODEL, MonitoredTable, RuleScorer


@pytest.fixture
def pump(store):
    return MonitoredTable(store)


def work(pump, **options):
    with contextlib.closing(pump.source()) as source:
        return score_planned(source, pump.store, pump.clock, load=pump.load, **options)


def plan(pump):
    with contextlib.closing(pump.source()) as source:
        plan_batches(source, pump.store, pump.clock)


def test_planned_batches_are_scored_and_new_records_wait_for_the_schedule(pump):
    pump.put(*range(1, 8), value=2.0)
    pump.put(8, value=9.0)
    plan(pump)
    pump.put(9, 10)
    counts = work(pump)
    assert (counts["batches"], counts["records"], counts["anomalies"]) == (2, 8, 1)
    assert pump.ledger("state", "records") == [("done", 3), ("done", 5)]
    assert pump.flagged() == ["8"]
    assert pump.rows(runs.c.id) == []
    assert work(pump)["batches"] == 0


def test_a_worker_that_stops_leaves_the_other_batches_to_others(pump):
    pump.put(*range(1, 11))
    plan(pump)
    stops = iter([False, True])
    assert work(pump, should_stop=lambda: next(stops))["batches"] == 1
    assert sorted(pump.ledger("state")) == ["done", "pending"]
    assert work(pump)["batches"] == 1


def test_without_a_model_nothing_is_scored(pump):
    pump.put(1)
    plan(pump)
    with contextlib.closing(pump.source("fan")) as source:
        assert score_planned(source, pump.store, pump.clock)["batches"] == 0


def test_planned_batches_are_scored_with_the_columns_that_the_champion_learned(pump):
    learned = replace(MODEL, manifest={"features": {"numeric": ["flow"]}})
    model_id = pump.store.models.add("pump", learned, pump.now, promote=True)
    pump.models[model_id] = RuleScorer()
    pump.put(1)
    plan(pump)
    pump.settings["numeric"] = ["not_yet_learned"]
    assert work(pump)["records"] == 1
