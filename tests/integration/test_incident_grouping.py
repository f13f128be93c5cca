"""Flagged rows become the same incidents in whatever order, and cut into whatever batches, they come."""

import itertools
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, insert, select, update

from detector.records.card import RecordCard
from jobs.alert_messages import ALERT_TEXTS
from jobs.app import open_store
from jobs.databases import writing
from jobs.store import Anomaly, BatchResult, IncidentQuery, NewModel
from jobs.store.incident_grouping import refresh_incidents
from schemas.errors import LostLease
from schemas.frames import Cause, Explanation
from schemas.keys import KeyRange
from schemas.tables import anomalies, incidents
from tests.flagged_rows import GAP, MINUTE, RULE, START, FlaggedRows
from tests.mariadb_server import on_mariadb_too

PUMPS = ("pump-1", "o'hara; DROP\n\"é", None)


@pytest.fixture
def rows(store, now):
    store.models.add("pump", NewModel(b"", "", {}, RecordCard()), now, promote=True)
    return FlaggedRows(store, "pump", now)


def as_they_should_be(stored):
    """Return the incidents of rows by definition, whatever their order: (entity, facts)."""
    expected = []
    current = [row for row in stored if row["superseded_at"] is None]
    for entity in {row["entity"] for row in current}:
        mine = sorted(
            (row["record_time"] or row["flagged_at"], row["id"], row) for row in current if row["entity"] == entity
        )
        groups = [[mine[0]]]
        for before, after in itertools.pairwise(mine):
            groups.append([after]) if after[0] - before[0] > GAP else groups[-1].append(after)
        expected += [(entity, facts_of(group)) for group in groups]
    return sorted(expected, key=repr)


def facts_of(group):
    peak = max(row["anomaly_score"] for _, _, row in group)
    peak_time = min(time for time, _, row in group if row["anomaly_score"] == peak)
    severity = max(row["severity"] for _, _, row in group)
    share = max(cause["share"] for _, _, row in group for cause in row["attribution"])
    ids = {row["incident_id"] for _, _, row in group}
    assert len(ids) == 1
    return (*ids, group[0][0], group[-1][0], len(group), peak, peak_time, severity, share)


def as_they_are(rows):
    return sorted(
        (
            (
                i.entity,
                (
                    i.id,
                    i.start_time,
                    i.end_time,
                    i.records,
                    i.peak_score,
                    i.peak_time,
                    i.peak_severity,
                    i.causes[0]["share"],
                ),
            )
            for i in rows.incidents(limit=1_000)
        ),
        key=repr,
    )


times = st.integers(0, 90).map(lambda minute: START + minute * MINUTE) | st.none()
pumps, levels = st.sampled_from(PUMPS), st.sampled_from([10.0, 50.0, 90.0])
rest = st.fixed_dictionaries({"score": levels, "severity": levels, "share": levels})
batch = st.lists(st.tuples(times, pumps, rest), min_size=1, max_size=8)
fields = {"record_time": times, "entity": pumps, "anomaly_score": levels, "superseded_at": times}
changes = st.tuples(st.integers(0, 99), st.fixed_dictionaries({"severity": levels}, optional=fields))
numbers = itertools.count()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(batch | changes, min_size=1, max_size=10))
def test_any_order_any_cut_and_any_change_gives_the_incidents_of_the_rows(store, rows, now, steps):
    flagged_rows = FlaggedRows(store, f"pump_{next(numbers)}", now)
    for step in steps:
        if isinstance(step, list):
            flagged_rows.write([flagged_rows.row(time, entity, **rest) for time, entity, rest in step])
        elif stored := flagged_rows.stored():
            flagged_rows.change(stored[step[0] % len(stored)], **step[1])
    stored = flagged_rows.stored()
    assert as_they_are(flagged_rows) == as_they_should_be(stored)
    assert {row["incident_id"] for row in stored if row["superseded_at"] is not None} <= {None}


def test_a_batch_boundary_does_not_split_an_incident(rows):
    rows.add(0, 10)
    rows.add(25, 26)
    rows.add(42)
    assert rows.spans() == [(0, 26, 4), (42, 42, 1)]


@on_mariadb_too
def test_a_late_record_extends_and_joins(rows):
    rows.add(0)
    rows.add(30)
    first, second = sorted(incident.id for incident in rows.incidents())
    rows.add(15)
    (whole,) = rows.incidents()
    assert (whole.id, rows.spans()) == (first, [(0, 30, 3)])
    assert rows.store.incidents.get(second).state == "merged"
    assert rows.store.incidents.get(second).merged_into == first


def test_the_rows_of_long_incidents_follow_when_they_join_and_part(rows, now):
    rows.add(*range(0, 100, 10))
    rows.add(*range(110, 200, 10))
    rows.add(100)
    middle = rows.stored()[-1]
    assert rows.spans() == [(0, 190, 20)]
    assert as_they_are(rows) == as_they_should_be(rows.stored())
    rows.change(middle, superseded_at=now)
    assert rows.spans() == [(0, 90, 10), (110, 190, 9)]
    assert as_they_are(rows) == as_they_should_be(rows.stored())
    rows.change(middle, superseded_at=None)
    assert as_they_are(rows) == as_they_should_be(rows.stored())


