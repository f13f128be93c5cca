"""An incident of series that repeats one labelled as a false alarm: its time of day, deviations and length."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from jobs.recurring_incidents import RecurringIncidents
from jobs.store.incident_summary import merge_nearby, summary_of_record
from jobs.store.labelled_examples import LabelledExample

BERLIN = ZoneInfo("Europe/Berlin")
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
START = datetime(2026, 3, 20, 5, tzinfo=UTC)  # nine days before the clocks go forward
DEFROST = (4.0, 8.0, 6.0, -5.0)  # the last one is a return to normal


def course(*deviations, start=START, feature="air"):
    """Return time and causes of the records of an event, one every five minutes; negative ones are returns."""
    steady = {"feature": "power", "share": 0.1, "deviation": 0.5}
    return [
        (start + 5 * number * MINUTE, [_cause(feature, deviation), steady])
        for number, deviation in enumerate(deviations)
    ]


def _cause(feature, deviation):
    return {"feature": feature, "share": 0.9, "deviation": deviation, "is_return": deviation < 0}


def labelled(number, records, label="false_positive"):
    """Return the labelled rows of an incident."""
    times = {"start_time": records[0][0], "end_time": records[-1][0]}
    return [
        LabelledExample(10 * number + place, number, "fridge", label, causes, time, **times)
        for place, (time, causes) in enumerate(records)
    ]


def repeats(examples, records, entity="fridge"):
    rows = [summary_of_record(entity, time, 9.0, 50.0, causes, False) for time, causes in records]
    (summary,) = merge_nearby(rows, HOUR)
    recurring = RecurringIncidents(examples, 0.2, BERLIN)
    return recurring.false_alarm_like(summary, lambda: [causes for _, causes in records])


@pytest.mark.parametrize(
    ("deviations", "when", "expected"),
    [
        (DEFROST, DAY, 10),
        (DEFROST, DAY - 19 * MINUTE, 10),
        (DEFROST, DAY - 25 * MINUTE, None),
        (DEFROST, 10 * DAY - HOUR, 10),  # the same time in Berlin
        (DEFROST[:1], DAY, 10),  # as it begins
        ((4.0, 11.0, 6.0), DAY, 10),
        ((4.0, 16.0, 6.0), DAY, None),  # larger
        ((*DEFROST, 4.0, 4.0), DAY, None),  # longer
    ],
)
def test_an_event_is_quieted_at_its_time_of_day_unless_it_is_larger_or_longer(deviations, when, expected):
    assert repeats(labelled(1, course(*DEFROST)), course(*deviations, start=START + when)) == expected


def test_another_direction_feature_or_entity_is_none_of_it():
    examples, later = labelled(1, course(*DEFROST)), {"start": START + DAY}
    down = [(time, [{**causes[0], "deviation": -8.0}, causes[1]]) for time, causes in course(8.0, 8.0, **later)]
    assert repeats(examples, down) is None
    assert repeats(examples, course(8.0, 8.0, **later, feature="power")) is None
    assert repeats(examples, course(*DEFROST, **later), entity="freezer") is None


def test_what_several_labelled_events_did_together_counts():
    door = {"feature": "door", "share": 0.9, "deviation": 8.0}
    wide = [(time, [causes[0], door]) for time, causes in course(8.0, 8.0, 8.0)]
    later = [(time + 2 * DAY, causes) for time, causes in (*wide[:2], *course(8.0, start=START + 10 * MINUTE))]
    first, second = labelled(1, course(*DEFROST)), labelled(2, [(time + DAY, causes) for time, causes in wide])
    assert [repeats(examples, later) for examples in (first, second, [*second, *first])] == [None, None, 20]


def test_single_moments_take_two_labels():
    first, second = labelled(1, course(8.0)), labelled(2, course(8.0, start=START + DAY))
    new = course(7.0, start=START + 2 * DAY)
    assert [repeats(first, new), repeats([*second, *first], new)] == [None, 20]


def test_a_confirmed_incident_of_the_kind_ends_it():
    examples = labelled(1, course(*DEFROST))
    confirmed = labelled(2, course(10.0, 9.0, start=START + 7 * HOUR), "confirmed")
    assert repeats([*confirmed, *examples], course(*DEFROST, start=START + DAY)) is None


def test_labelled_rows_of_no_incident_count_with_their_own_times():
    rows = [replace(row, incident_id=None, start_time=None, end_time=None) for row in labelled(1, course(8.0))]
    again = [replace(row, anomaly_id=2, time=row.time + DAY) for row in rows]
    assert repeats([*again, *rows], course(8.0, start=START + 2 * DAY)) == 2
