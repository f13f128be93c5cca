"""Steady scores: weak faults that last are flagged as long as the scores lay as in calibration before."""

from dataclasses import replace

import numpy as np
import pytest

from detector.core.steady_scores import MIN_EVIDENCE_RECORDS, SteadyScores
from detector.core.threshold_tracking import Tracker

RATE = 0.01
REFERENCE = np.random.default_rng(0).permutation(np.arange(0.0, 1010) / 10)  # a threshold of 99.9, a spread of 49.5
CALM = np.random.default_rng(1).permutation(np.arange(0.0, 95))


def after(past: np.ndarray) -> Tracker:
    """Return a tracker at the calibrated threshold, with scores before that were no incident."""
    start = Tracker.start(REFERENCE, RATE)
    for score in past.tolist():
        start.steady.count(score)
    return start


def flagged_by(tracker: Tracker, scores: np.ndarray) -> np.ndarray:
    return scores > tracker.advance(scores)[0]


@pytest.fixture
def steady() -> Tracker:
    return after(np.tile(CALM, 5))


def test_a_weak_fault_that_lasts_is_flagged_to_its_end_and_not_followed(steady):
    fault = np.tile([102.0, 106.0], 60)  # below the usual floor
    flagged = flagged_by(steady, np.append(fault, CALM))
    assert flagged[MIN_EVIDENCE_RECORDS + 4 : 120].all()
    assert flagged[120:].sum() <= 5
    assert flagged_by(replace(steady, steady=None), fault).mean() < 0.1


def test_scores_right_below_the_threshold_are_an_incident_once_they_have_been_high_for_too_long(steady):
    flagged = flagged_by(steady, np.append(np.full(200, 98.0), CALM))
    first = int(flagged.argmax())
    assert MIN_EVIDENCE_RECORDS < first < 2 * MIN_EVIDENCE_RECORDS
    assert flagged[first:200].all()
    assert flagged[200:].sum() <= 2


def test_a_weak_fault_of_a_stream_that_has_drifted_is_followed():
    drifted = after(np.tile(CALM + 40, 5))
    assert not drifted.steady.is_steady
    assert flagged_by(drifted, np.tile([102.0, 106.0], 60)).mean() < 0.1


def test_a_strong_incident_keeps_the_usual_floor(steady):
    strong, weak = np.full(100, 200.0), np.full(10, 98.0)
    fault = np.append(strong, weak)
    steady = replace(steady, steady=replace(steady.steady, largest=1e9))
    np.testing.assert_array_equal(flagged_by(steady, fault), flagged_by(replace(steady, steady=None), fault))


def test_an_incident_of_a_steady_stream_flags_what_is_above_the_largest_normal_score(steady):
    assert steady.steady.largest == 100.9
    scores = np.concatenate([np.full(20, 150.0), np.full(12, 102.0), CALM])
    assert np.flatnonzero(flagged_by(steady, scores)).tolist()[:32] == list(range(32))
    without = replace(steady, steady=replace(steady.steady, largest=1e9))
    assert not flagged_by(without, scores)[26:].any()


def test_an_excess_that_goes_on_pays_no_debt_of_the_incident_before(steady):
    after_fault = replace(steady, debt=5.0).advance(np.append(np.full(60, 98.0), CALM[:20]))[1]
    plain = steady.advance(np.append(np.full(60, 98.0), CALM[:20]))[1]
    assert plain.before is None
    assert after_fault.threshold == plain.threshold
    assert after_fault.debt > 4.5


def test_scores_that_stayed_high_for_longer_in_calibration_ask_for_more_evidence():
    limits = [SteadyScores.start(np.append(np.tile(CALM, 40), np.full(n, 94.0)), 99).limit for n in (10, 60)]
    assert limits[1] > 1.5 * limits[0]


def test_recent_incidents_ask_for_more_evidence_too(steady):
    weak = np.full(45, 97.0)
    assert flagged_by(steady, weak).any()
    assert not flagged_by(replace(steady, recent=20.0), weak).any()
