"""The overview of a monitor counts its current rows as of a moment."""

from datetime import timedelta

import pytest
from sqlalchemy import insert

from jobs.databases import writing
from jobs.store import Anomaly, BatchResult, HourCount, Worker
from jobs.store.events import NewEvent
from jobs.store.history import DayCount
from jobs.store.overviews import LastDay
from schemas.frames import Explanation
from schemas.keys import KeyRange
from schemas.tables import incidents, unreadable_records
from tests.mariadb_server import on_mariadb_too
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


@on_mariadb_too
def test_monitors_that_are_read_together_do_not_mix(store, finish, now):
    this_hour = now.replace(minute=0)
    finish([flagged(1, now), flagged(2, None)], [HourCount(this_hour, 100, 2)], newest=now)
    finish([flagged(1, now - 90 * HOUR)], [HourCount(this_hour - 90 * HOUR, 7, 1)], "boiler", now - 90 * HOUR)
    store.anomalies.label(1, "confirmed", now)
    store.anomalies.label(2, "known", now)
    for kind, hours, outcome in (("train", 5, "done"), ("score", 4, "failed"), ("score", 3, "done")):
        run_id = store.runs.start("pump", kind, now - hours * HOUR)
        store.runs.finish(run_id, outcome, None, {"n": hours}, now)
    store.runs.start("fan", "score", now)
    store.events.open(NewEvent("silent", "Silent.", "boiler", "b-1", since=now - HOUR), now)
    unreadable = [(1, "pump"), *((key, "boiler") for key in range(2, 9))]
    row = {"column_name": "x", "reason": "is text", "found_at": now, "checked_at": now, "batch_id": 1}
    with writing(store.engine) as connection:
        rows = [row | {"record_key": f"[{key}]", "monitor": name} for key, name in unreadable]
        connection.execute(insert(unreadable_records), rows)
    overviews = store.overviews.of(["boiler", "fan", "pump"], now)
    assert overviews == {name: store.overviews.get(name, now) for name in ("boiler", "fan", "pump")}
    boiler, fan, pump = overviews.values()
    assert [item.watermark for item in (boiler, fan, pump)] == [(3,), None, (2,)]
    assert [item.last_day for item in (boiler, pump)] == [LastDay(0, 0, 0, None), LastDay(100, 2, 2, 0.0)]
    assert [(item.anomalies, item.open_anomalies) for item in (boiler, pump)] == [(1, 1), (2, 0)]
    assert [(kind, run.counts) for kind, run in pump.last_runs.items()] == [("train", {"n": 5}), ("score", {"n": 3})]
    assert ([*boiler.last_runs], [*fan.last_runs], boiler.lag_seconds) == ([], ["score"], 90 * 3600)
    assert (boiler.silent_since, fan.silent_since) == ({"b-1": now - HOUR}, {})
    assert (boiler.unreadable_records, boiler.newest_unreadable[::4]) == (7, ["8 (x is text)", "4 (x is text)"])
    assert (pump.newest_unreadable, fan.newest_unreadable) == (["1 (x is text)"], [])


@on_mariadb_too
def test_the_newest_days_of_each_monitor_end_with_its_newest_record(store, finish, now):
    this_hour, old = now.replace(minute=0), now.replace(minute=0) - timedelta(days=100)
    finish([], [HourCount(this_hour, 10, 1), HourCount(this_hour - HOUR, 5, 0), HourCount(old, 3, 0)])
    finish([], [HourCount(this_hour - 24 * HOUR, 4, 2)])
    finish([], [HourCount(old, 7, 1), HourCount(old - timedelta(days=14, hours=1), 9, 9)], "boiler")
    days = store.history.newest_days(["pump", "boiler", "fan"], 14, now)
    today = now.date()
    yesterday = today - timedelta(days=1)
    assert (days["pump"].last, days["pump"].counts) == (today, [DayCount(yesterday, 4, 2), DayCount(today, 15, 1)])
    assert (days["boiler"].last, days["boiler"].counts) == (old.date(), [DayCount(old.date(), 7, 1)])
    assert (days["fan"].last, days["fan"].counts) == (today, [])
