"""Scores of series have the same bits wherever the series is cut, with all parts that look back at the past."""

from dataclasses import replace

import numpy as np
import pytest

from detector.series import Series, SeriesModel, SeriesSettings

TRAINED, DAY = 1400, 24
METER, IS_OPEN = 9, 10  # the channels after nine that follow the day
GAPS = (700, 1800)  # rows after a gap of five days
GLITCH = 900  # a row far beyond all training records
SHARED = [0, 1, *GAPS, GLITCH + 1]  # rows whose time is that of siblings: at starts, and after the glitch


def machine(n=2400, seed=0):
    """Return hourly records of a machine that is off at night: nine channels, a meter and a flag; some are missing."""
    rng = np.random.default_rng(seed)
    times = np.datetime64("2026-01-01", "us") + np.arange(n) * np.timedelta64(3600, "s")
    for row in GAPS:
        times[row:] += np.timedelta64(5, "D")
    hour = np.arange(n) % DAY
    course = np.sin(2 * np.pi * hour[:, None] / DAY * (1 + np.arange(METER) % 3)) + 3
    values = np.where(hour[:, None] < 5, 0.0, course + 0.3 * rng.standard_normal((n, METER)))
    meter, is_open = np.cumsum(np.where(hour < 5, 0, 2 * rng.random(n))), rng.random(n) < 0.1
    values = np.column_stack([values, meter, is_open])
    return Series(times, np.where(rng.random(values.shape) < 0.005, np.nan, values))


def faulty():
    """Return records with a glitch, two shifts, a stuck channel, infinite values and a reset of the meter."""
    series = machine(seed=1)
    series.values[GLITCH] += 50
    series.values[1000:1060, 2] += 6
    series.values[1100:1200, 4] = series.values[1100, 4]
    series.values[1320:1700, 3] += 6  # longer than until other faults are heard above it
    series.values[1250:1252, [3, METER]] = np.inf
    series.values[1300:, METER] -= series.values[1300, METER]
    return series


def part(series, start, end):
    return Series(series.times[start:end], series.values[start:end])


@pytest.fixture(scope="module", params=[False, True], ids=["without a network", "with a network"])
def model(request):
    settings = SeriesSettings(max_gap=DAY * 3600.0, network=request.param, holidays=("2026-01-06",))
    return SeriesModel.fit({"press": part(machine(), 0, TRAINED)}, settings)


def test_scores_of_a_cut_are_those_of_the_whole(model):
    inputs = model.entities["press"].inputs
    assert inputs.calendar.is_used[:METER].all()
    assert inputs.counters.is_counter[METER] == 1
    assert inputs.off is not None
    series, rng = faulty(), np.random.default_rng(5)
    whole, causes = model.scored("press", series), model.causes("press", series)
    starts = [0, *GAPS, 899, 900, 901, 903, 1250, 1252, *rng.integers(0, len(series), 40).tolist()]
    for start in starts:
        end = start + int(rng.integers(1, 30)) * (start not in GAPS) + (start in GAPS)
        own, first = slice(start, end), max(0, start - model.context_rows)
        cut = part(series, first, end)
        scored = model.scored("press", cut, len(cut) - start + first)
        np.testing.assert_array_equal(scored.scores, whole.scores[own])
        if whole.vae is not None:
            np.testing.assert_array_equal(scored.vae.elbo, whole.vae.elbo[own])
            np.testing.assert_array_equal(scored.vae.reconstruction_error, whole.vae.reconstruction_error[own])
        np.testing.assert_array_equal(model.causes("press", cut).share[start - first :], causes.share[own])


def test_the_first_record_of_a_run_scores_the_same_alone(model):
    series = machine(seed=2)
    for start in range(0, 200, 5):
        both = model.scores("press", part(series, start, start + 2))
        assert model.scores("press", part(series, start, start + 1))[0] == both[0]


def older(model):
    """Return the model as an older version trained it: every glitch, high signal and fault is remembered."""
    entity = model.entities["press"]
    channels = replace(entity.channels, largest_move=None, never_still=None)
    calendar = replace(entity.inputs.calendar, largest_move=None)
    inputs = replace(entity.inputs, channels=channels, calendar=calendar, recovers=False)
    entity = replace(entity, inputs=inputs, fusion=replace(entity.fusion, highest=None))
    return SeriesModel({"press": entity}, None, model.width, replace(model.settings, recovery=False))


