"""The off state of series: a machine that is off is no anomaly, however long; running wrongly is one."""

import numpy as np
import pytest

from detector.core.blob import digest
from detector.series import Series, SeriesModel, SeriesSettings
from detector.series.artifact import SeriesArtifact, dump_series, load_series
from detector.series.states import OffState
from schemas.frames import Features

TRAINED = 4000


def press(n=6000, seed=0):
    """Return a machine that runs for 96 of 144 records and rests at zero for the others."""
    rng = np.random.default_rng(seed)
    runs = (np.arange(n) % 144 < 96)[:, None]
    return Series(np.arange(n), runs * (np.array([80.0, 12.0]) + rng.standard_normal((n, 2)) * [4, 1]))


@pytest.fixture(scope="module")
def model():
    records = press()
    return SeriesModel.fit(
        {"press": Series(records.times[:TRAINED], records.values[:TRAINED])}, SeriesSettings(network=False)
    )


def test_a_long_rest_is_no_anomaly_and_a_wrong_force_is_one(model):
    limit = np.quantile(model.reference("press"), 0.99)
    resting, forced = press(), press()
    resting.values[4500:5000] = 0
    forced.values[4620:4660, 0] += 16  # the rests of training lie between, so the channel's deviation is 38
    assert (model.scores("press", resting)[4500:5000] > limit).mean() < 0.02
    assert (model.scores("press", forced)[4620:4660] > limit).mean() > 0.7


def test_one_channel_at_rest_alone_is_not_off(model):
    broken, limit = press(), np.quantile(model.reference("press"), 0.99)
    broken.values[4620:4660, 0] = 0
    assert (model.scores("press", broken)[4620:4660] > limit).mean() > 0.9


def test_a_state_that_hardly_occurs_or_never_lasts_is_no_off_state():
    noise = np.random.default_rng(0).standard_normal((1000, 1))
    dropouts = np.where(np.arange(1000)[:, None] % 20 == 0, 0.0, noise)
    assert OffState.fit([noise], np.arange(1)) is None
    assert OffState.fit([noise], np.arange(0)) is None
    assert OffState.fit([dropouts], np.arange(1)) is None
    assert OffState.fit([np.where(np.arange(1000)[:, None] % 20 < 4, 0.0, noise)], np.arange(1)) is not None


def test_the_off_state_is_stored_with_the_model(model):
    blob = dump_series(SeriesArtifact(Features(("force", "power")), model, 0.01, {"press": TRAINED}, {}))
    np.testing.assert_array_equal(
        load_series(blob, digest(blob)).model.scores("press", press()), model.scores("press", press())
    )


def test_a_rest_at_an_hour_at_which_the_calendar_expects_the_machine_to_run_is_flagged():
    records = press()
    records = Series(np.datetime64("2026-03-02") + np.arange(6000) * np.timedelta64(10, "m"), records.values)
    training = Series(records.times[:TRAINED], records.values[:TRAINED])
    model = SeriesModel.fit({"press": training}, SeriesSettings(network=False))
    records.values[4500:5000] = 0
    is_flagged = model.scores("press", records)[4500:5000] > np.quantile(model.reference("press"), 0.99)
    runs = np.arange(4500, 5000) % 144 < 96
    assert is_flagged[runs].mean() > 0.9
    assert is_flagged[~runs].mean() < 0.5  # alarms linger for some records


def test_channels_may_rest_at_infinity():
    values = np.random.default_rng(0).standard_normal((1200, 1))
    values[np.arange(1200) // 24 % 5 == 0] = -np.inf  # such as the logarithm of 0
    model = SeriesModel.fit({"press": Series(np.arange(1200), values)}, SeriesSettings(network=False))
    artifact = SeriesArtifact(Features(("power",)), model, 0.01, {"press": 1200}, {})
    blob = dump_series(artifact)
    off = load_series(blob, digest(blob)).model.entities["press"].inputs.off
    np.testing.assert_array_equal(
        off.is_off(model.entities["press"].inputs.values(Series(np.arange(2), values[23:25]))), [True, False]
    )
