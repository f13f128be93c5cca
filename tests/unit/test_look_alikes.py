"""Flagged records that resemble a labelled one, by entity, main cause, direction and size."""

import pytest

from jobs.scoring.look_alikes import LookAlikes
from jobs.store.labelled_examples import LabelledExample
from schemas.frames import Cause, Explanation

RADIUS = 0.3


def causes(flow=5.0, temp=0.5, flow_share=0.9, value=8.0):
    return (
        Cause("flow", share=10 * flow_share, deviation=flow, value=value, expected=3.0),
        Cause("temp", share=10 * (1 - flow_share), deviation=temp, value=61.0, expected=60.0),
    )


def example(number, label="false_positive", entity="a", **what):
    return LabelledExample(number, entity, label, [cause.to_json() for cause in causes(**what)])


def suppressed_by(*examples, entity="a", exact=(), **what):
    found = LookAlikes(examples, RADIUS, exact).suppression(entity, Explanation(causes(**what)))
    return None if found is None else found.anomaly_id


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ({"flow": 5.5}, 1),
        ({"flow": 4.0}, 1),
        ({"flow": -5.0}, None),
        ({"flow": 9.0}, None),
        ({"flow_share": 0.55, "temp": 5.0}, None),
        ({"entity": "b"}, None),
        ({"value": None}, None),
    ],
)
def test_a_record_is_alike_in_entity_cause_direction_and_size(what, expected):
    assert suppressed_by(example(1), **what) == expected


def test_the_nearest_label_decides_and_a_confirmed_one_keeps_a_record():
    labels = (example(1, flow=5.0), example(2, flow=5.4), example(3, "confirmed", flow=6.0))
    assert [suppressed_by(*labels, flow=flow) for flow in (5.1, 5.5, 5.9)] == [1, 2, None]


def test_of_a_category_only_equal_values_are_alike():
    assert suppressed_by(example(1, value="night"), value="night", exact=["flow"]) == 1
    assert suppressed_by(example(1, value="night"), value="day", exact=["flow"]) is None
    assert suppressed_by(example(1, value=8.0), value=8.1) == 1


def test_the_distance_is_a_share_of_the_larger_deviation():
    look_alikes = LookAlikes([example(1, flow=4.0, flow_share=1.0)], RADIUS)
    found = look_alikes.suppression("a", Explanation(causes(flow_share=1.0)))
    assert found.distance == pytest.approx(1 / 6)


def test_without_a_radius_labels_or_causes_nothing_is_suppressed():
    assert LookAlikes([example(1)], 0).suppression("a", Explanation(causes())) is None
    assert suppressed_by() is None
    assert LookAlikes([example(1)], RADIUS).suppression("a", Explanation()) is None