def with_siblings(series, share=0.3, seed=6):
    """Return records with siblings, other records of the same time: up to three before a record."""
    rng = np.random.default_rng(seed)
    siblings = np.where(rng.random(len(series)) < share, rng.integers(1, 4, len(series)), 0)
    siblings[[row for row in SHARED if row < len(series)]] = 2
    rows = np.repeat(np.arange(len(series)), siblings + 1)
    is_last = np.append(rows[1:] != rows[:-1], True)
    values = np.where(is_last[:, None], series.values[rows], series.values[rng.permutation(rows)])
    values[rows.searchsorted(GLITCH + 1)] += 50
    return Series(series.times[rows], values, keeps_siblings=True), is_last


def alone(series, is_last, row, context):
    """Return a record as the last of its series, after the last records of the times before it."""
    past = np.flatnonzero(is_last & (series.times < series.times[row]))[-context:]
    rows = np.append(past, row)
    return Series(series.times[rows], series.values[rows])


@pytest.mark.parametrize("is_older", [False, True], ids=["new", "older"])
def test_records_of_one_time_score_as_each_alone_would(model, is_older):
    model = older(model) if is_older else model
    series, is_last = with_siblings(faulty())
    newest = len(series) - 900
    whole, later = model.scored("press", series), model.scored("press", series, newest)
    causes, band = model.causes("press", series), model.normal_band("press", series)
    watched = model.watched("press", series).values
    np.testing.assert_array_equal(later.scores, whole.scores[-newest:])
    line = Series(series.times[is_last], series.values[is_last])
    np.testing.assert_array_equal(whole.scores[is_last], model.scores("press", line))
    starts = np.flatnonzero(np.isin(series.times, line.times[SHARED]))
    for row in [*starts.tolist(), *np.random.default_rng(7).choice(np.flatnonzero(~is_last), 40).tolist()]:
        one = alone(series, is_last, row, model.context_rows)
        scored = model.scored("press", one, 1)
        assert scored.scores[0] == whole.scores[row]
        assert whole.vae is None or scored.vae.elbo[0] == whole.vae.elbo[row]
        np.testing.assert_array_equal(model.causes("press", one).share[-1], causes.share[row])
        np.testing.assert_array_equal(model.normal_band("press", one)[1][-1], band[1][row])
        np.testing.assert_array_equal(model.watched("press", one).values[-1], watched[row])


def seasonal(seed=0, n=1200):
    """Return six-hourly records of a pump whose level moves with the season, of a flow and of a noise."""
    rng, times = np.random.default_rng(seed), np.datetime64("2026-01-05", "us") + np.arange(n) * np.timedelta64(6, "h")
    course = np.sin(2 * np.pi * (np.arange(n)[:, None] % 4) / 4 + np.arange(3))
    values = course * [1, 1, 0] + 0.2 * rng.standard_normal((n, 3))
    values[:, 0] += 3 * np.sin(2 * np.pi * np.arange(n) / 800)
    values[:, 1] += values[:, 0]
    return Series(times, np.where(rng.random((n, 3)) < 0.005, np.nan, values))


def test_a_seasonal_machine_of_few_channels_scores_and_has_causes_as_in_the_whole():
    model = SeriesModel.fit({"press": seasonal()}, SeriesSettings(network=False, max_gap=DAY * 3600.0))
    entity, series = model.entities["press"], seasonal(seed=1)
    assert entity.inputs.calendar.is_moving.any()
    assert {"relation", "dispersion"} <= set(entity.signal_names)
    series.values[GLITCH] += 50
    series.values[400:460, 1] += 7
    series.values[500:530, 0], series.values[600:640, 2] = series.values[500, 0], np.nan
    series.times[1100:] += np.timedelta64(5, "D")
    series, is_last = with_siblings(Series(series.times, series.values))
    whole, causes = model.scores("press", series), model.causes("press", series)
    rows = np.flatnonzero(~is_last & (np.arange(len(series)) > model.context_rows))
    for row in [*rows[::15].tolist(), *np.flatnonzero(is_last)[-200::10].tolist()]:
        one = alone(series, is_last, row, model.context_rows)
        assert model.scores("press", one)[-1] == whole[row]
        for name, part in vars(model.causes("press", one)).items():
            np.testing.assert_array_equal(part[-1], getattr(causes, name)[row], err_msg=name)
