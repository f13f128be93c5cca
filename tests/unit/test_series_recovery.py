"""Once a machine is usual again, the fault before does not raise the scores of its records."""

from dataclasses import replace

import numpy as np
import pytest

from detector.core.calibration import Calibration
from detector.series import Series, SeriesModel, SeriesSettings
from detector.series.channels import Channels
from detector.series.recovery import CALM_ROWS, SLOW_CALM_ROWS, faulty_cells, recovered_rows, without_faults
from detector.series.settling import HEARD_ROWS, from_recent_level

TRAINED, DAY = 24 * 42, 24
FAULT = slice(TRAINED + 100, TRAINED + 130)


def records(seed=0, shift=0.0):
    """Return hourly records of two channels that follow the day and one of pure noise, with a fault of the first."""
    rng = np.random.default_rng(seed)
    n = TRAINED + 300
    times = np.datetime64("2026-03-02", "s") + np.arange(n) * np.timedelta64(3600, "s")
    course = np.sin(2 * np.pi * np.arange(n) / DAY)
    values = np.column_stack([course, 2 - course, np.zeros(n)]) + rng.standard_normal((n, 3)) * [0.2, 0.2, 1]
    values[FAULT, 0] += shift
    return Series(times, values)


def part(series, rows):
    return Series(series.times[rows], series.values[rows])


@pytest.fixture(scope="module")
def models():
    """Return models that leave faults out of the past of recovered records, and that remember them."""
    settings = SeriesSettings(models="per_entity", network=False)
    return [
        SeriesModel.fit({"pump": part(records(), slice(TRAINED))}, replace(settings, recovery=recovery))
        for recovery in (True, False)
    ]


def excess(model, series):
    return model.scores("pump", series) - Calibration.fit(model.reference("pump")).threshold(0.01)


def test_a_fault_of_a_day_flags_at_most_the_first_records_after_it(models):
    recovering, remembering = (excess(model, records(shift=5.0)) for model in models)
    assert (recovering[FAULT] > 0).all()
    after = slice(FAULT.stop + CALM_ROWS, FAULT.stop + 60)
    assert (recovering[after] > 0).sum() <= 1
    assert (remembering[after] > 0).sum() > 15


def test_a_record_that_has_not_recovered_keeps_its_score(models):
    recovering, remembering = (model.scores("pump", records(shift=5.0)) for model in models)
    rows = slice(TRAINED, FAULT.stop + CALM_ROWS)
    np.testing.assert_array_equal(recovering[FAULT.start : rows.stop], remembering[FAULT.start : rows.stop])
    assert (recovering <= remembering).all()


def test_a_second_fault_soon_after_the_first_is_as_high_as_alone(models):
    alone, both = records(), records(shift=5.0)
    second = slice(FAULT.stop + CALM_ROWS + 2, FAULT.stop + CALM_ROWS + 8)
    for series in (alone, both):
        series.values[second, 1] += 2
    of_alone, of_both = (models[0].scores("pump", series)[second] for series in (alone, both))
    assert (of_both >= of_alone - 0.05).all()


def test_another_fault_is_heard_above_a_level_that_has_shifted_for_good(models):
    shifted, both = records(), records()
    second = slice(FAULT.start + HEARD_ROWS + 20, FAULT.start + HEARD_ROWS + 26)
    for series in (shifted, both):
        series.values[FAULT.start :, 0] += 3
    both.values[second, 1] += 3
    rises = [model.scores("pump", both) - model.scores("pump", shifted) for model in models]
    assert rises[0][second].min() > 0.7
    assert rises[1][second].max() < 0.5
    assert np.abs(rises[0][second.stop + CALM_ROWS + 1 : second.stop + 40]).max() < 0.5


def test_above_a_level_that_has_shifted_for_good_the_second_fault_is_the_cause(models):
    both = records()
    second = slice(FAULT.start + HEARD_ROWS + 20, FAULT.start + HEARD_ROWS + 26)
    both.values[FAULT.start :, 0] += 6
    both.values[second, 1] += 3
    shares = [model.causes("pump", both).share for model in models]
    np.testing.assert_allclose([share[second].sum(axis=1) for share in shares], 1)
    named = [share[second].argmax(axis=1) for share in shares]
    assert (named[0][2:] == 1).all()  # evidence is a running mean with a half-life of two records
    assert (named[1] == 0).any()
    assert shares[0][FAULT.start + HEARD_ROWS + 10].argmax() == 0


