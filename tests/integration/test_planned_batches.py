"""A worker scores the batches that other processes planned, and does nothing else."""

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from jobs.scoring.run import plan_batches, score_monitor, score_planned
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


@pytest.fixture
def parts(pump):
    """Return a function that opens the monitor of one part of the table, by the names of the pumps in it."""

    def opened(name):
        pump.settings |= {"table": None, "query": f"SELECT * FROM readings WHERE pump = '{name}'"}
        if pump.store.models.champion(name) is None:
            pump.train(name)
        return contextlib.closing(pump.source(name))

    return opened


def score_part(pump, parts, name):
    with parts(name) as source:
        return score_monitor(source, pump.store, pump.clock, load=pump.load)


def test_planners_of_the_parts_of_a_table_work_side_by_side(pump, parts):
    pump.put(*range(2, 60, 2), entity="north")
    pump.put(*range(1, 40, 2), entity="south")
    start = threading.Barrier(4)

    def planner(source):
        start.wait()
        plan_batches(source, pump.store, pump.clock)

    with contextlib.ExitStack() as stack:
        sources = [stack.enter_context(parts(name)) for name in ("north", "north", "south", "south")]
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(planner, sources))
    reports = {name: score_part(pump, parts, name) for name in ("north", "south")}
    assert {name: (report.batches, report.records) for name, report in reports.items()} == {
        "north": (6, 29),
        "south": (4, 20),
    }


def test_a_part_that_lags_or_is_new_has_its_own_watermark_and_no_late_records(pump, parts):
    pump.put(*range(2, 60, 2), entity="north")
    pump.put(1, entity="south")
    assert [score_part(pump, parts, name).records for name in ("north", "south")] == [29, 1]
    pump.wait(hours=1)
    pump.put(*range(3, 40, 2), entity="south")  # all of them below the last key of the other part
    pump.put(0, entity="east")
    reports = [score_part(pump, parts, name) for name in ("north", "south", "east")]
    assert [(report.records, report.late_records, report.rescored) for report in reports] == [
        (0, 0, 0),
        (19, 0, 0),
        (1, 0, 0),
    ]
    pump.put(41, entity="north")  # late in its own part
    pump.wait(hours=1)
    report = score_part(pump, parts, "north")
    assert (report.rescored, report.late_records) == (1, 1)


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
