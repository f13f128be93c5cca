"""Flagged records that resemble a labelled one, by entity, main cause, direction and size."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from jobs.look_alikes import LookAlikes
from jobs.store.alert_rule import AlertRule
from jobs.store.incident_summary import merge_nearby, summary_of_record
from jobs.store.labelled_examples import LabelledExample
from schemas.frames import Cause, Explanation

RADIUS = 0.3
START = datetime(2026, 3, 1, tzinfo=UTC)


def causes(flow=5.0, temp=0.5, flow_share=0.5, value=8.0):
    return (
        Cause("flow", share=abs(flow) * flow_share, deviation=flow, value=value, expected=3.0),
        Cause("temp", share=abs(flow) * (1 - flow_share), deviation=temp, value=61.0, expected=60.0),
    )


def example(number, label="false_positive", entity="a", **what):
    return LabelledExample(number, None, entity, label, [cause.to_json() for cause in causes(**what)])


def resembled(*examples, entity="a", exact=(), **what):
    found = LookAlikes(examples, RADIUS, exact).resembled(entity, Explanation(causes(**what)))
    return None if found is None else found.anomaly_id


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ({"flow": 5.5}, 1),
        ({"flow": 4.0}, 1),
        ({"flow": 2.5}, 1),
        ({"flow": -5.0}, None),
        ({"flow": 9.0}, None),
        ({"temp": 5.0}, None),
        ({"flow_share": 0.9}, None),
        ({"entity": "b"}, None),
        ({"value": None}, None),
    ],
)
def test_a_record_is_alike_in_entity_causes_and_direction_if_it_is_not_much_larger(what, expected):
    assert resembled(example(1), **what) == expected


def test_a_record_of_one_main_cause_takes_three_labels_within_the_radius():
    rows = [example(number, flow=flow, flow_share=0.9) for number, flow in ((1, 5.0), (2, 5.2), (3, 5.4))]
    assert [resembled(*rows[:count], flow=5.1, flow_share=0.9) for count in (1, 2, 3)] == [None, None, 1]
    far = example(4, flow=50.0, flow_share=0.9)
    assert resembled(*rows[:2], replace(far, label="confirmed"), flow=5.1, flow_share=0.9) is None


def test_two_labels_at_the_time_of_day_of_a_record_of_one_main_cause_suffice():
    rows = [
        replace(example(number, flow=5.0, flow_share=0.9), time=START + timedelta(days=number, minutes=15 * number))
        for number in (0, 1)
    ]
    explanation, look_alikes = Explanation(causes(flow=5.1, flow_share=0.9)), LookAlikes(rows, RADIUS)
    at = {minutes: START + timedelta(days=9, minutes=minutes) for minutes in (-4, 19, 25)}
    found = {minutes: look_alikes.resembled("a", explanation, time) for minutes, time in at.items()}
    assert {minutes: one is not None for minutes, one in found.items()} == {-4: True, 19: True, 25: False}
    assert LookAlikes(rows[:1], RADIUS).resembled("a", explanation, at[19]) is None


def test_the_nearest_label_decides_unless_a_confirmed_one_is_near_a_false_positive():
    false = (example(1, flow=5.0), example(2, flow=5.4))
    assert [resembled(*false, flow=flow) for flow in (5.1, 5.5)] == [1, 2]
    near, far = (example(3, "confirmed", flow=flow) for flow in (6.0, 60.0))
    assert [resembled(*false, near, flow=flow) for flow in (5.1, 5.5, 5.9)] == [None, None, 3]
    assert resembled(*false, far, flow=5.1) is None  # a smaller one is alike
    assert resembled(*false, example(3, "confirmed", flow=-6.0), flow=5.1) == 1


def test_of_a_category_only_equal_values_are_alike():
    assert resembled(example(1, value="night"), value="night", exact=["flow"]) == 1
    assert resembled(example(1, value="night"), value="day", exact=["flow"]) is None
    assert resembled(example(1, value=8.0), value=8.1) == 1


def test_the_distance_is_a_share_of_the_larger_deviation():
    found = LookAlikes([example(1, flow=4.0)], RADIUS).resembled("a", Explanation(causes()))
    assert found.distance == pytest.approx(0.5 / np.hypot(3.0, 0.75))


def test_without_a_radius_labels_or_causes_nothing_is_suppressed():
    assert LookAlikes([example(1)], 0).resembled("a", Explanation(causes())) is None
    assert resembled() is None
    assert LookAlikes([example(1)], RADIUS).resembled("a", Explanation()) is None


def summary_of(*rows):
    """Return the incident of some rows, each a dictionary of `causes`."""
    times = [START + number * timedelta(minutes=1) for number in range(len(rows))]
    attributions = [[cause.to_json() for cause in causes(**row)] for row in rows]
    pairs = zip(times, attributions, strict=True)
    records = [summary_of_record("a", time, 10.0, 50.0, attribution, False) for time, attribution in pairs]
    return merge_nearby(records, timedelta(hours=1))[0]


def test_records_of_series_are_not_compared_alone_and_incidents_of_others_are_not_compared():
    rows = [replace(example(number), time=START + number * timedelta(minutes=5), incident_id=7) for number in (0, 1)]
    read = {True: lambda: [rows[0].attribution], False: list}
    found = {of_series: LookAlikes(rows, RADIUS, of_series=of_series) for of_series in read}
    alike = {of_series: one.false_alarm_like(summary_of({}), read[of_series]) for of_series, one in found.items()}
    assert alike == {True: 0, False: None}
    assert found[True].resembled("a", Explanation(causes())) is None


@pytest.mark.parametrize("of_series", [False, True])
def test_an_incident_resembles_a_confirmed_one(of_series):
    look_alikes = LookAlikes([example(1, "confirmed"), example(2, flow=-5.0)], RADIUS, of_series=of_series)
    assert look_alikes.confirmed_like(summary_of({"flow": 4.5})) == 1
    assert look_alikes.confirmed_like(summary_of({"flow": -4.5})) is None
    assert look_alikes.confirmed_like(summary_of({"flow": 4.5}), own={1}) is None


def test_of_what_resembles_a_confirmed_record_only_routes_need_a_severity():
    rule = AlertRule(("ops", "pager"), severity=60, routes=(("pager", 80.0),))
    assert [rule.severity_of(channel, is_raised=True) for channel in rule.channels] == [0.0, 80.0]
    assert rule.held_back(summary_of({}), START, is_raised=True) is None
    assert replace(rule, channels=("pager",)).held_back(summary_of({}), START, is_raised=True) == "severity"
    assert rule.held_back(summary_of({}), START) == "severity"
