"""Records that come late, are corrected or vanish change what is flagged, whenever that happens."""

import itertools
from datetime import timedelta

import pytest

from jobs.scoring import recounting
from jobs.scoring.recounting import recount
from jobs.store.events import EventQuery
from schemas.tables import alerts, anomalies, monitors
from tests.mariadb_server import on_mariadb_too
from tests.watched_table import HOSTILE, NAMES, START, MonitoredTable, at


@pytest.fixture(params=[NAMES, HOSTILE], ids=["plain", "hostile"])
def pump(store, request):
    """Ten records in two batches, scored; every fifth minute of the record time of the first hour."""
    pump = MonitoredTable(store, request.param)
    pump.put(*range(10, 100, 10))
    pump.put(100, value=9.0)
    pump.wait(hours=2)
    pump.score()
    return pump


def kinds(pump):
    return [event.kind for event in pump.store.events.page(EventQuery("pump")) if event.kind != "promoted"]


@on_mariadb_too
def test_a_record_that_comes_late_is_scored_with_its_batch(pump):
    pump.put(15, value=7.0, entity="'; DROP TABLE anomalies --")
    pump.wait(minutes=1)
    report = pump.score()
    assert pump.flagged() == ["100", "15"]
    assert (report.batches, report.rescored, report.late_records, report.records) == (1, 1, 1, 6)
    assert pump.ledger("records", "rescorings", "late_records") == [(5, 0, 0), (6, 1, 1)]
    assert sum(records for _, records, _ in pump.hours()) == 11
    assert kinds(pump) == ["late"]


def test_a_batch_that_did_not_change_is_left_alone(pump):
    pump.wait(days=1)
    report = pump.score()
    assert (report.batches, report.late_records) == (0, 0)
    assert pump.ledger("attempts", "rescorings") == [(1, 0), (1, 0)]


@on_mariadb_too
def test_a_corrected_record_is_rescored_and_its_row_stays(pump):
    (row_id,) = pump.rows(anomalies.c.id)
    pump.correct(100, value=1.0)
    pump.correct(20, value=8.0)
    pump.wait(minutes=1)
    pump.score()
    assert pump.flagged() == ["20"]
    assert pump.rows(anomalies.c.superseded_at, where=anomalies.c.id == row_id) == [pump.now]


@on_mariadb_too
def test_a_record_that_vanished_takes_its_flag_along(pump):
    pump.remove(100)
    pump.wait(minutes=1)
    pump.score()
    assert pump.flagged() == []
    assert pump.ledger("records", "late_records") == [(4, 0), (5, 0)]


@on_mariadb_too
def test_as_many_coming_as_going_are_noticed_by_their_keys(store):
    pump = MonitoredTable(store, updated=None)
    pump.put(*range(10, 60, 10))
    pump.score()
    pump.remove(10)
    pump.put(11, value=9.0)
    pump.wait(minutes=1)
    pump.score()
    assert pump.flagged() == ["11"]


def test_a_too_late_change_is_reported_though_as_many_records_come_as_go(store):
    pump = MonitoredTable(store, updated=None, late_after="1s")
    pump.put(*range(10, 60, 10))
    pump.score()
    for _ in range(2):
        pump.wait(hours=2)
        pump.score()
    pump.remove(10)
    pump.put(11, value=9.0)
    pump.wait(hours=2)
    assert pump.score().too_late_records == 0
    pump.wait(days=2)
    pump.score()
    (event,) = pump.store.events.page(EventQuery("pump", "too_late"))
    assert event.message.startswith("Records of 'pump' changed later than `late_after`, so they are not scored.")


def test_late_records_are_found_though_the_clock_was_years_ahead(store):
    pump = MonitoredTable(store)
    pump.put(*range(10, 60, 10))
    pump.wait(days=4000)
    pump.score()
    pump.wait(days=-3999)
    pump.put(15, value=7.0)
    pump.score()
    assert pump.flagged() == ["15"]
    pump.put(25, value=7.0)
    pump.wait(days=1)
    pump.score()
    assert pump.flagged() == ["15", "25"]
    attempts = pump.ledger("attempts")
    pump.score()
    assert pump.ledger("attempts") == attempts


def test_a_change_while_a_batch_is_scored_is_found_afterwards(pump, monkeypatch):
    pump.put(*range(110, 150, 10))
    scorer = pump.models[1]
    score = type(scorer).score

    def changed_meanwhile(self, records, *vae_of):
        monkeypatch.setattr(type(scorer), "score", score)
        pump.put(115, value=9.0)
        return score(self, records, *vae_of)

    monkeypatch.setattr(type(scorer), "score", changed_meanwhile)
    pump.score()
    assert pump.flagged() == ["100"]
    pump.wait(minutes=1)
    pump.score()
    assert pump.flagged() == ["100", "115"]


def test_a_batch_that_grew_beyond_its_size_is_read_in_pages(pump, monkeypatch):
    sizes = []
    scorer = pump.models[1]
    score = type(scorer).score

    def counted(self, records, *vae_of):
        sizes.append(len(records))
        return score(self, records, *vae_of)

    monkeypatch.setattr(type(scorer), "score", counted)
    pump.put(*range(11, 20), value=4.0)
    pump.wait(minutes=1)
    report = pump.score()
    assert (report.records, report.anomalies, max(sizes)) == (14, 9, 5)
    assert sum(records for _, records, _ in pump.hours()) == 19


