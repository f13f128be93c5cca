"""The parts of a series model: running means, channels, forecasts and the fusion of views."""

import numpy as np
import pytest

from detector.series.channels import MAX_STILL_ROWS, Channels
from detector.series.fusion import Fusion
from detector.series.running_means import past_mean, running_mean, window_rows
from detector.series.signals import Forecast, OwnForecast


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize("half_life", [2, 3, 8])
def test_a_running_mean_is_the_weighted_mean_of_its_rows(rng, half_life):
    x = rng.standard_normal((100, 2))
    rows = window_rows(half_life)
    weights = 0.5 ** (np.arange(rows) / half_life)
    expected = sum(weight * np.pad(x, ((age, 0), (0, 0)))[:100] for age, weight in enumerate(weights)) / weights.sum()
    np.testing.assert_allclose(running_mean(x, half_life), expected, atol=1e-12)
    np.testing.assert_allclose(past_mean(x, half_life)[1:], expected[:-1], atol=1e-12)
    assert not past_mean(x, half_life)[0].any()


def test_a_running_mean_has_the_same_bits_with_more_past(rng):
    x = rng.standard_normal(3000)
    np.testing.assert_array_equal(running_mean(x, 256)[1200:], running_mean(x[600:], 256)[600:])


def test_cells_come_back_as_values(rng):
    values = 5 + 2 * rng.standard_normal((500, 3)) * [1, 10, 100]
    channels = Channels.fit([values[:300]])
    np.testing.assert_allclose(channels.values(channels.cells(values).z), values)


def test_flags_have_no_shape_unless_there_is_nothing_else(rng):
    flags = (rng.random((100, 2)) < 0.5).astype(float)
    numbers = rng.standard_normal((100, 1))
    assert Channels.fit([np.hstack([flags, numbers])]).continuous.tolist() == [2]
    assert Channels.fit([flags]).continuous.tolist() == [0, 1]


def test_a_constant_channel_that_changes_is_a_jump_and_a_breach():
    channels = Channels.fit([np.full((100, 1), 3.0)])
    cells = channels.cells(np.array([[3.0], [2.0], [3.0 + 1e-9]]))
    assert cells.z[:, 0].tolist() == [0, -4, 0]
    assert cells.breach[:, 0].tolist() == [0, 8, 0]


def test_silence_weighs_less_where_training_had_some(rng):
    values = rng.standard_normal((1000, 2))
    values[::5, 1] = np.nan
    breach = Channels.fit([values]).cells(np.full((1, 2), np.nan)).breach[0]
    np.testing.assert_allclose(breach, [8, 2])


def test_a_channel_without_any_value_in_training_may_stay_silent(rng):
    values = np.column_stack([rng.standard_normal(100), np.full(100, np.nan)])
    cells = Channels.fit([values]).cells(values)
    assert not cells.breach.any()
    assert np.isfinite(cells.z).all()


def test_infinite_cells_have_finite_scores(rng):
    values = rng.standard_normal((100, 1))
    channels = Channels.fit([values])
    values[50] = np.inf
    assert 100 < channels.cells(values).z[50, 0] < 1000


def test_only_a_channel_that_always_moved_can_be_stuck(rng):
    restless = rng.standard_normal(1000)
    calm = np.repeat(restless[:84], 12)[:1000]
    channels = Channels.fit([np.column_stack([restless, calm])])
    still = np.concatenate([rng.standard_normal((10, 2)), np.ones((MAX_STILL_ROWS, 2))])
    is_stuck = channels.cells(still).is_stuck
    assert is_stuck.any(axis=0).tolist() == [True, False]
    assert not is_stuck[:20].any()


def test_what_a_channel_is_expected_to_do_does_not_depend_on_the_others(rng):
    values = np.cumsum(rng.standard_normal((500, 2)), axis=0)
    channels = Channels.fit([values])
    cells = channels.cells(values)
    own = OwnForecast.fit([cells])
    spoilt = values.copy()
    spoilt[200:, 1] += 50
    np.testing.assert_array_equal(own.residual(cells)[:, 0], own.residual(channels.cells(spoilt))[:, 0])
    assert np.abs(own.residual(cells)).mean() < np.abs(cells.z).mean()  # it does forecast


def test_a_forecast_of_many_channels_has_the_same_bits_however_many_records_come_with_it(rng):
    values = np.cumsum(rng.standard_normal((900, 40)), axis=0)
    channels = Channels.fit([values])
    forecast = Forecast.fit([channels.cells(values)])
    whole = forecast.expected(channels.cells(values))
    for end in (1, 2, 3, 5, 13, 100):
        np.testing.assert_array_equal(forecast.expected(channels.cells(values[:end])), whole[:end])


def test_the_two_most_alarmed_views_and_the_most_alarmed_span_make_the_score(rng):
    views = rng.standard_normal((4000, 3))
    fusion = Fusion.fit([views], (2, 8))
    calm, one, two = (np.zeros((50, 3)) + alarm for alarm in ([0, 0, 0], [9, 0, 0], [9, 9, 0]))
    scores = [fusion.scores(rows)[-1] for rows in (calm, one, two)]
    assert scores[0] < scores[1] < scores[2]
    assert fusion.scores(np.tile([9.0, 9, 9], (50, 1)))[-1] == pytest.approx(scores[2], rel=0.1)
    spike = np.zeros((50, 3))
    spike[-1] = 9
    short, long = (Fusion.fit([views], (life,)).scores(spike)[-1] for life in (2, 8))
    assert fusion.scores(spike)[-1] == max(short, long)
