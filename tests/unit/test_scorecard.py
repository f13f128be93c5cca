"""The demo's scorecard: detected events, by the channels that they change, and false alarms."""

from datetime import timedelta

import pytest

from jobs.demo.scorecard import compare_with_events
from tests.timeline import CHANGE, FAULT, START, STEP, incident, make_timeline


def outcome(scorecard, event):
    return next(outcome for outcome in scorecard.outcomes if outcome.event == event)


def test_a_fault_is_found_by_the_first_record_flagged_for_a_channel_that_it_changes():
    detection = outcome(compare_with_events(make_timeline()), FAULT)
    assert detection.found_at == START + 50 * STEP  # the one before it names another channel
    assert (detection.records, detection.flagged) == (20, 2)


def test_a_fault_flagged_for_other_channels_alone_is_missed():
    assert outcome(compare_with_events(make_timeline([(45, 1, "flow"), (50, 1, "flow")])), FAULT).found_at is None


def test_records_of_another_machine_or_another_time_do_not_count():
    late = outcome(compare_with_events(make_timeline([(60, 1, "power")])), FAULT)
    assert (late.found_at, late.flagged) == (None, 0)
    other = make_timeline()
    other.records.loc[:, "entity"] = "b"
    assert outcome(compare_with_events(other), FAULT).records == 0


@pytest.mark.parametrize(("row", "flagged"), [(99, 0), (100, 1), (131, 1), (132, 0)])
def test_false_alarms_of_a_normal_event_count_from_its_start_to_an_hour_after_its_end(row, flagged):
    assert CHANGE.end + timedelta(hours=1) == START + 131 * STEP
    quiet = outcome(compare_with_events(make_timeline([(row, 1, "flow")])), CHANGE)
    assert (quiet.flagged, quiet.found_at) == (flagged, None)


def test_false_alarms_are_counted_among_all_records_outside_faults():
    scorecard = compare_with_events(make_timeline())
    assert (scorecard.normal_records, scorecard.normal_flagged) == (114, 2)
    assert scorecard.false_alarm_rate == 2 / 114
    assert scorecard.echoes == 1  # of the leak, which is over by then


def test_incidents_name_the_events_that_they_overlap():
    incidents = (incident(1, 30, 40), incident(2, 60, 60), incident(3, 59, 100), incident(4, 110, 110, entity="b"))
    scorecard = compare_with_events(make_timeline(incidents=incidents))
    assert [item.events for item in scorecard.incidents] == [("leak",), (), ("leak", "more load"), ()]
