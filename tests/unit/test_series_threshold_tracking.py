"""Tracking: a rate that holds while scores drift, whatever their scale, and incidents that do not use it up."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.core.threshold_tracking import TrackerMove, Trackers
from detector.series import Tracker
from schemas.errors import RateTooSmall

RATE = 0.01


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def flagged_by(reference: np.ndarray, scores: np.ndarray) -> np.ndarray:
    thresholds, _ = Tracker.start(reference, RATE).advance(scores)
    return scores > thresholds


@pytest.mark.parametrize("moved", [0, 3, -3, np.linspace(0, 30, 20_000), np.sin(np.arange(20_000) / 300)])
def test_the_rate_holds_whatever_the_scores_do(rng, moved):
    scores = rng.gumbel(size=21_000)
    flagged = flagged_by(scores[:1000], scores[1000:] + moved)
    assert RATE / 2 < flagged.mean() < 2 * RATE


def test_it_starts_at_the_conformal_threshold_and_refuses_a_rate_that_the_reference_cannot_resolve():
    assert Tracker.start(np.arange(99.0), RATE).threshold == 98
    with pytest.raises(RateTooSmall, match="98"):
        Tracker.start(np.arange(98.0), RATE)


def test_the_threshold_rises_by_a_step_after_an_alarm_and_sinks_otherwise():
    reference = np.arange(0.0, 101)  # its step: 0.1 (99 - 50)
    assert flagged_by(reference, np.array([102.0, 102.0, 106.0])).tolist() == [True, False, True]
    later = np.flatnonzero(flagged_by(reference, np.full(2_000, 80.0)))
    assert later[0] == 409  # from 100 down by 0.049 a row
    assert set(np.diff(later)) <= {99, 100}


def test_after_a_long_incident_the_next_one_is_flagged_too(rng):
    scores = rng.normal(size=6000)
    scores[2000:2400] += 8
    scores[3000:3010] += 8
    flagged = flagged_by(rng.normal(size=1000), scores)
    assert flagged[2000]
    assert flagged[3000]
    assert flagged[2400:3000].mean() < 2 * RATE


def test_an_incident_is_flagged_to_its_end_and_the_next_one_is_heard_soon_after(rng):
    scores = rng.normal(size=3000)
    scores[1000:1200] += 8
    scores[1206:1209] += 8
    flagged = flagged_by(rng.normal(size=1000), scores)
    assert flagged[1000:1200].all()
    assert flagged[1200:1206].sum() <= 1
    assert flagged[1206:1209].all()
    assert flagged[1209:].mean() < 2 * RATE


def test_at_a_low_rate_incidents_of_a_steady_stream_do_not_raise_the_threshold_for_long(rng):
    reference, scores = rng.gumbel(size=8000), rng.gumbel(size=6000)
    for start in range(1000, 2200, 200):
        scores[start : start + 12] += 12
    thresholds, after = Tracker.start(reference, 0.001).advance(scores)
    calibrated, raised = Tracker.start(reference, 0.001).threshold, thresholds[2212:2400].max()
    assert after.threshold - calibrated < (raised - calibrated) / 8
    drifted = Tracker.start(reference, 0.001).advance(scores + 1.5)[0]  # no longer steady
    assert drifted[-1] - calibrated > (drifted[2212:2400].max() - calibrated) / 2


def test_at_a_rate_of_several_percent_a_long_incident_gives_no_credit_for_later_alarms(rng):
    scores, reference = rng.normal(size=400), rng.normal(size=1000)
    scores[100:300] += 8
    thresholds, after = Tracker.start(reference, 0.1).advance(scores)
    flagged = scores > thresholds
    assert flagged[100:300].all()
    assert flagged[300:].mean() < 0.2
    assert after.threshold > 0.5


def test_scores_that_hover_around_the_threshold_are_not_flagged_on_and_on():
    reference = np.arange(0.0, 101)  # a floor of 0.35 (99 - 50) above 100
    assert flagged_by(reference, np.full(15, 104.0)).sum() == 1
    assert flagged_by(reference, np.full(40, 118.0)).all()


def test_scores_of_a_fault_may_dip_and_one_high_score_is_no_fault():
    reference = np.arange(0.0, 101)
    dips = np.where(np.arange(40) % 4 == 3, 95.0, 160.0)
    assert flagged_by(reference, dips)[12:].all()
    assert flagged_by(reference, np.array([100_000.0, *40 * [95.0]])).sum() == 1
    assert flagged_by(reference, np.append(np.full(20, 160.0), np.full(9, 60.0))).sum() == 21
    assert flagged_by(reference, np.append(np.full(20, 160.0), np.full(9, 45.0))).sum() == 20  # as usual as most


def test_a_flagged_score_that_dips_has_a_threshold_right_below_it_and_others_have_that_of_the_incident():
    reference = np.arange(0.0, 101)
    thresholds, _ = Tracker.start(reference, RATE).advance(np.array([160.0] * 20 + [95.0, 160.0]))
    assert thresholds[20] == np.nextafter(95, 0)
    assert (np.delete(thresholds, 20) >= 99).all()


def test_bursts_that_recur_are_flagged_less_and_less_and_rare_ones_as_a_whole(rng):
    def flagged_share(every):
        scores = rng.normal(size=40 * every)
        is_burst = np.arange(len(scores)) % every > every - 30
        return flagged_by(rng.normal(size=1000), scores + 6 * is_burst)[is_burst][-30 * 20 :].mean()

    assert flagged_share(3000) > 0.9
    assert flagged_share(100) < 0.6


def test_incidents_that_recur_raise_the_floor_of_the_next_one_but_not_its_beginning():
    start = Tracker.start(np.arange(0.0, 101), RATE)
    burst = np.append(np.full(30, 400.0), np.full(9, 50.0))
    once, often = (start.advance(np.tile(burst, count))[1] for count in (1, 4))
    assert once.recent == pytest.approx(10, rel=0.01)
    assert often.recent == pytest.approx(40, rel=0.02)
    fault = np.full(40, 100 + 0.8 * 49)
    flagged = [fault > replace(tracker, threshold=100.0).advance(fault)[0] for tracker in (once, often)]
    assert flagged[0].all()
    assert (flagged[1][0], flagged[1].sum() < 15) == (True, True)


def test_a_level_that_lasts_becomes_usual_although_it_is_below_the_floor():
    start = Tracker.start(np.arange(0.0, 101), RATE)
    beginning, level = np.full(20, 160.0), np.full(400, 100 + 0.2 * 49)
    assert start.advance(np.append(beginning, level))[1].shifts == 1


def test_a_shift_for_good_becomes_usual_after_a_number_of_records(rng):
    scores = rng.normal(size=6000)
    scores[1000:] += 20
    tracker = replace(Tracker.start(rng.normal(size=1000), RATE), usual_after=200)
    thresholds, after = tracker.advance(scores)
    flagged = scores > thresholds
    assert flagged[1000:1200].all()
    assert flagged[1200:].mean() < 2 * RATE
    assert (tracker.shifts, after.shifts) == (0, 1)


def test_after_a_usual_level_the_threshold_of_before_returns_with_the_scores(rng):
    scores = rng.normal(size=3000)
    scores[1000:2000] += 20
    flagged = flagged_by(rng.normal(size=1000), np.append(scores, np.full(5, 7.0)))
    assert flagged[1000:1300].all()
    assert flagged[-5:].all()


def test_a_state_of_an_earlier_version_continues(rng):
    old = {"rate": RATE, "threshold": 3.0, "spread": 2.0, "before": 2.5, "calm": 1}
    tracker = Tracker.from_state(old)
    assert tracker.advance(np.zeros(3))[1].before is None
    assert tracker.to_state().items() >= old.items()


@given(
    scale=st.sampled_from([2.0**-20, 0.5, 4.0, 2.0**20]),
    shift=st.sampled_from([0.0, -8.0, 64.0]),
    seed=st.integers(0, 99),
)
def test_the_unit_of_the_scores_does_not_matter(scale, shift, seed):
    scores = np.random.default_rng(seed).gamma(2, 10, 600)
    scores[500:] += 1000
    before, after = (flagged_by(part[:200], part[200:]) for part in (scores, scale * (scores + shift)))
    np.testing.assert_array_equal(before, after)


def test_equal_calibration_scores_are_no_obstacle(rng):
    reference, scores = np.full(500, 2.0), rng.normal(2, 1e-6, 10_000)
    assert RATE / 2 < flagged_by(reference, scores)[2000:].mean() < 2 * RATE
    assert not flagged_by(reference, np.full(1000, 2.0)).any()


@given(cuts=st.lists(st.integers(0, 400), max_size=6))
def test_a_stream_may_be_cut_anywhere_and_the_state_stored_in_between(cuts):
    rng = np.random.default_rng(1)
    tracker = Tracker.start(rng.normal(size=200), RATE)
    scores = rng.normal(size=400) + 4 * (rng.random(400) < 0.1)
    whole, last = tracker.advance(scores)
    parts = []
    for part in np.split(scores, sorted(cuts)):
        thresholds, tracker = Tracker.from_state(json.loads(json.dumps(tracker.to_state()))).advance(part)
        parts.append(thresholds)
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    assert tracker == last


def test_a_tracker_does_not_change_when_it_moves_on(rng):
    tracker = Tracker.start(rng.normal(size=200), RATE)
    once, again = (tracker.advance(np.array([9.0, 9.0, 0.0])) for _ in range(2))
    np.testing.assert_array_equal(once[0], again[0])
    assert once[1] == again[1] != tracker


def test_each_entity_is_tracked_on_its_own_and_loaded_once(rng):
    start, loaded = Tracker.start(rng.normal(size=200), RATE), []

    def load(entity):
        loaded.append(entity)
        return start

    trackers, scores = Trackers(load), rng.normal(size=(2, 60)) * 3
    for part in np.split(scores, 3, axis=1):
        for entity, own in zip("ab", part, strict=True):
            trackers.advance(entity, own)
    assert loaded == ["a", "b"]
    assert trackers.moves == {
        name: TrackerMove(start, start.advance(own)[1]) for name, own in zip("ab", scores, strict=True)
    }
