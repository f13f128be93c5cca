"""Running means of series: fixed weights over a fixed past."""

import numpy as np
import pytest

from detector.series.running_means import past_mean, running_mean, window_rows


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
