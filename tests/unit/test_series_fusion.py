"""Fusion of signals: the largest alarms make the score."""

from dataclasses import replace

import numpy as np
import pytest

from detector.series.fusion import Fusion


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_a_single_high_record_is_not_remembered_and_two_are(rng):
    fusion = Fusion.fit([rng.standard_normal((4000, 3))], (2, 8))
    calm, one, two = (np.zeros((50, 3)) for _ in range(3))
    one[20], two[20:22] = 90.0, 90.0
    peak, after = fusion.scores(one)[20:22]
    assert peak > 3
    assert after < fusion.scores(two)[22]
    np.testing.assert_array_equal(fusion.scores(one)[:20], fusion.scores(calm)[:20])
    older = replace(fusion, highest=None)
    assert older.scores(one)[21] > after


def test_the_two_largest_alarms_and_the_largest_span_make_the_score(rng):
    signals = rng.standard_normal((4000, 3))
    fusion = Fusion.fit([signals], (2, 8))
    calm, one, two = (np.zeros((50, 3)) + alarm for alarm in ([0, 0, 0], [9, 0, 0], [9, 9, 0]))
    scores = [fusion.scores(rows)[-1] for rows in (calm, one, two)]
    assert scores[0] < scores[1] < scores[2]
    assert fusion.scores(np.tile([9.0, 9, 9], (50, 1)))[-1] == pytest.approx(scores[2], rel=0.1)
    spike = np.zeros((50, 3))
    spike[-1] = 9
    short, long = (Fusion.fit([signals], (life,)).scores(spike)[-1] for life in (2, 8))
    assert fusion.scores(spike)[-1] == max(short, long)


def test_a_signal_that_is_far_higher_at_some_times_of_a_history_does_not_hide_the_others(rng):
    signals = np.abs(rng.standard_normal((4000, 3)))
    signals[2000:2060, 0] += 40  # as in a state that only one fold shows
    before, bounded = (Fusion.fit([signals], (2, 8), bounds_tail=bounds) for bounds in (False, True))
    fault = np.tile([0.0, 4, 4], (50, 1))
    assert before.scores(fault)[-1] < np.quantile(before.scores(signals), 0.99)
    assert bounded.scores(fault)[-1] > np.quantile(bounded.scores(signals), 0.99)
    assert (np.quantile(bounded.alarms(signals), 0.99, axis=1) < 1.01).all()
    np.testing.assert_array_equal(bounded.spread[:, 1:], before.spread[:, 1:])
