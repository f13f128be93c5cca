"""An incident is alerted when it opens and when it becomes severe, once each."""

import pytest
from sqlalchemy import update

from detector.records.card import RecordCard
from jobs.databases import writing
from jobs.store import NewModel
from schemas.tables import alerts
from tests.flagged_rows import MINUTE, RULE, START, FlaggedRows


@pytest.fixture
def rows(store, now):
    store.models.add("pump", NewModel(b"", "", {}, RecordCard()), now, promote=True)
    return FlaggedRows(store, "pump", now)


def test_an_incident_is_alerted_once_and_once_more_when_it_becomes_severe(rows):
    for severity in (10.0, 30.0, 40.0, 85.0, 90.0):
        rows.add(severity / 10, severity=severity)
    (incident,) = rows.incidents()
    assert rows.alerted() == [(incident.id, "opened", "ops"), (incident.id, "escalated", "ops")]


def test_an_incident_that_opens_severe_is_alerted_once(rows):
    for severity in (85.0, 90.0, 20.0, 95.0):
        rows.add(severity / 10, severity=severity)
    assert [reason for _, reason, _ in rows.alerted()] == ["opened"]


def test_a_muted_incident_is_alerted_when_a_row_outside_maintenance_joins_it(rows):
    rows.add(0, muted=True)
    assert rows.alerted() == []
    rows.add(5)
    assert [reason for _, reason, _ in rows.alerted()] == ["opened"]


def test_old_incidents_and_mild_ones_are_not_alerted(rows, now):
    rows.add(0, at=START + RULE.alerts.newest + MINUTE)
    rows.add(60, severity=19.9)
    assert rows.alerted() == []


def test_an_incident_merged_from_two_alerted_ones_is_not_alerted_again(rows):
    rows.add(0, severity=85.0)
    rows.add(30, severity=85.0)
    first, second = (incident_id for incident_id, _, _ in rows.alerted())
    with writing(rows.store.engine) as connection:
        connection.execute(update(alerts).values(state="sent"))
    rows.add(15)
    rows.add(16, severity=99.0)
    assert rows.alerted() == [(first, "opened", "ops"), (second, "opened", "ops")]


def test_pending_alerts_of_an_incident_that_is_gone_are_withdrawn(rows, now):
    rows.add(0)
    rows.add(30)
    rows.add(15)
    (incident,) = rows.incidents()
    assert rows.alerted() == [(incident.id, "opened", "ops")]
    for row in rows.stored():
        rows.change(row, superseded_at=now)
    assert rows.alerted() == []


def test_an_incident_is_not_alerted_again_when_an_older_mild_one_takes_it_over(rows):
    rows.add(0, severity=10.0)
    rows.add(30, severity=50.0)
    alerted = rows.alerted()
    with writing(rows.store.engine) as connection:
        connection.execute(update(alerts).values(state="sent"))
    rows.add(15, severity=10.0)
    (whole,) = rows.incidents()
    assert (whole.records, whole.peak_severity, rows.alerted()) == (3, 50.0, alerted)
    assert alerted[0][0] != whole.id
