"""The level of recent days: a median at the same time of the day, which a fault of some days does not move."""

import numpy as np

from detector.series.line import Line
from detector.series.recent_days import recent_level


def test_a_level_follows_what_lasts_for_most_of_two_weeks_and_no_fault_of_some_days():
    residual = np.zeros((4 * 40, 1))
    residual[4 * 10 : 4 * 15] = 9.0  # five days
    residual[4 * 25 :] = 5.0  # for good
    level = recent_level(residual, 4)[:, 0]
    assert (level[: 4 * 31] == 0).all()
    assert (level[4 * 34 :] == 5).all()


def test_a_level_is_that_of_the_same_time_of_day_and_leaves_out_missing_records():
    residual = np.tile([[0.0], [0.0], [0.0], [4.0], [4.0], [4.0], [0.0], [0.0]], (20, 1))
    residual[::3] = np.nan
    level = recent_level(residual, 8)[16:, 0]
    assert (level[4::8] == 4).all()
    assert (level[::8] == 0).all()
    assert recent_level(residual, 8)[0, 0] == 0
    assert (recent_level(residual, 8, shift=4)[16::8] == 4).all()


def test_siblings_of_one_time_count_once():
    residual = np.repeat(np.arange(60.0), 2)[:, None]
    line = Line(np.arange(120) % 2 == 1)
    np.testing.assert_array_equal(recent_level(residual, 4, line)[1::2], recent_level(residual[1::2], 4))
    np.testing.assert_array_equal(recent_level(residual, 4, line)[::2], recent_level(residual[1::2], 4))
