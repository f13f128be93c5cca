"""Channels of series: values become comparable cells, and broken rules stand out."""

from dataclasses import replace

import numpy as np
import pytest

from detector.series.channels import MAX_STILL_ROWS, Channels


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_cells_come_back_as_values(rng):
    values = 5 + 2 * rng.standard_normal((500, 3)) * [1, 10, 100]
    channels = Channels.fit([values[:300]])
    np.testing.assert_allclose(channels.values(channels.cells(values).z), values)


def test_flags_are_not_continuous_unless_all_channels_are_flags(rng):
    flags = (rng.random((100, 2)) < 0.5).astype(float)
    numbers = rng.standard_normal((100, 1))
    assert Channels.fit([np.hstack([flags, numbers])]).continuous.tolist() == [2]
    assert Channels.fit([flags]).continuous.tolist() == [0, 1]


def test_a_constant_channel_that_changes_is_a_jump_and_a_breach():
    channels = Channels.fit([np.full((100, 1), 3.0)])
    cells = channels.cells(np.array([[3.0], [2.0], [3.0 + 1e-9]]))
    assert cells.z[:, 0].tolist() == [0, -4, 0]
    assert cells.breach[:, 0].tolist() == [0, 8, 0]


def test_missing_cells_weigh_less_if_training_had_some(rng):
    values = rng.standard_normal((1000, 2))
    values[::5, 1] = np.nan
    breach = Channels.fit([values]).cells(np.full((1, 2), np.nan)).breach[0]
    np.testing.assert_allclose(breach, [8, 2])


def test_a_channel_without_any_value_in_training_may_stay_missing(rng):
    values = np.column_stack([rng.standard_normal(100), np.full(100, np.nan)])
    cells = Channels.fit([values]).cells(values)
    assert not cells.breach.any()
    assert np.isfinite(cells.z).all()


def test_infinite_cells_have_finite_scores(rng):
    values = rng.standard_normal((100, 1))
    channels = Channels.fit([values])
    values[50] = np.inf
    assert 100 < channels.cells(values).z[50, 0] < 1000


def test_a_glitch_enters_the_past_as_the_value_that_was_expected_and_a_new_level_as_it_is(rng):
    channels = Channels.fit([rng.normal(size=(2000, 1))])
    z = channels.cells(np.array([[0.1], [0.2], [0.3], [9.0], [0.2], [0.1], [8.0], [8.1], [8.2], [8.3]]))
    replaced = np.flatnonzero(z.kept != z.z)
    assert replaced.tolist() == [3, 6, 7]
    np.testing.assert_array_equal(z.kept[3], z.z[1])
    old = replace(channels, largest_move=None).cells(np.array([[0.1], [9.0]]))
    np.testing.assert_array_equal(old.kept, old.z)


def test_only_a_channel_that_always_moved_can_be_stuck(rng):
    restless = rng.standard_normal(1000)
    calm = np.repeat(restless[:84], 12)[:1000]
    channels = Channels.fit([np.column_stack([restless, calm])])
    still = np.concatenate([rng.standard_normal((10, 2)), np.ones((MAX_STILL_ROWS, 2))])
    is_stuck = channels.cells(still).is_stuck
    assert is_stuck.any(axis=0).tolist() == [True, True]
    assert np.flatnonzero(is_stuck[:, 1])[0] == 32  # after twice eleven rows
    assert not is_stuck[:18].any()  # the value of row 10, and then seven times the same
    assert is_stuck[18:, 0].all()
    signal = channels.cells(still).stuck_signal
    np.testing.assert_array_equal(signal[18:26, 0], 8)
    np.testing.assert_array_equal(np.diff(signal[26:74, 0]), [1] * 47)  # and more, the longer it lasts
    assert signal[32, 1] == 2
    rounded = np.concatenate([still[:5], still[4:]])  # one more unchanged row, not long before
    assert np.flatnonzero(channels.cells(rounded).is_stuck[:, 0])[0] == 23  # after twelve rows
    old = replace(channels, never_still=None, standing=None).cells(still).is_stuck
    assert (np.flatnonzero(old[:, 0])[0], old[:, 1].any()) == (22, False)


def test_a_rounded_channel_may_stand_still_for_twice_as_long_as_ever_and_rest_for_longer(rng):
    resting = rng.integers(1, 9, 4000) * (np.arange(4000) % 40 > 20)
    rounded = np.repeat(np.arange(400) % 7, rng.integers(5, 16, 400))[:3000]
    channels = [Channels.fit([column[:, None].astype(float)]) for column in (resting, rounded)]
    flagged = []
    for own, value in zip((channels[0], channels[0], channels[1]), (0.0, 2.0, 3.0), strict=True):
        still = np.concatenate([[[1.0]], np.full((120, 1), value)])
        flagged.append(int(np.argmax(own.cells(still).is_stuck[:, 0])))
    assert flagged[0] == 4 * 20 + 1
    assert flagged[1] == 13
    assert flagged[2] == 2 * 14 + 1


def test_standstills_longer_than_chance_makes_them_and_quiet_times_in_training_raise_the_limits(rng):
    moving = rng.integers(0, 8, 3000).astype(float)
    bursts = moving.copy()
    bursts[500:520] = 0.5  # a standstill of 19 rows, among others of at most four
    bursts[1000:1030] = 7.5  # the most common value is another one
    limits = [Channels.fit([column[:, None]]).standing.still_limit[0] for column in (moving, bursts)]
    assert limits == [12, 0]
    frozen = rng.standard_normal(3000)
    for start in (500, 2000):
        frozen[start : start + 10] = frozen[start]  # nine rows that stand still, twice
    assert Channels.fit([frozen[:, None]]).standing.still_limit[0] == 18
    noise = rng.standard_normal((3000, 1))
    varying = noise.copy()
    varying[1000:1300] *= 0.2
    spreads = [Channels.fit([column]).standing.least_spread[0] for column in (noise, varying)]
    assert spreads[0] > 0.3
    assert spreads[1] == 0


def test_a_channel_that_hardly_moves_is_dead_and_one_that_rests_is_not(rng):
    noise = rng.standard_normal((3000, 1))
    channels = Channels.fit([noise])
    dead = noise[:200].copy()
    dead[100:] *= 0.05
    is_stuck = channels.cells(dead).is_stuck[:, 0]
    assert not is_stuck[:120].any()
    assert is_stuck[140:].all()


def test_a_channel_with_another_rounding_stands_still_again_and_again_and_is_not_dead(rng):
    channels = Channels.fit([rng.standard_normal((1000, 1))])
    coarse = np.repeat(rng.standard_normal(10), 16)[:, None]
    signal = channels.cells(coarse).stuck_signal[:, 0]
    assert signal[15] == 8
    assert signal[16:].max() < 1


def test_a_cell_that_leaps_out_of_the_range_breaks_a_rule_but_a_level_outside_of_it_does_not(rng):
    channels = Channels.fit([rng.uniform(-1, 1, (500, 2))])
    values = rng.uniform(-1, 1, (40, 2))
    values[10, 0], values[20:30, 0] = 9.0, 9.0
    values[35:, 0] = [1.2, 1.4, 1.6, 1.8, 2.0]  # step by step, no further than cells move in training
    breach = channels.cells(values).breach
    assert np.flatnonzero(breach[:, 0]).tolist() == [10, 20, 21]  # of the level, until the median has followed
    assert breach[10, 0] == 8
    assert not breach[:, 1].any()
    older = replace(channels, silent_rows=None).cells(values)
    assert not older.breach.any()
    assert older.is_lost is older.is_missing
