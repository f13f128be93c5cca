"""Counters of series: channels that only grow are watched by their increase, across resets, wraps and gaps."""

import numpy as np
import pandas as pd
import pytest

from detector.core.blob import digest
from detector.series import Series, SeriesModel, SeriesSettings
from detector.series.artifact import SeriesArtifact, dump_series, load_series
from detector.series.counters import Counters
from jobs.checks.series import check_series
from schemas.config import MonitorConfig
from schemas.frames import Features

TRAINED = 1500


def meter(n=2000, seed=0):
    """Return quarter-hour readings of a meter that counts about 5 between records, and a pressure."""
    rng = np.random.default_rng(seed)
    times = pd.date_range("2026-03-02", periods=n, freq="15min").to_numpy()
    increase = 5 + 2 * np.sin(np.arange(n) / 15) + 0.3 * rng.standard_normal(n)
    return Series(times, np.column_stack([15_000 + np.cumsum(increase), rng.standard_normal(n)]))


@pytest.fixture(scope="module")
def model():
    records = meter()
    return SeriesModel.fit(
        {"meter": Series(records.times[:TRAINED], records.values[:TRAINED])}, SeriesSettings(network=False)
    )


@pytest.mark.parametrize("kind", ["triple", "stop"])
def test_a_meter_that_counts_too_fast_or_not_at_all_is_flagged_as_long_as_it_does(model, kind):
    records, span = meter(), slice(1700, 1772)
    increase = np.diff(records.values[:, 0], prepend=records.values[0, 0])
    increase[span] *= {"triple": 3, "stop": 0}[kind]
    records.values[:, 0] = 15_000 + np.cumsum(increase)
    scores, limit = model.scores("meter", records), np.quantile(model.reference("meter"), 0.99)
    assert (scores[span] > limit).mean() > 0.9
    assert (scores[TRAINED:1700] > limit).mean() < 0.05
    causes = model.causes("meter", records)
    assert causes.deviation[1740].argmax() == 0 if kind == "triple" else causes.deviation[1740].argmin() == 0
    assert causes.expected[1740, 0] == pytest.approx(records.values[1739, 0] + 5, abs=6)  # a reading, no increase


@pytest.mark.parametrize(("size", "readings"), [(5.0, [9.0, 4.0]), (5.0, [65_534.0, 3.0]), (5.0, [998.0, 3.0])])
def test_the_increase_across_a_reset_or_a_wrap_is_the_one_nearest_to_the_usual(size, readings):
    counters = Counters(np.array([1.0]), np.array([size]), np.array([1.0]))
    increase = counters.values(Series(np.arange(2), np.array(readings)[:, None]))[1, 0]
    assert increase == {9.0: 4.0, 65_534.0: 5.0, 998.0: 5.0}[readings[0]]


def test_an_increase_counts_for_a_usual_step_and_is_usual_without_a_reading_before():
    counters = Counters(np.array([1.0]), np.array([5.0]), np.array([10.0]))
    readings = np.array([100.0, 105.0, np.nan, 115.0, 125.0])
    run = Series(np.array([0, 10, 20, 30, 50]), readings[:, None])
    np.testing.assert_array_equal(counters.values(run)[:, 0], [5, 5, np.nan, 5, 5])
    np.testing.assert_array_equal(counters.readings(run, np.full((5, 1), 5.0))[:, 0], readings)


def test_channels_that_fall_or_seldom_rise_are_no_counters():
    noise, steps = np.random.default_rng(0).standard_normal(1000), np.repeat(np.arange(10.0), 100)
    assert Counters.fit([Series(np.arange(1000), np.column_stack([noise.cumsum(), steps]))]) is None


def test_pieces_of_a_day_are_a_counter_and_a_tank_that_is_emptied_slowly_is_none():
    rng, hours = np.random.default_rng(0), np.arange(24 * 60)
    pieces = pd.Series(rng.poisson(20, len(hours)) * (hours % 24 >= 6)).groupby(hours // 24).cumsum()
    tank = np.minimum(hours % 24, 4 * (24 - hours % 24)) + 0.0
    pulses = rng.random(len(hours)) < 0.02
    counters = Counters.fit([Series(hours, np.column_stack([pieces, tank, pulses]))])
    assert counters.is_counter.tolist() == [1, 0, 0]
    increase = counters.values(Series(hours, np.column_stack([pieces, tank, pulses])))[:, 0]
    assert increase[24:].min() == 0
    assert increase[24:].max() < 50


def test_scores_and_deciles_are_the_same_after_storage_and_wherever_a_series_is_cut(model):
    records = meter()
    blob = dump_series(SeriesArtifact(Features(("energy", "pressure")), model, 0.01, {"meter": TRAINED}, {}))
    loaded = load_series(blob, digest(blob)).model
    first = len(records) - 30 - model.context_rows
    part = Series(records.times[first:], records.values[first:])
    np.testing.assert_array_equal(loaded.scores("meter", part)[-30:], model.scores("meter", records)[-30:])
    assert (loaded.deciles("meter", part)[:, 0] >= 0).mean() > 0.95  # though no reading lies within training


def test_check_names_counters_and_repeated_times():
    records = meter(200)
    frame = pd.DataFrame(records.values, columns=["energy", "pressure"]).assign(at=records.times)
    frame["at"] = frame["at"].dt.tz_localize("UTC")
    monitor = MonitorConfig(table="t", key="id", time="at", numeric=("energy", "pressure"), series={})
    grows, repeats = check_series(pd.concat([frame, frame.tail(3)]), monitor)
    assert (grows.level, repeats.level) == ("ok", "warning")
    assert grows.message.startswith("Feature 'energy' only grows: it is watched by its increase")
    assert repeats.message.startswith("3 records of the newest 203 normal records repeat the time of another record")


def test_infinite_readings_are_no_increase_that_is_not_finite(model):
    records = meter()
    records.values[1600:1602, 0] = np.inf
    counters = model.entities["meter"].inputs.counters
    assert np.isfinite(model.entities["meter"].inputs.values(records)).all()
    assert np.isfinite(model.causes("meter", records).expected).all()
    assert (
        Counters.fit([Series(records.times, np.abs(records.values))]).is_counter.tolist()
        == counters.is_counter.tolist()
    )


def test_the_increase_over_a_gap_that_ends_the_past_is_no_unseen_value():
    records = meter()
    times, values = records.times.copy(), records.values.copy()
    times[1700:] += np.timedelta64(3, "D")
    values[1700:, 0] += 5 * 3 * 96
    training = Series(times[:TRAINED], values[:TRAINED])
    model = SeriesModel.fit({"meter": training}, SeriesSettings(network=False, max_gap=86_400.0))
    assert (model.deciles("meter", Series(times, values))[1690:1710, 0] >= 0).all()
