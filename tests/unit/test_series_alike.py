"""Entities with few records share a model only if they are alike."""

import numpy as np
import pytest

from detector.series import Series, SeriesModel, SeriesSettings
from detector.series.alike import are_unlike

DAYS = np.datetime64("2026-01-05", "s") + np.arange(150) * np.timedelta64(1, "D")
SETTINGS = SeriesSettings(network=False)


def shop(seed, size=100.0, closed=6):
    """Return the daily sales of a shop that is closed on one day of the week."""
    noise = 1 + 0.07 * np.random.default_rng(seed).standard_normal(len(DAYS))
    return Series(DAYS, (size * np.where(np.arange(len(DAYS)) % 7 == closed, 0.02, noise))[:, None])


@pytest.mark.parametrize(
    ("other", "is_unlike"), [({}, False), ({"size": 300.0}, True), ({"size": 120.0}, False), ({"closed": 0}, True)]
)
def test_entities_are_unlike_by_their_level_or_by_their_days_of_the_week(other, is_unlike):
    assert are_unlike({"a": [shop(0)], "b": [shop(1, **other)], "c": [shop(2)]}) == is_unlike


def test_a_closed_day_is_found_in_shops_of_different_sizes_with_few_records():
    shops = {"a": shop(0), "b": shop(1, size=400.0, closed=0), "c": shop(2, size=40.0)}
    model = SeriesModel.fit(shops, SETTINGS)
    values = shops["c"].values.copy()
    values[142] = 0.8  # a Thursday
    scores = model.scores("c", Series(DAYS, values))
    assert model.has_own("c")
    assert model.shared is not None
    assert scores[142] > np.quantile(model.reference("c"), 0.99)
    assert not SeriesModel.fit({"a": shop(0), "b": shop(1)}, SETTINGS).entities


def test_times_that_are_no_dates_have_no_days_of_the_week():
    level = np.repeat([0.0, 5.0], 100)[:, None]
    runs = {name: [Series(np.arange(100), part)] for name, part in zip("ab", np.split(level, 2), strict=True)}
    assert are_unlike(runs)