def test_a_merged_incident_refers_to_the_surviving_one(rows):
    for minute in (60, 30, 0):
        rows.add(minute)
    first, second, third = sorted(incident.id for incident in rows.incidents())
    rows.add(15)
    rows.add(45)
    assert rows.spans() == [(0, 60, 5)]
    assert [rows.store.incidents.get(number).merged_into for number in (first, second, third)] == [None, first, first]


def test_a_superseded_row_can_split_an_incident_and_empty_one(rows, now):
    rows.add(0, 12, 24)
    (whole,) = rows.incidents()
    first, middle, last = rows.stored()
    rows.change(middle, superseded_at=now)
    assert rows.spans() == [(0, 0, 1), (24, 24, 1)]
    assert min(incident.id for incident in rows.incidents()) == whole.id
    for row in (first, last):
        rows.change(row, superseded_at=now)
    assert rows.incidents() == []
    assert {incident.state for incident in rows.incidents(is_current=None)} == {"withdrawn"}


def test_rows_without_a_record_time_are_placed_by_when_they_were_flagged(rows, now):
    rows.write([rows.row(None), rows.row(now - MINUTE)])
    (incident,) = rows.incidents()
    assert (incident.start_time, incident.end_time, incident.records) == (now - MINUTE, now, 2)


def test_rows_that_were_flagged_before_there_were_incidents_join_when_touched(rows):
    with writing(rows.store.engine) as connection:
        connection.execute(insert(anomalies), [rows.row(START)])
    rows.add(5)
    assert rows.spans() == [(0, 5, 2)]


def test_other_incidents_are_not_written_again(rows, now):
    rows.add(0, entity="pump-1")
    rows.add(0, entity="pump-2")
    rows.add(60, entity="pump-1")
    later = now + GAP
    rows.add(5, 70, entity="pump-2", at=later)
    changed = {(i.entity, i.records) for i in rows.incidents() if i.updated_at == later}
    assert changed == {("pump-2", 2), ("pump-2", 1)}


def test_an_incident_that_is_scored_again_by_another_model_keeps_its_number(rows, now):
    rows.add(0, 5, 10)
    (before,) = rows.incidents()
    again = [rows.row(row["record_time"], score=11.0) for row in rows.stored()]
    with writing(rows.store.engine) as connection:
        connection.execute(update(anomalies).values(superseded_at=now))
        connection.execute(insert(anomalies), again)
        rows.refresh(connection, [(row["entity"], row["record_time"]) for row in again])
    (after,) = rows.incidents()
    assert (after.id, after.records, after.peak_score) == (before.id, 3, 11.0)
    assert len(rows.alerted()) == 1


def test_a_long_incident_grows_without_its_rows_being_read_again(rows, monkeypatch):
    rows.add(*range(0, 500, 5))
    read = []
    summarise = refresh_incidents.__globals__["summary_of_record"]
    monkeypatch.setitem(
        refresh_incidents.__globals__, "summary_of_record", lambda *row: read.append(1) or summarise(*row)
    )
    rows.add(501, 502)
    assert (rows.spans(), len(read)) == ([(0, 502, 102)], 2)
    rows.add(10, entity="pump-2")
    assert len(read) == 3


def test_nothing_touched_changes_nothing(rows, now):
    with writing(rows.store.engine) as connection:
        refresh_incidents(connection, "pump", {"pump-1": []}, RULE, ALERT_TEXTS, now)
        assert connection.scalar(select(func.count()).select_from(incidents)) == 0


@pytest.fixture
def batch_of(store, now):
    """Return a function that claims a new batch of the monitor pump."""
    model_id = store.models.add("pump", NewModel(b"", "", {}, RecordCard()), now, promote=True)

    def claim(number):
        store.ledger.plan("pump", KeyRange((number,), (number + 1,)), now)
        return store.ledger.claim("pump", model_id, now, GAP)

    return claim


def flagged(key, minute):
    causes = Explanation((Cause("flow", 7.0, 2.0, 1.0, 0.0),))
    return Anomaly(str(key), key, START + minute * MINUTE, "pump-1", 9.0, 0.01, 50.0, 4.0, causes)


def test_incidents_and_alerts_are_written_with_the_batch_or_not_at_all(store, batch_of, now):
    batch, anomalies_of_batch = batch_of(1), (flagged(1, 0), flagged(2, 5), flagged(3, 60))
    taken_over = store.ledger.claim("pump", batch.model_id, now + 2 * GAP, GAP)
    with pytest.raises(LostLease):
        store.ledger.finish(batch, BatchResult(9, anomalies_of_batch), now, RULE)
    assert (store.incidents.page(IncidentQuery(is_current=None)), store.outbox.due_channels(now)) == ([], [])
    store.ledger.finish(taken_over, BatchResult(9, anomalies_of_batch), now, RULE)
    assert [incident.records for incident in store.incidents.page(IncidentQuery())] == [1, 2]
    assert store.outbox.due_channels(now) == ["ops"]


@on_mariadb_too
def test_batches_finished_at_the_same_time_make_one_incident(store, batch_of, now):
    batches_ = [batch_of(number) for number in range(6)]

    def finish(number):
        open_store(store.engine).ledger.finish(
            batches_[number], BatchResult(9, (flagged(number, 10 * number),)), now, RULE
        )

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(finish, range(6)))
    (whole,) = store.incidents.page(IncidentQuery())
    assert (whole.start_time, whole.end_time, whole.records) == (START, START + 50 * MINUTE, 6)
    assert store.outbox.claim("ops", 20, now, GAP).alerts == 1
    assert store.outbox.claim("ops", 20, now, GAP) is None