@pytest.fixture
def channels():
    return Channels.fit([np.random.default_rng(0).uniform(-1, 1, (500, 2))])


@pytest.mark.parametrize(("rows", "calm"), [(1, 1), (3, 3), (9, CALM_ROWS)])
def test_unusual_cells_become_the_next_good_one_once_as_many_usual_ones_have_followed(channels, rows, calm):
    values = np.random.default_rng(1).uniform(-1, 1, (24, 2))
    values[6 : 6 + rows, 0] = 9.0
    cells = channels.cells(values)
    is_faulty = faulty_cells(cells, channels)
    without = without_faults(cells, is_faulty)
    good = 6 + rows + calm - 1
    np.testing.assert_array_equal(without.z[6:good, 0], np.full(good - 6, cells.z[good, 0]))
    np.testing.assert_array_equal(without.z[:, 1], cells.z[:, 1])
    assert np.flatnonzero(~recovered_rows(is_faulty, None)).tolist() == list(range(6, good + 1))


def test_in_older_models_a_glitch_counts_for_as_long_as_a_fault(channels):
    values = np.random.default_rng(1).uniform(-1, 1, (20, 2))
    values[6, 0] = 9.0
    older = replace(channels, silent_rows=None)
    assert np.flatnonzero(faulty_cells(older.cells(values), older)[:, 0]).tolist() == list(range(6, 6 + CALM_ROWS))


def test_cells_that_are_missing_now_and_then_are_no_fault_but_a_silent_channel_is():
    rng = np.random.default_rng(0)
    values = np.where(rng.random((2000, 1)) < 0.05, np.nan, rng.uniform(-1, 1, (2000, 1)))
    channels = Channels.fit([values])
    later = rng.uniform(-1, 1, (40, 1))
    later[[5, 8, 9]], later[20:30] = np.nan, np.nan
    assert np.flatnonzero(faulty_cells(channels.cells(later), channels)).tolist() == list(range(22, 33))


@pytest.mark.parametrize("period", [24, 48])
def test_gaps_that_are_usual_in_training_are_no_fault(period):
    rng, rows = np.random.default_rng(0), np.arange(2000)
    values = rng.uniform(-1, 1, (2000, 3))
    values[rows % period != 0, 0] = np.nan  # sent once in a period
    values[rows % period < period // 2, 1] = np.nan  # asleep for half of it
    channels = Channels.fit([values])
    values[1000:1010, 2] = np.nan
    found = faulty_cells(channels.cells(values), channels)
    assert not found[:, :2].any()
    assert np.flatnonzero(found[:, 2]).tolist() == list(range(1000, 1000 + 10 + CALM_ROWS - 1))


def test_a_missing_cell_of_a_channel_that_has_settled_is_usual(channels):
    values = np.random.default_rng(1).uniform(-1, 1, (200, 2))
    values[:, 0] += 9.0
    values[110:150:2, 0] = np.nan
    cells = channels.cells(values)
    settled = from_recent_level(cells, faulty_cells(cells, channels))
    assert np.abs(cells.z[149, 0]) > 4
    assert np.abs(settled.z[130:, 0]).max() < 1
    assert np.abs(settled.z[140:160, 0]).max() < 1
    assert np.abs(settled.kept[140:160, 0]).max() < 1


def test_a_channel_whose_range_shows_little_recovers_from_what_it_shows_and_later():
    wandering = np.sin(np.cumsum(np.random.default_rng(0).standard_normal((3000, 1)), axis=0) / 20)
    trained, settings = Series(np.arange(2000), wandering[:2000]), SeriesSettings(models="per_entity", network=False)
    own, remembering = (
        SeriesModel.fit({"pump": trained}, replace(settings, recovery=recovery)) for recovery in (True, False)
    )
    for lost, rows in ((5.0, SLOW_CALM_ROWS), (np.nan, CALM_ROWS)):
        later = wandering.copy()
        later[2400:2430] += lost
        scores, remembered = (model.scores("pump", Series(np.arange(3000), later)) for model in (own, remembering))
        np.testing.assert_array_equal(scores[: 2430 + rows], remembered[: 2430 + rows])
        assert (scores[2430 + rows + 1 : 2440 + rows] < remembered[2430 + rows + 1 : 2440 + rows] - 0.3).all()
