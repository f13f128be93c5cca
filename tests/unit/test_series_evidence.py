"""The evidence of series: which channel is the cause of a fault, and what is expected of it."""

from dataclasses import replace

import numpy as np
import pytest

from detector.series import Series, SeriesModel, SeriesSettings

SPREAD = 0.15
TRAINED = 2000
FAULT = slice(2400, 2430)


def series(values):
    return Series(np.arange(len(values)), values)


def plant(loads):
    """Return four channels that follow one load."""
    rng = np.random.default_rng(1)
    n = TRAINED + 600
    load = np.convolve(rng.standard_normal(n + 30), np.ones(31) / np.sqrt(31), mode="valid")
    return 10 + np.outer(load, loads) + SPREAD * rng.standard_normal((n, len(loads)))


@pytest.fixture(scope="module")
def values():
    return plant((1.0, -1.0, 0.8, 1.2))


@pytest.fixture(scope="module")
def model(values):
    return SeriesModel.fit({"plant": series(values[:TRAINED])}, SeriesSettings(models="per_entity", network=False))


def changed(values, channels, change):
    later = values.copy()
    later[FAULT, channels] += change
    return series(later)


def first_cause(causes, rows):
    return int(causes.evidence[rows].max(axis=0).argmax())


@pytest.mark.parametrize("channel", range(4))
def test_a_channel_that_no_longer_belongs_to_the_others_is_the_cause_and_expected_by_them(model, values, channel):
    slow = np.minimum(np.arange(30) / 20, 1)
    away = -np.sign(values[FAULT, channel].mean() - 10)  # so that it stays in its range
    causes = model.causes("plant", changed(values, channel, away * slow))
    assert first_cause(causes, FAULT) == channel
    late = slice(FAULT.start + 20, FAULT.stop)
    assert np.median(np.abs(causes.expected[late, channel] - values[late, channel])) < 2 * SPREAD
    assert np.sign(np.median(causes.deviation[late, channel])) == away


def test_if_most_channels_leave_their_range_the_one_that_does_not_is_no_cause(model, values):
    far = changed(values, [0, 2, 3], np.full((30, 3), 8.0))
    assert first_cause(model.causes("plant", far), FAULT) != 1


def test_of_two_channels_the_relation_accuses_neither():
    pair = plant((1.0, -1.0))
    model = SeriesModel.fit({"plant": series(pair[:TRAINED])}, SeriesSettings(models="per_entity", network=False))
    later = pair.copy()
    later[FAULT, 0] += 1
    whole = model.entities["plant"]
    without = replace(whole, signals=replace(whole.signals, relation=None))
    np.testing.assert_array_equal(whole.causes(series(later)).share, without.causes(series(later)).share)


def test_records_after_a_spike_still_name_it(model, values):
    spiked = values.copy()
    spiked[FAULT.start, 2] += 30
    causes = model.causes("plant", series(spiked))
    evidence = causes.evidence[FAULT.start : FAULT.start + 4]
    assert (evidence.argmax(axis=1) == 2).all()
    assert (np.diff(evidence[:, 2]) < 0).all()


def test_a_state_that_switches_at_times_is_no_cause_by_its_own_past():
    days = np.arange(2880) // 48
    rng = np.random.default_rng(2)
    valve = (np.arange(2880) % 48 == 20) & (days % 3 == 0)
    values = np.column_stack([rng.standard_normal(2880), valve])
    times = np.datetime64("2026-03-02", "s") + 1800 * np.arange(2880)
    settings = SeriesSettings(models="per_entity", network=False, calendar=True)
    model = SeriesModel.fit({"plant": Series(times[:TRAINED], values[:TRAINED])}, settings)
    causes = model.causes("plant", Series(times, values))
    is_open = np.flatnonzero(valve)[-1]
    distance = model.entities["plant"].inputs.cells(Series(times, values)).deviation[is_open, 1]
    calm = causes.evidence[is_open - 1, 1]
    assert causes.evidence[is_open, 1] < 0.5 * np.square(distance) + calm


def test_what_is_expected_of_a_worn_channel_does_not_follow_its_wear(model, values):
    worn = changed(values, 2, np.linspace(0, 6, 30))
    causes = model.causes("plant", worn)
    late = slice(FAULT.start + 15, FAULT.stop)
    assert (causes.deviation[late, 2] > 3).all()
    assert np.abs(causes.expected[late, 2] - 10).max() < 3 * values[:TRAINED, 2].std()


def test_an_older_model_has_no_evidence_and_the_shares_of_each_record_alone(model, values):
    old = replace(model.entities["plant"], recent_causes=False)
    causes = old.causes(changed(values, 2, 6.0))
    squares = np.square(causes.deviation)
    assert causes.evidence is None
    np.testing.assert_allclose(causes.share[FAULT.start], squares[FAULT.start] / squares[FAULT.start].sum())
