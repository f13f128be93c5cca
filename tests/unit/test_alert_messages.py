"""Texts of alerts, and that hostile names and values cannot change their form."""

from datetime import UTC, datetime, timedelta

import pytest

from jobs.alert_messages import digest_message, event_message, incident_message, one_line
from jobs.store.alerts import IncidentNews
from jobs.store.incident_summary import summary_of_record

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def summary(entity="pump-3", feature="flow_lpm", value=12.25):
    causes = [
        {"feature": feature, "share": 6.0, "deviation": 4.0, "value": value, "expected": 60.0},
        {"feature": "mode", "share": 2.0, "deviation": 1.0, "value": None, "expected": "high"},
        {"feature": "load", "share": 0.1, "deviation": 0.1, "value": 1, "expected": 1},
    ]
    first = summary_of_record(entity, NOON, 9.0, 84.6, causes, False)
    return first.merged(summary_of_record(entity, NOON + timedelta(minutes=5), 3.0, 20.0, [], False))


def test_the_alert_of_an_incident_has_its_entity_time_severity_and_causes():
    message = incident_message(IncidentNews("pump", 7, summary(), "opened"))
    assert message.title == "pump, pump-3: anomalous (severity 85)"
    assert message.body.split("\n") == [
        "Monitor: pump",
        "Entity: pump-3",
        "Time: 2026-03-01 12:00:00 to 2026-03-01 12:05:00 UTC",
        "Flagged: 2 records",
        "Severity: 85 of 100, peak at 2026-03-01 12:00:00 UTC",
        "Causes:",
        "- flow_lpm: 12.25, expected 60",
        "- mode: null, expected high",
        "False alarm? plumbline incidents label 7 false_positive",
        "See: plumbline incidents show 7",
    ]


def test_the_expected_value_of_a_boolean_in_a_series_is_the_share_of_yes():
    cause = {"feature": "is_open", "share": 6.0, "deviation": 4.0, "value": True, "expected": -0.02}
    first = summary_of_record(None, NOON, 9.0, 84.6, [cause], False)
    assert "- is_open: yes, expected 0% yes" in incident_message(IncidentNews("pump", 7, first, "opened")).body


def test_the_alert_of_an_incident_without_entity_or_causes_omits_them():
    alone = summary_of_record(None, NOON, 9.0, 50.0, [], False)
    message = incident_message(IncidentNews("pump", 7, alone, "escalated"))
    assert message.title == "pump: has become severe (severity 50)"
    assert "Time: 2026-03-01 12:00:00 UTC\nFlagged: 1 record\n" in message.body
    assert not {"Entity", "Causes"} & set(message.body.replace(":", " ").split())


@pytest.mark.parametrize(
    "hostile", ["pump\r\nBcc: all@example.org", "a\u2028b\x00\x1b[31m", "x" * 100_000, "\u202eevil"]
)
def test_hostile_names_and_values_stay_in_their_line(hostile):
    plain, message = (
        incident_message(IncidentNews("pump", 7, summary(text, text, text), "opened")) for text in ("a", hostile)
    )
    assert message.body.count("\n") == plain.body.count("\n")
    assert message.title.isprintable()
    assert all(line.isprintable() for line in message.body.split("\n"))
    assert (len(message.title) <= 150, len(message.body) < 1_000) == (True, True)


def test_the_alert_of_an_event_has_its_sentence_and_its_start():
    message = event_message("pump", None, "gap", "No record has come.", NOON)
    assert message.title == "pump: gap"
    assert message.body == "No record has come.\nSince: 2026-03-01 12:00:00 UTC"
    assert event_message(None, None, "config_refused", "It is wrong.", None).title == "plumbline: config refused"


def test_a_digest_lists_the_first_and_counts_the_rest():
    message = digest_message([f"pump: {n}" for n in range(25)], 81)
    lines = message.body.split("\n")
    assert message.title == "Plumbline: 81 alerts in one message"
    assert (lines[0], lines[19], lines[20], len(lines)) == ("- pump: 0", "- pump: 19", "and 61 more", 22)
    assert "more" not in digest_message(["a", "b"], 2).body


def test_a_line_is_cut_to_its_length():
    assert one_line("x" * 9, 9) == "x" * 9
    assert one_line("x" * 10, 9) == "x" * 8 + "…"
