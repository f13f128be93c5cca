"""Signals of series: forecasts from the past of a channel and of all channels, and the total of all deviations."""

import numpy as np
import pytest

from detector.series.channels import Channels, compress
from detector.series.signals import TOTAL_SIGNALS, Forecast, OwnForecast, Signals, profile


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


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


def test_the_total_notices_that_every_channel_is_a_little_off_though_each_stays_in_its_range(rng):
    training, later = rng.standard_normal((2000, 12)), rng.standard_normal((300, 12))
    later[200:] = np.clip(later[200:] + 1.0, -3.0, 3.0)
    channels = Channels.fit([training])
    signals = Signals.fit([channels.cells(training)], channels.continuous, reference=500)
    place = signals.names(has_calendar=False).index(*TOTAL_SIGNALS)
    cells = channels.cells(later)
    total = signals.measure(cells)[:, place]
    assert np.median(total[220:]) > total[100:200].max()
    of_last = (profile(cells, signals.continuous)[299] - signals.total.mean) / signals.total.deviation
    assert total[299] == pytest.approx(np.abs(compress(of_last)).sum())
    few = Channels.fit([training[:, :8]])
    assert Signals.fit([few.cells(training[:, :8])], few.continuous, reference=500).total is None
    without = Signals.fit([channels.cells(training)], channels.continuous, reference=500, has_total=False)
    np.testing.assert_array_equal(without.measure(cells), np.delete(signals.measure(cells), place, axis=1))
