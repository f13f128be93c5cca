"""The overview of a monitor counts its current rows as of a moment."""

from datetime import timedelta

import pytest
from sqlalchemy import insert

from jobs.databases import writing
from jobs.store import Anomaly, BatchResult, HourCount, Worker
from jobs.store.events import NewEvent
from jobs.store.overviews import LastDay
from schemas.frames import Explanation
from schemas.keys import KeyRange
from schemas.tables import incidents
from tests.watched_table import MODEL

HOUR = timedelta(hours=1)


def flagged(key, time):
    return Anomaly(str(key), key, time, "pump-1", 9.0, 0.01, 40.0, 4.0, Explanation(()))


@pytest.fixture
def finish(store, now):
    """Return a function that scores a batch of a monitor."""
    models = {name: store.models.add(name, MODEL, now, promote=True) for name in ("pump", "boiler")}
    numbers = iter(range(1, 100))

    def finisher(anomalies, hours, monitor="pump", newest=None, at=now):
        number = next(numbers)
        store.ledger.plan(monitor, KeyRange((number,), (number + 1,)), at)
        batch = store.ledger.claim(monitor, models[monitor], at, HOUR)
        records = sum(count.records for count in hours)
        store.ledger.finish(batch, BatchResult(records, tuple(anomalies), tuple(hours), newest_time=newest), at)

    return finisher


def test_the_overview_of_a_new_monitor_is_empty(store, now):
    overview = store.overviews.get("pump", now)
    assert (overview.champion_id, overview.scored_until, overview.lag_seconds, overview.next_run) == (None,) * 4
    assert overview.last_day == LastDay(0, 0, 0, None)
    assert (overview.open_incidents, overview.pending_requests, overview.late_records) == (0, 0, 0)
    assert (overview.events_of_last_day, overview.ongoing_since) == ({}, {})


def test_the_last_day_begins_with_the_hour_a_day_ago_and_is_of_this_monitor(store, finish, now):
    this_hour = now.replace(minute=0)
    hours = [HourCount(this_hour - 24 * HOUR, 1000, 0), HourCount(this_hour - 23 * HOUR, 100, 0)]
    finish([], [*hours, HourCount(this_hour, 10, 0)])
    finish([], [HourCount(this_hour, 7, 0)], monitor="boiler")
    assert store.overviews.get("pump", now).last_day.records == 110
    assert store.overviews.get("pump", now + HOUR).last_day.records == 10


def test_a_confirmed_anomaly_is_not_a_false_positive(store, finish, now):
    flags = [flagged(key, now - HOUR) for key in (1, 2, 3)] + [flagged(4, None)]
    finish(flags, [HourCount(now.replace(minute=0), 102, 4)])
    finish([flagged(5, now - 30 * HOUR)], [HourCount(now.replace(minute=0) - 30 * HOUR, 10, 1)])
    for anomaly_id, label in ((1, "confirmed"), (2, "false_positive"), (4, "known"), (5, "confirmed")):
        store.anomalies.label(anomaly_id, label, now)
    assert store.overviews.get("pump", now).last_day == LastDay(102, 4, 2, 0.02)


def test_rows_that_were_superseded_do_not_count(store, finish, now):
    finish([flagged(1, now), flagged(2, now)], [HourCount(now.replace(minute=0), 50, 2)])
    store.anomalies.label(1, "confirmed", now)
    store.recounting.reopen_window("pump", now - HOUR, now + HOUR)
    batch = store.ledger.claim("pump", 1, now, HOUR)
    store.ledger.finish(batch, BatchResult(50, (flagged(2, now),), (HourCount(now.replace(minute=0), 50, 1),)), now)
    overview = store.overviews.get("pump", now)
    assert (overview.anomalies, overview.open_anomalies, overview.last_day) == (1, 1, LastDay(50, 1, 0, 0.02))


def test_the_lag_is_the_age_of_the_newest_record_scored(store, finish, now):
    finish([], [HourCount(now.replace(minute=0), 5, 0)], newest=now - timedelta(minutes=4))
    overview = store.overviews.get("pump", now + timedelta(minutes=1))
    assert (overview.scored_until, overview.lag_seconds) == (now - timedelta(minutes=4), 300.0)


def test_the_next_run_is_that_of_a_process_that_lives(store, now):
    next_run = now + timedelta(minutes=3)
    store.workers.record_heartbeat(Worker("a", "host", 1, "1.0", now), {"pump": next_run}, now)
    assert store.overviews.get("pump", now).next_run == next_run
    assert store.overviews.get("boiler", now).next_run is None
    assert store.overviews.get("pump", now + HOUR).next_run is None


def test_incidents_and_requests_count_while_they_are_open(store, now):
    times = dict.fromkeys(("start_time", "end_time", "peak_time", "opened_at", "updated_at"), now)
    row = times | {"monitor": "pump", "peak_score": 1.0, "peak_severity": 1.0, "records": 1, "causes": []}
    with writing(store.engine) as connection:
        rows = [row | {"state": state} for state in ("open", "open", "ended", "merged", "withdrawn")]
        connection.execute(insert(incidents), [*rows, row | {"state": "open", "monitor": "boiler"}])
    store.requests.add("pump", "test", now)
    store.requests.claim("pump", now, HOUR)
    for name in ("pump", "boiler"):
        store.requests.add(name, "test", now)
    overview = store.overviews.get("pump", now)
    assert (overview.open_incidents, overview.pending_requests) == (2, 2)


def test_events_count_for_a_day_and_ongoing_ones_are_named(store, now):
    for kind, hours, monitor in (("late", 30, "pump"), ("late", 2, "pump"), ("late", 1, "pump"), ("late", 1, "boiler")):
        store.events.add(NewEvent(kind, "Late.", monitor), now - hours * HOUR)
    store.events.open(NewEvent("gap", "Gap.", "pump", since=now - 50 * HOUR), now - 40 * HOUR)
    store.events.open(NewEvent("drift", "Drift.", "pump"), now - 3 * HOUR)
    store.events.close("drift", "pump", now)
    overview = store.overviews.get("pump", now)
    assert overview.events_of_last_day == {"drift": 1, "late": 2}
    assert overview.ongoing_since == {"gap": now - 50 * HOUR}


def test_late_records_count(store, finish, now):
    finish([], [HourCount(now.replace(minute=0), 5, 0)])
    store.recounting.reopen_window("pump", now - HOUR, now + HOUR)
    store.ledger.finish(store.ledger.claim("pump", 1, now, HOUR), BatchResult(8), now)
    assert store.overviews.get("pump", now).late_records == 3
