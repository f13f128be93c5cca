"""The demo's verdict: which events were found, by what they change, and what else was flagged."""

from datetime import timedelta

import pytest

from jobs.demo.scorecard import entity_threshold
from tests.timeline import CHANGE, FAULT, START, STEP, course, incident


def outcome(verdict, event):
    return next(outcome for outcome in verdict.outcomes if outcome.event == event)


def test_a_fault_is_found_by_the_first_record_flagged_for_a_channel_that_it_changes():
    found = outcome(entity_threshold(course()), FAULT)
    assert found.found_at == START + 50 * STEP  # the one before it names another channel
    assert (found.records, found.flagged) == (20, 2)


def test_a_fault_flagged_for_other_channels_alone_is_missed():
    assert outcome(entity_threshold(course([(45, 1, "flow"), (50, 1, "flow")])), FAULT).found_at is None


def test_what_another_machine_or_another_time_shows_finds_nothing():
    late = outcome(entity_threshold(course([(60, 1, "power")])), FAULT)
    assert (late.found_at, late.flagged) == (None, 0)
    other = course()
    other.records.loc[:, "entity"] = "b"
    assert outcome(entity_threshold(other), FAULT).records == 0


@pytest.mark.parametrize(("row", "flagged"), [(99, 0), (100, 1), (131, 1), (132, 0)])
def test_what_is_no_fault_is_quiet_from_its_start_to_an_hour_after_its_end(row, flagged):
    assert CHANGE.end + timedelta(hours=1) == START + 131 * STEP
    quiet = outcome(entity_threshold(course([(row, 1, "flow")])), CHANGE)
    assert (quiet.flagged, quiet.found_at) == (flagged, None)


def test_false_alarms_are_counted_among_all_records_that_are_no_fault():
    verdict = entity_threshold(course())
    assert (verdict.normal_records, verdict.normal_flagged) == (114, 2)
    assert verdict.false_alarm_rate == 2 / 114
    assert verdict.echoes == 1  # of the leak, which is over by then


def test_incidents_are_told_with_the_events_that_they_overlap():
    incidents = (incident(1, 30, 40), incident(2, 60, 60), incident(3, 59, 100), incident(4, 110, 110, entity="b"))
    verdict = entity_threshold(course(incidents=incidents))
    assert [item.events for item in verdict.incidents] == [("leak",), (), ("leak", "more load"), ()]
