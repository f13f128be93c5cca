"""The comparison after a round detects lost, duplicated and different rows."""

from dataclasses import replace
from datetime import UTC, datetime

from sqlalchemy import create_engine, insert

from schemas.tables import alerts
from tests.chaos.outcome import Outcome, compare, messages_by_alert, wrong_deliveries
from tests.chaos.rounds import Plan, plans

EXPECTED = Outcome(
    scores=[(1, 0.5), (2, 9.0)],
    anomalies=[("2", 9.0)],
    incidents=[("12:00", "a", 1), ("12:00", "b", 1)],
    hours=[("12:00", 2, 1)],
)


def difference(**parts):
    result = compare(replace(EXPECTED, **parts), EXPECTED)
    return result.lost, result.doubled, result.different, len(result.sentences)


def test_an_equal_outcome_has_no_difference():
    assert difference() == (0, 0, 0, 0)


def test_a_missing_record_is_lost():
    assert difference(scores=[(1, 0.5)]) == (1, 0, 0, 1)


def test_a_repeated_record_is_doubled():
    assert difference(anomalies=[("2", 9.0), ("2", 9.0)]) == (0, 1, 0, 1)


def test_a_last_bit_is_a_difference():
    assert difference(scores=[(1, 0.5), (2, 9.000000000000002)]) == (0, 0, 1, 1)


def test_an_additional_incident_is_a_difference():
    assert difference(incidents=[*EXPECTED.incidents, ("13:00", "a", 1)]) == (0, 0, 1, 1)


def test_messages_are_counted_by_incident_and_reason():
    opened = {"title": "pump, a: anomalous (severity 50)", "message": "Monitor: pump\nSee: plumbline incidents show 7"}
    worse = opened | {"title": "pump, a: has become severe (severity 90)"}
    event = {"title": "pump: drift", "message": "The records have drifted."}
    assert messages_by_alert([opened, opened, worse, event]) == {(7, "opened"): 2, (7, "escalated"): 1}


def deliveries(tokens, *received):
    """Return the wrong deliveries of alerts with these tokens; the incident of each is its number from 1."""
    at = datetime(2026, 11, 29, tzinfo=UTC)
    shared = {"monitor": "pump", "reason": "opened", "channel": "ops", "attempts": 1, "state": "sent"}
    times = {"created_at": at, "next_try_at": at}
    texts = {"title": "pump: anomalous", "body": ""}
    rows = [shared | times | texts | {"incident_id": id_, "token": token} for id_, token in enumerate(tokens, 1)]
    engine = create_engine("sqlite://")
    alerts.create(engine)
    with engine.begin() as connection:
        connection.execute(insert(alerts), rows)
        return wrong_deliveries(connection, received)


def message(incident):
    return {"title": "pump: anomalous", "message": f"See: plumbline incidents show {incident}"}


def digest(count):
    return {"title": f"Plumbline: {count} alerts in one message", "message": "See: plumbline incidents list"}


def test_an_alert_arrives_as_often_as_it_was_attempted():
    assert deliveries(["a", "b"], message(1), message(2)) == []
    assert deliveries(["a", "b"], message(1)) == [(2, "opened", 1)]
    assert deliveries(["a", "b"], message(1), message(2), message(2)) == [(2, "opened", 1)]


def test_the_alerts_of_a_digest_arrive_with_it():
    assert deliveries(["a", "b", "b"], message(1), digest(2)) == []
    assert deliveries(["a", "b", "b"], message(1), digest(3)) == [(2, "opened", 1), (3, "opened", 1)]


def test_rounds_have_all_kills_together():
    rounds = plans(Plan("sqlite", kills=1, seed=3, is_wide=True), 45)
    assert [plan.kills for plan in rounds] == [20, 20, 5]
    assert [plan.seed for plan in rounds] == [3000, 3001, 3002]
    assert all(plan.is_wide for plan in rounds)
