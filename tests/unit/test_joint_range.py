"""The joint range of channels shows a fault whose cells are each usual, which ends with the first usual records."""

from dataclasses import replace

import numpy as np
import pytest

from detector.core.calibration import Calibration
from detector.series import Series, SeriesModel, SeriesSettings
from detector.series.joint_range import JointRange
from detector.series.recovery import CALM_ROWS
from detector.series.running_means import running_mean

TRAINED = 3_000
FAULT = slice(TRAINED + 200, TRAINED + 260)


def values(seed: int) -> np.ndarray:
    """Return a flow that wanders and a pressure that follows it, with a fault in which the pressure does not."""
    rng = np.random.default_rng(seed)
    flow = 4 * running_mean(rng.standard_normal(TRAINED + 400), 16)
    pressure = flow + 0.1 * rng.standard_normal(len(flow))
    pressure[FAULT] = flow[FAULT] - 3 * np.sign(flow[FAULT].mean())
    return np.column_stack([flow, pressure])


@pytest.fixture(scope="module")
def model() -> SeriesModel:
    settings = SeriesSettings(models="per_entity", network=False, calendar=False)
    return SeriesModel.fit({"pump": Series(np.arange(TRAINED), values(0)[:TRAINED])}, settings)


def without_joint_range(model: SeriesModel) -> SeriesModel:
    """Return the model as an earlier version would have stored it."""
    arrays, manifest = model.to_state()
    return SeriesModel.from_state({name: array for name, array in arrays.items() if "/joint/" not in name}, manifest)


def test_a_record_is_outside_if_its_channels_do_not_belong_together():
    z = np.tile(np.linspace(-2, 2, 101)[:, None], 2)
    joint = JointRange.fit([z])
    assert joint.is_outside(np.array([[1.0, 1.0], [-2.0, -2.0], [1.0, -1.0], [2.2, 2.2]])).tolist() == [0, 0, 1, 1]
    assert [JointRange.fit([part]) for part in (z[:, :1], z[:39])] == [None, None]


def test_once_channels_belong_together_again_their_fault_is_not_remembered(model):
    series = Series(np.arange(TRAINED + 400), values(0))
    threshold = Calibration.fit(model.reference("pump")).threshold(0.01)
    flagged = [own.scores("pump", series) > threshold for own in (model, without_joint_range(model))]
    assert flagged[0][FAULT].mean() > 0.9
    np.testing.assert_array_equal(flagged[0][FAULT], flagged[1][FAULT])
    later = [own[FAULT.stop + CALM_ROWS + 2 :].sum() for own in flagged]
    assert later[0] <= 2
    assert later[1] > 10


def test_a_stored_model_keeps_its_joint_range_and_scores_to_the_bit(model):
    arrays, manifest = model.to_state()
    series = Series(np.arange(TRAINED + 400), values(0))
    whole = SeriesModel.from_state(arrays, manifest).scores("pump", series)
    np.testing.assert_array_equal(whole, model.scores("pump", series))
    rows = slice(FAULT.stop + 10 - model.context_rows, FAULT.stop + 11)
    alone = model.scores("pump", Series(series.times[rows], series.values[rows]), newest=1)
    np.testing.assert_array_equal(alone, whole[FAULT.stop + 10 : FAULT.stop + 11])


def test_a_calendar_takes_the_place_of_the_joint_range(model):
    days = np.datetime64("2026-03-02", "s") + np.arange(1_500) * np.timedelta64(3_600, "s")
    course = np.sin(2 * np.pi * np.arange(1_500) / 24)[:, None] + 0.1 * np.random.default_rng(0).normal(size=(1_500, 2))
    daily = SeriesModel.fit({"pump": Series(days, course)}, replace(model.settings, calendar="auto"))
    assert (model.entities["pump"].inputs.joint, daily.entities["pump"].inputs.joint).count(None) == 1
