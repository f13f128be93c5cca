"""The relation of the channels: a fault by which they no longer belong together is seen though each is in its range."""

import numpy as np
import pytest

from detector.series import Series, SeriesModel, SeriesSettings
from detector.series.channels import Channels
from detector.series.recovery import without_faults
from detector.series.relation import MAX_CHANNELS, Relation
from detector.series.settling import SETTLED_ROWS, from_recent_level


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def sunny(rng, n):
    sun = rng.uniform(0, 50, n)
    return np.column_stack([sun, 0.1 * sun + 0.05 * rng.standard_normal(n), rng.standard_normal(n)])


def residual(values, training):
    channels = Channels.fit([training])
    relation = Relation.fit([channels.cells(training)], channels.continuous)
    return relation.residual(channels.cells(values)), relation


def test_channels_that_no_longer_belong_together_have_a_residual_and_others_none(rng):
    training, later = sunny(rng, 2000), sunny(rng, 400)
    later[200:, 1] *= 0.67
    found, relation = residual(later, training)
    assert relation.is_used.tolist() == [1, 1, 0]
    assert np.abs(found[:200, :2]).mean() < 1.5
    is_bright = later[200:, 0] > 20
    assert np.abs(found[200:, 1])[is_bright].min() > 5
    assert (found[:, 2] == 0).all()


def test_a_missing_cell_breaks_no_relation(rng):
    training = sunny(rng, 2000)
    later = training[:50].copy()
    later[:, 0] = np.nan
    assert (residual(later, training)[0] == 0).all()


def test_a_cell_in_place_of_a_faulty_one_breaks_no_relation(rng):
    training = sunny(rng, 2000)
    channels = Channels.fit([training])
    cells = channels.cells(training)
    relation = Relation.fit([cells], channels.continuous)
    is_faulty = np.zeros(training.shape, dtype=bool)
    is_faulty[5:9, 1] = True
    found = relation.residual(without_faults(cells, is_faulty))
    assert np.flatnonzero((found == 0).all(axis=1)).tolist() == [5, 6, 7, 8]


def test_a_cell_less_its_lasting_level_breaks_no_relation_once_another_one_is_replaced(rng):
    cells = Channels.fit([sunny(rng, 500)]).cells(sunny(rng, 400))
    is_faulty, is_left_out = np.zeros((2, *cells.z.shape), dtype=bool)
    is_faulty[:, 1], is_left_out[390:, 2] = True, True
    settled = from_recent_level(cells, is_faulty)
    assert not settled.has_relation[SETTLED_ROWS:].any()
    assert not without_faults(settled, is_left_out).has_relation[SETTLED_ROWS:].any()


def test_few_records_show_no_relation(rng):
    assert residual(sunny(rng, 59), sunny(rng, 59))[1].is_used.sum() == 0


@pytest.mark.parametrize(("width", "has_relation"), [(1, False), (2, True), (MAX_CHANNELS, True), (9, False)])
def test_machines_of_few_channels_have_a_relation(rng, width, has_relation):
    training = rng.standard_normal((300, width))
    channels = Channels.fit([training])
    assert (Relation.fit([channels.cells(training)], channels.continuous) is not None) == has_relation


@pytest.mark.parametrize(("records", "missing", "expected"), [(119, 0, False), (120, 0, True), (130, 11, False)])
def test_a_short_history_has_no_relation_that_its_calibration_lacks(rng, records, missing, expected):
    values = sunny(rng, records)
    values[:missing, 2] = np.nan
    times = np.datetime64("2026-03-02", "s") + 3600 * np.arange(records)
    settings = SeriesSettings(models="per_entity", network=False, calendar=False)
    model = SeriesModel.fit({"sun": Series(times, values)}, settings).entities["sun"]
    assert ("relation" in model.signal_names) is expected
