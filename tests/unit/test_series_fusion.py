"""Fusion of signals: the largest alarms make the score."""

import numpy as np
import pytest

from detector.series.fusion import Fusion


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


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
