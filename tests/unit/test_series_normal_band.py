"""The normal band of channels: normal values rarely leave it, faults and drift do."""

import numpy as np
import pytest

from detector.series.model import SeriesModel
from detector.series.series import Series
from detector.series.settings import SeriesSettings
from tests.machines import channels


@pytest.fixture(scope="module")
def model():
    return SeriesModel.fit({"a": Series(np.arange(600), channels(600, 0))}, SeriesSettings(network=False))


def band(model, values):
    return model.normal_band("a", Series(np.arange(len(values)), values))


def test_normal_values_rarely_leave_it(model):
    values = channels(1200, 0)
    expected, low, high = band(model, values)
    inside = ((low <= values) & (values <= high))[300:, :3]
    assert inside.mean() > 0.98
    assert np.abs(values - expected)[300:, :3].mean() < 0.3
    assert ((low <= expected) & (expected <= high)).all()


def test_a_spike_leaves_it(model):
    values = channels(700, 0)
    values[650, 1] += 5
    _, _, high = band(model, values)
    assert values[650, 1] > high[650, 1]


def test_a_channel_that_drifts_out_of_the_range_of_training_leaves_it_for_good(model):
    values = channels(1200, 0)
    values[600:, 0] += np.linspace(0, 10, 600)
    _, _, high = band(model, values)
    assert (values[900:, 0] > high[900:, 0]).all()


def test_a_missing_value_is_expected_too(model):
    values = channels(700, 0)
    values[650, 1] = np.nan
    expected, low, high = band(model, values)
    assert np.isfinite([expected[650, 1], low[650, 1], high[650, 1]]).all()


def test_without_a_past_it_is_no_wider_than_the_range_of_training(model):
    values = channels(5, 0)
    _, low, high = band(model, values)
    training = channels(600, 0)
    assert (high[0, :3] - low[0, :3] < 2 * np.ptp(training[:, :3], axis=0)).all()
