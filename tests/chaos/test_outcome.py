"""The comparison after a round notices what it is made for."""

from dataclasses import replace

from tests.chaos.outcome import Outcome, compare, messages_by_alert
from tests.chaos.rounds import plans

EXPECTED = Outcome(
    scores=[(1, 0.5), (2, 9.0)],
    anomalies=[("2", 9.0)],
    incidents=[("12:00", "a", 1), ("12:00", "b", 1)],
    hours=[("12:00", 2, 1)],
)


def verdict(**parts):
    found = compare(replace(EXPECTED, **parts), EXPECTED)
    return found.lost, found.doubled, found.different, len(found.sentences)


def test_an_equal_outcome_has_no_difference():
    assert verdict() == (0, 0, 0, 0)


def test_a_record_that_is_missing_is_lost():
    assert verdict(scores=[(1, 0.5)]) == (1, 0, 0, 1)


def test_a_record_that_is_there_twice_is_doubled():
    assert verdict(anomalies=[("2", 9.0), ("2", 9.0)]) == (0, 1, 0, 1)


def test_a_last_bit_is_a_difference():
    assert verdict(scores=[(1, 0.5), (2, 9.000000000000002)]) == (0, 0, 1, 1)


def test_what_should_not_be_there_is_a_difference():
    assert verdict(incidents=[*EXPECTED.incidents, ("13:00", "a", 1)]) == (0, 0, 1, 1)


def test_messages_are_counted_by_incident_and_reason():
    told = {"title": "pump, a: anomalous (severity 50)", "message": "Monitor: pump\nSee: plumbline incidents show 7"}
    worse = told | {"title": "pump, a: has become severe (severity 90)"}
    event = {"title": "pump: drift", "message": "The records have drifted."}
    assert messages_by_alert([told, told, worse, event]) == {(7, "opened"): 2, (7, "escalated"): 1}


def test_rounds_have_all_kills_together():
    assert [plan.kills for plan in plans("sqlite", 45, seed=3)] == [20, 20, 5]
    assert [plan.seed for plan in plans("sqlite", 45, seed=3)] == [3000, 3001, 3002]
