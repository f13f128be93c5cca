"""Processes that serve: heartbeats, next runs, and the cleanup after a dead process."""

from datetime import timedelta

import pytest
from sqlalchemy import text

from jobs.databases import writing
from jobs.store import Worker

HOUR = timedelta(hours=1)


@pytest.fixture
def worker(now):
    return Worker("host'; --:7:ab", "host'; --", 7, "1.0", now)


def test_a_process_is_listed_with_its_next_runs(store, worker, now):
    store.workers.record_heartbeat(worker, {"pump": now + HOUR}, now)
    store.workers.record_heartbeat(worker, {"pump": now + 2 * HOUR, "fan": now}, now + HOUR)
    assert store.workers.alive(seen_since=now) == [worker]
    assert store.workers.next_runs(seen_since=now) == {"pump": now + 2 * HOUR, "fan": now}


def test_the_next_run_of_a_monitor_is_the_earliest_of_all_that_live(store, now):
    for number, hours in enumerate((3, 1, 2)):
        store.workers.record_heartbeat(Worker(f"w{number}", "h", number, "1", now), {"pump": now + hours * HOUR}, now)
    assert store.workers.next_runs(seen_since=now) == {"pump": now + HOUR}
    store.workers.record_stop("w1", now)
    assert store.workers.next_runs(seen_since=now) == {"pump": now + 2 * HOUR}
    assert store.workers.next_runs(seen_since=now + HOUR) == {}


def test_a_stopped_process_is_not_alive_and_is_deleted_later(store, engine, worker, now):
    store.workers.record_heartbeat(worker, {}, now)
    store.workers.record_stop(worker.id, now)
    assert store.workers.alive(seen_since=now) == []
    assert store.workers.forget(seen_before=now) == 0
    assert store.workers.forget(seen_before=now + HOUR) == 1
    with writing(engine) as connection:
        assert connection.scalar(text("SELECT count(*) FROM workers")) == 0


def test_a_run_that_a_dead_process_left_open_is_closed(store, worker, now):
    living = Worker("living", "h", 1, "1", now)
    store.workers.record_heartbeat(worker, {}, now)
    store.workers.record_heartbeat(living, {}, now + HOUR)
    for monitor, by in (("lost", worker.id), ("unknown", "nobody"), ("going_on", living.id), ("by_hand", None)):
        store.runs.start(monitor, "score", now, worker=by)
    assert store.workers.close_lost_runs(seen_before=now + HOUR, at=now + 2 * HOUR) == 2
    outcomes = {name: store.runs.status(name).last_runs["score"].outcome for name in ("lost", "unknown", "by_hand")}
    assert outcomes == {"lost": "interrupted", "unknown": "interrupted", "by_hand": None}
    assert store.runs.status("going_on").last_runs["score"].outcome is None


def test_the_newest_start_counts_whatever_came_of_it(store, now):
    assert store.runs.last_started("pump", "score") is None
    first = store.runs.start("pump", "score", now, scheduled_for=now - HOUR)
    store.runs.finish(first, "done", None, {}, now)
    store.runs.start("pump", "score", now + HOUR)
    store.runs.start("fan", "score", now + 2 * HOUR)
    assert store.runs.last_started("pump", "score") == now + HOUR
    assert store.runs.last_started("pump", "train") is None
