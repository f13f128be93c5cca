"""The dispersion of channels: noise, damping and hunting within the usual range are seen, and other faults are not."""

from dataclasses import replace

import numpy as np
import pytest

from detector.series import Series, SeriesModel, SeriesSettings
from detector.series.channels import Channels
from detector.series.dispersion import MAX_CHANNELS, Dispersion, varying_channels
from detector.series.recovery import without_faults
from detector.series.signals import OwnForecast

FAULT = slice(300, 400)
SEEN = slice(324, 400)  # as the mean error has the fault in most of its records


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def wandering(rng, n, noise=0.3):
    """Return two channels (n, 2) that wander, the first with noise."""
    steps = 0.05 * rng.standard_normal((n, 2))
    level = np.zeros((n, 2))
    for row in range(1, n):
        level[row] = 0.99 * level[row - 1] + steps[row]
    return level + noise * rng.standard_normal((n, 2))


def fitted(training):
    channels = Channels.fit([training])
    cells = channels.cells(training)
    own = OwnForecast.fit([cells])
    varying = varying_channels([cells], channels.continuous)
    return channels, own, Dispersion.fit([cells], [own.errors(cells)], varying)


def deviation(parts, values, replaced=None):
    channels, own, dispersion = parts
    cells = channels.cells(values)
    cells = cells if replaced is None else without_faults(cells, replaced)
    return dispersion.deviation(cells, own.errors(cells))


@pytest.mark.parametrize(("factor", "sign"), [(2.5, 1), (0.4, -1)])
def test_a_channel_with_other_noise_deviates_in_its_direction_and_recovers_soon(rng, factor, sign):
    parts, values = fitted(wandering(rng, 4000)), wandering(rng, 600)
    smooth = np.convolve(values[:, 0], np.ones(9) / 9, mode="same")
    values[FAULT, 0] = (smooth + factor * (values[:, 0] - smooth))[FAULT]
    found = deviation(parts, values)
    assert (sign * found[SEEN, 0] > 1).mean() > 0.75
    assert (np.abs(found[420:, 0]) > 1).mean() < 0.1
    assert (np.abs(found[100:, 1]) > 1).mean() < 0.1


def test_glitches_and_standing_still_are_no_dispersion(rng):
    parts, values = fitted(wandering(rng, 4000)), wandering(rng, 600)
    usual = np.abs(deviation(parts, values)[:, 0]).max()
    glitches, stuck = values.copy(), values.copy()
    glitches[300:400:20, 0] = 30
    stuck[FAULT, 0] = stuck[300, 0]
    assert np.abs(deviation(parts, glitches)[:, 0]).max() < max(usual, 1)
    assert (deviation(parts, stuck)[SEEN, 0] == 0).all()


def test_cells_in_place_of_faulty_ones_do_not_count(rng):
    parts, values = fitted(wandering(rng, 4000)), wandering(rng, 600)
    values[FAULT, 0] += 2 * rng.standard_normal(100)
    is_faulty = np.zeros(values.shape, dtype=bool)
    is_faulty[FAULT, 0] = True
    assert (deviation(parts, values, is_faulty)[SEEN, 0] == 0).all()


def test_channels_that_mostly_stand_still_and_machines_of_many_channels_have_none(rng):
    values = np.column_stack([wandering(rng, 500)[:, 0], np.repeat(rng.standard_normal(50), 10)])
    channels = Channels.fit([values])
    assert varying_channels([channels.cells(values)], channels.continuous).tolist() == [0]
    many = rng.standard_normal((500, MAX_CHANNELS + 1))
    channels = Channels.fit([many])
    assert not len(varying_channels([channels.cells(many)], channels.continuous))


def test_noise_raises_the_score_by_itself_and_names_its_channel(rng):
    values = wandering(rng, 2600)
    values[2200:2300, 0] += 0.8 * rng.standard_normal(100)
    times = np.datetime64("2026-03-02", "s") + np.timedelta64(60, "s") * np.arange(len(values))
    settings = SeriesSettings(models="per_entity", network=False, calendar=False)
    model = SeriesModel.fit({"pump": Series(times[:2000], values[:2000])}, settings)
    series = Series(times, values)
    threshold = np.quantile(model.reference("pump"), 0.99)
    fault = slice(2224, 2300)
    scores, own = model.scores("pump", series)[fault], model.entities["pump"]
    without = replace(own, fusion=replace(own.fusion, alone=None)).scored(series).scores[fault]
    assert (scores > threshold).mean() > 0.9
    assert (scores >= without).all()
    assert (np.argmax(model.causes("pump", series).evidence[fault], axis=1) == 0).mean() > 0.95


def test_runs_too_short_for_a_mean_error_leave_the_dispersion_unknown(rng):
    runs = np.split(wandering(rng, 200), 10)
    channels = Channels.fit(runs)
    cells = [channels.cells(run) for run in runs]
    own = OwnForecast.fit(cells)
    dispersion = Dispersion.fit(cells, [own.errors(part) for part in cells], np.arange(2))
    assert not dispersion.is_used.any()
    assert deviation((channels, own, dispersion), wandering(rng, 300)).tolist() == [[0, 0]] * 300


def test_a_history_of_a_hundred_records_trains(rng):
    model = SeriesModel.fit({"press": Series(np.arange(100.0), wandering(rng, 100))}, SeriesSettings(network=False))
    assert np.isfinite(model.scores("press", Series(np.arange(50.0), wandering(rng, 50)))).all()