def test_a_count_from_before_another_worker_scored_the_batch_again_changes_nothing(pump):
    pump.put(15, value=7.0)
    pump.wait(minutes=1)
    source = pump.source()
    stale = [recount(batch, source) for batch in pump.store.recounting.due("pump", pump.now, pump.now, 50)]
    source.close()
    pump.score()
    assert pump.store.recounting.record("pump", stale[:1], pump.now).reopened == 0
    assert pump.ledger("state") == ["done", "done"]
    assert kinds(pump) == ["late"]


@pytest.mark.parametrize("lateness", [timedelta(minutes=5), timedelta(days=6)])
def test_whatever_the_lateness_it_is_found_when_little_more_has_passed(store, lateness):
    pump = MonitoredTable(store)
    pump.put(10, 20)
    pump.score()
    while pump.now < START + lateness:
        pump.wait(seconds=lateness.total_seconds() / 20)
        pump.score()
    pump.put(15, value=7.0)
    while not pump.flagged():
        pump.wait(seconds=lateness.total_seconds() / 50)
        pump.score()
    assert lateness < pump.now - START <= 1.15 * lateness


def test_a_batch_is_counted_once_a_run_while_the_clock_ticks(pump, monkeypatch):
    counted = []
    monkeypatch.setattr(recounting, "recount", lambda batch, source: counted.append(batch.id) or recount(batch, source))
    pump.wait(hours=1)
    source, times = pump.source(), (pump.now + timedelta(milliseconds=n) for n in itertools.count())
    recounting.recount_batches(source, pump.store, lambda: next(times), lambda: len(counted) > 9)
    source.close()
    assert len(counted) == 2


def test_a_batch_is_counted_less_often_the_older_it_is(store, monkeypatch):
    counted = []
    monkeypatch.setattr(recounting, "recount", lambda batch, source: counted.append(pump.now) or recount(batch, source))
    pump = MonitoredTable(store)
    pump.put(10)
    pump.score()
    source = pump.source()
    for _ in range(24 * 7):
        pump.wait(hours=1)
        recounting.recount_batches(source, store, pump.clock, lambda: False)
    source.close()
    assert 20 < len(counted) < 50
    assert sum(time > START + timedelta(days=6) for time in counted) <= 2


def test_a_record_that_comes_too_late_is_counted_and_reported_once(store):
    pump = MonitoredTable(store, alert={"channels": ["mail"]})
    pump.put(*range(10, 60, 10))
    pump.score()
    pump.wait(days=8)
    pump.score()
    pump.put(15, 25, value=9.0)
    for _ in range(3):
        pump.wait(days=8)
        report = pump.score()
        counts = pump.rows(monitors.c.too_late_records)
        assert counts == [2]
    assert pump.flagged() == []
    assert report.too_late_records == 0
    (event,) = store.events.page(EventQuery("pump", kind="too_late"))
    assert event.counts == {"records": 2}
    assert "plumbline rescore pump" in event.message
    assert pump.rows(alerts.c.channel, where=alerts.c.event_id == event.id) == ["mail"]


def test_records_deleted_after_years_hide_none_that_come_too_late(pump):
    pump.wait(days=8)
    pump.score()
    pump.remove(*range(10, 60, 10))
    pump.put(75)
    pump.wait(days=3)
    assert pump.score().too_late_records == 1


def test_the_last_count_still_takes_records_in(pump):
    pump.wait(days=6, hours=23)
    pump.score()
    pump.put(15, value=7.0)
    pump.wait(days=2)
    report = pump.score()
    assert (report.late_records, report.too_late_records) == (1, 0)
    assert "15" in pump.flagged()


@on_mariadb_too
def test_a_source_that_stops_sending_is_a_gap_until_it_sends_again(store):
    pump = MonitoredTable(store, gap_after="1h", settle="10m")
    pump.put(10)
    pump.now = at(10) + timedelta(minutes=69)
    pump.score()
    assert kinds(pump) == []
    for _ in range(2):
        pump.wait(minutes=2)
        pump.score()
    (gap,) = store.events.page(EventQuery("pump", kind="gap"))
    assert (gap.since, gap.until, gap.at) == (at(10), None, pump.now - timedelta(minutes=2))
    pump.put(80)
    pump.wait(minutes=20)
    pump.score()
    (gap,) = store.events.page(EventQuery("pump", kind="gap"))
    assert gap.until == pump.now


def test_a_record_of_the_future_hides_no_gap(store):
    pump = MonitoredTable(store, gap_after="1h")
    pump.put(10, time=START + timedelta(days=36500))
    pump.wait(minutes=10)
    pump.score()
    assert store.ledger.scored_until("pump") == pump.now
    pump.wait(hours=2)
    pump.score()
    assert kinds(pump) == ["gap"]


def test_anomalies_in_a_maintenance_window_are_marked(store):
    window = {"start": at(20), "end": at(30), "entity": "pump-1"}
    pump = MonitoredTable(store, maintenance=[window])
    pump.put(19, 20, 29, 30, value=9.0)
    pump.put(21, value=9.0, entity="pump-2")
    pump.score()
    assert pump.flagged("pump", anomalies.c.is_muted) == [
        ("19", False),
        ("20", True),
        ("21", False),
        ("29", True),
        ("30", False),
    ]
