"""An incident is alerted when it opens and when it becomes severe, once each."""

import pytest
from sqlalchemy import event, update

from detector.records.card import RecordCard
from jobs.databases import writing
from jobs.store import NewModel, NewNote
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


def test_an_alerted_incident_that_is_rescored_much_later_is_not_shown_as_held_back(rows):
    rows.add(0)
    rows.change(rows.stored()[0], severity=85.0, at=START + 2 * RULE.alerts.newest)
    (incident,) = rows.incidents()
    assert (incident.held_back, len(rows.alerted())) == (None, 1)


def test_many_new_incidents_take_as_many_statements_as_one(rows):
    """A page of scattered records has hundreds of new incidents, and each statement waits for the database."""
    statements = []
    event.listen(rows.store.engine, "before_cursor_execute", lambda *arguments: statements.append(arguments[2]))

    def statements_of(at, *minutes):
        statements.clear()
        rows.add(*minutes, at=at)
        return len(statements)

    ids = 3 if rows.store.engine.dialect.name == "sqlite" else 0  # SQLite returns ids in order only one by one
    assert statements_of(None, 100, 200, 300, 400) == statements_of(None, 0) + ids
    too_old = START + RULE.alerts.newest + 10_000 * MINUTE
    assert statements_of(too_old, 1_100, 1_200, 1_300, 1_400) == statements_of(too_old, 1_000) + ids


def test_the_ends_of_many_incidents_take_as_many_statements_as_one(rows):
    statements = []
    event.listen(rows.store.engine, "before_cursor_execute", lambda *arguments: statements.append(arguments[2]))

    def statements_of_ends(*minutes):
        rows.add(*minutes, at=START + min(minutes) * MINUTE)
        statements.clear()
        assert rows.follow_up(max(minutes) + 16) == len(minutes)
        return len(statements)

    assert statements_of_ends(0) == statements_of_ends(200, 400, 600)


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


def reasons(rows):
    return [reason for _, reason, _ in rows.alerted()]


def test_a_score_several_times_higher_is_alerted_as_worse(rows):
    for minute, score in enumerate((9.0, 20.0, 30.0, 60.0, 95.0)):
        rows.add(minute, score=score)
    assert reasons(rows) == ["opened", "worse", "worse"]


def test_a_second_cause_is_alerted_once(rows):
    rows.add(0)
    rows.add(1, feature="pressure", share=1.0)
    rows.add(2, feature="pressure", share=4.0)
    rows.add(3, feature="pressure", share=5.0)
    assert reasons(rows) == ["opened", "new_cause"]
    assert "now also pressure" in rows.titles()[-1]


def test_the_end_of_an_incident_is_alerted_once_and_again_if_it_had_opened_again(rows):
    rows.add(0, 5, at=START + 5 * MINUTE)
    assert rows.follow_up(5 + 15) == 0
    assert rows.follow_up(5 + 16) == 1
    assert rows.follow_up(5 + 17) == 0
    assert reasons(rows) == ["opened", "ended"]
    assert "normal again after 5 min" in rows.titles()[-1]
    rows.add(15, at=START + 22 * MINUTE)
    assert rows.follow_up(60) == 1
    assert reasons(rows) == ["opened", "ended", "opened", "ended"]
    assert "anomalous again" in rows.titles()[2]


def test_an_incident_that_goes_on_without_news_does_not_end_twice(rows):
    rows.use(on=("worse", "end"))
    rows.add(0, severity=90.0, at=START)
    rows.follow_up(20)
    rows.add(14, severity=30.0, at=START + 21 * MINUTE)
    rows.follow_up(40)
    assert reasons(rows) == ["escalated", "ended"]


def test_an_incident_that_was_over_when_it_was_found_is_alerted_once(rows):
    rows.add(0, 5, at=START + 21 * MINUTE)
    assert rows.follow_up(22) == 1
    assert reasons(rows) == ["opened"]


def test_the_end_of_an_alerted_incident_is_alerted_however_late(rows):
    rows.add(0, at=START)
    rows.store.incidents.follow_up("pump", RULE, START + 2 * RULE.alerts.newest)
    assert reasons(rows) == ["opened", "ended"]


