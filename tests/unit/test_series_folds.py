"""Each fifth of a short history is held back in turn."""

import numpy as np
import pytest

from detector.core.calibration import Calibration
from detector.series import Series, SeriesModel, SeriesSettings
from detector.series.folds import folds_of

DAY = 144


def test_each_record_is_held_back_once_and_neither_it_nor_its_neighbours_are_among_the_others():
    runs = [Series(np.arange(start, end), np.zeros((end - start, 1))) for start, end in ((0, 70), (70, 200))]
    folds = list(folds_of(runs))
    held_back = [np.concatenate([run.times for run in fold.later]) for fold in folds]
    np.testing.assert_array_equal(np.concatenate(held_back), np.arange(200))
    assert [len(rows) for rows in held_back] == [40] * 5
    others = np.concatenate([run.times for run in folds[1].others])
    np.testing.assert_array_equal(others, [*range(20), *range(100, 200)])
    assert [len(run) for run in folds[1].others] == [20, 100]
    assert [(run.times[0], start) for run, start in folds[1].held_back] == [(0, 40), (70, 0)]


def readings(seed, days):
    """Return ten-minute readings that follow the time of day and a wandering load."""
    rng = np.random.default_rng(seed)
    n = round(DAY * days)
    wandering = np.convolve(rng.standard_normal(n + 20), np.ones(21) / 4.6, "valid")
    load = np.sin(2 * np.pi * np.arange(n) / DAY) + 0.5 * wandering
    values = np.outer(load, [6.0, 0.5]) + rng.standard_normal((n, 2)) * [0.6, 0.07]
    return Series(np.datetime64("2026-03-06", "s") + np.arange(n) * np.timedelta64(600, "s"), values)  # a Friday


@pytest.mark.parametrize("days", [2, 3])
def test_after_a_few_days_of_training_normal_records_are_flagged_about_as_often_as_promised(days):
    rates = []
    for seed in range(8):
        records = readings(seed, days + 3)
        trained = Series(records.times[: DAY * days], records.values[: DAY * days])
        model = SeriesModel.fit({"boiler": trained}, SeriesSettings(models="per_entity", network=False))
        threshold = Calibration.fit(model.reference("boiler")).threshold(0.05)
        rates.append((model.scores("boiler", records)[DAY * days :] > threshold).mean())
    assert np.median(rates) <= 0.075