def test_an_incident_that_no_channel_heard_of_ends_without_an_alert(rows):
    rows.add(0, severity=10.0)
    rows.add(30, muted=True)
    assert rows.follow_up(90) == 2
    assert rows.alerted() == []


def test_an_open_incident_is_mentioned_again_after_a_time(rows):
    rows.use(on=("open", "reminder"), remind_every=10 * MINUTE)
    rows.add(0, at=START)
    rows.add(12, at=START + 12 * MINUTE)
    for minute in (9, 13, 14, 22, 24):
        rows.follow_up(minute)
    assert reasons(rows) == ["opened", "reminder", "reminder"]


def test_nobody_is_reminded_of_an_acknowledged_incident(rows, now):
    rows.use(on=("open", "reminder"), remind_every=10 * MINUTE)
    rows.add(0, at=START)
    (incident,) = rows.incidents()
    rows.store.incident_notes.add(incident.id, NewNote("acknowledge"), now, "user ada")
    rows.follow_up(12)
    assert reasons(rows) == ["opened"]


def test_only_the_chosen_occasions_are_alerted(rows):
    rows.use(on=("worse",))
    rows.add(0)
    rows.add(1, feature="pressure")
    rows.add(2, severity=90.0)
    rows.follow_up(90)
    assert reasons(rows) == ["escalated"]


def test_an_incident_is_alerted_once_it_holds_enough_records(rows):
    rows.use(records=3)
    rows.add(0, held_back="direction")
    rows.add(1, 2)
    (incident,) = rows.incidents()
    assert (rows.alerted(), incident.held_back) == ([], "records")
    rows.add(3)
    (incident,) = rows.incidents()
    assert (reasons(rows), incident.held_back) == (["opened"], None)


def test_an_incident_whose_records_are_all_left_out_by_rules_is_not_alerted(rows):
    rows.add(0, 1, held_back="ignore_below")
    assert [incident.held_back for incident in rows.incidents()] == ["rules"]
    rows.add(2)
    assert reasons(rows) == ["opened"]


def test_a_channel_with_a_route_receives_severe_incidents_only(rows):
    rows.use(channels=("ops", "pager"), routes=(("pager", 80.0),))
    rows.add(0)
    rows.add(1, severity=85.0)
    assert [(reason, channel) for _, reason, channel in rows.alerted()] == [
        ("opened", "ops"),
        ("escalated", "ops"),
        ("opened", "pager"),
    ]


def test_in_quiet_hours_mild_incidents_wait_and_severe_ones_do_not(rows, now):
    rows.use(quiet_until=lambda at: at + 60 * MINUTE)
    rows.add(0)
    outbox = rows.store.outbox
    assert outbox.claim("ops", 20, now + MINUTE, MINUTE) is None
    rows.add(1, severity=85.0)
    delivery = outbox.claim("ops", 20, now + MINUTE, MINUTE)
    assert ["severe" in message.title for message in delivery.messages] == [False, True]
    outbox.finish(delivery, now + MINUTE)
    assert outbox.claim("ops", 20, now + 61 * MINUTE, MINUTE) is None  # the mild news went with it
    rows.add(0, entity="pump-2")
    assert outbox.claim("ops", 20, now + 59 * MINUTE, MINUTE) is None
    assert outbox.claim("ops", 20, now + 61 * MINUTE, MINUTE) is not None


def test_the_end_of_a_labelled_false_alarm_is_not_alerted_though_records_follow(rows):
    rows.shared["flagged_at"] = START + 5 * MINUTE
    rows.add(0, 5, at=START + 5 * MINUTE)
    rows.add(0, 5, entity="pump-2", at=START + 5 * MINUTE)
    incident, other = sorted(rows.incidents(), key=lambda incident: incident.entity)
    rows.now = START + 6 * MINUTE
    rows.store.incidents.label(incident.id, "false_positive", rows.now)
    (row, *_) = [row for row in rows.stored() if row["incident_id"] == other.id]
    rows.store.anomalies.label(row["id"], "false_positive", rows.now)
    rows.shared["flagged_at"] = START + 10 * MINUTE
    rows.add(10, at=START + 10 * MINUTE)
    assert rows.follow_up(60) == 2
    assert [what[:2] for what in rows.alerted()] == [
        (incident.id, "opened"),
        (other.id, "opened"),
        (other.id, "ended"),
    ]
