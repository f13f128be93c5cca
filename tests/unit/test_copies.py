"""Copies of measurements are found among normal records, and values that coincide by chance are none."""

import numpy as np
import pandas as pd
import pytest

from detector import VAEDetector
from detector.records.copies import has_near_copies, is_copy
from detector.records.normal_records import calibration_split, split_by_entity
from schemas.frames import Features

QUICK = {"members": 2, "hidden": 16, "steps": 60}


def measurements(n, d=4, seed=0):
    """Return n records of d correlated numbers."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(9).normal(size=(2, d))
    return rng.normal(size=(n, 2)) @ mixing + 0.3 * rng.normal(size=(n, d))


def copies_in(values, **others):
    frame = pd.DataFrame(values, columns=[f"x{place}" for place in range(values.shape[1])]).assign(**others)
    numeric = tuple(name for name in frame if name.startswith("x"))
    return is_copy(frame, Features(numeric=numeric, categorical=tuple(others)))


@pytest.mark.parametrize("repeats", [3, 5])
@pytest.mark.parametrize("decimals", [None, 1])
def test_of_each_measurement_that_is_stored_several_times_one_record_stays(repeats, decimals):
    values = measurements(400) if decimals is None else measurements(400).round(decimals)
    kept = np.repeat(values, repeats, axis=0)[~copies_in(np.repeat(values, repeats, axis=0))]
    assert len(kept) == pytest.approx(400, abs=15)


def test_the_first_record_of_a_measurement_stays_wherever_its_copies_are():
    values = np.tile(measurements(300), (3, 1))
    assert not copies_in(values)[:300].any()
    assert copies_in(values)[300:].all()


def test_copies_may_differ_by_a_little():
    rng = np.random.default_rng(1)
    values = np.repeat(measurements(400), 5, axis=0)
    assert copies_in(values + 1e-3 * rng.normal(size=values.shape)).sum() == pytest.approx(1600, abs=20)


@pytest.mark.parametrize(
    "draw",
    [
        lambda rng: rng.normal(size=(2000, 3)),
        lambda rng: rng.normal(size=(2000, 2)).round(1),
        lambda rng: rng.poisson(3, size=(2000, 3)).astype(float),
        lambda rng: 0.01 * rng.normal(size=(2000, 2)).cumsum(axis=0),
        lambda rng: np.where(rng.random((2000, 1)) < 0.3, 0.0, rng.normal(size=(2000, 2))),
        lambda rng: rng.choice([0.1234, 0.5, 0.77], size=(1000, 4)),
        lambda rng: rng.lognormal(sigma=2, size=(2000, 2)).round(2),
    ],
    ids=["continuous", "coarse", "counts", "slow", "standing still", "set points", "amounts"],
)
def test_values_that_coincide_by_chance_are_no_copies(draw):
    assert not copies_in(draw(np.random.default_rng(0))).any()


def test_records_of_categories_alone_are_no_copies():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"mode": rng.choice(list("abc"), 500), "line": rng.choice(list("xyz"), 500)})
    assert not is_copy(frame, Features(categorical=("mode", "line"))).any()


def test_the_same_numbers_with_another_category_are_another_measurement():
    values = np.repeat(measurements(200), 2, axis=0)
    assert not copies_in(values, mode=np.tile(["a", "b"], 200)).any()


@pytest.mark.parametrize("repeats", [3, 5])
def test_the_estimator_keeps_its_rate_on_new_records_if_each_record_was_stored_several_times(repeats):
    detector = VAEDetector(false_positive_rate=0.05, **QUICK).fit(np.repeat(measurements(400), repeats, axis=0))
    flagged = (detector.predict(measurements(2000, seed=1)) == -1).mean()
    assert detector.n_copies_ == 400 * (repeats - 1)
    assert 0.025 <= flagged <= 0.1


def test_without_copies_the_draw_stays_as_it_was():
    training, calibration = calibration_split(10, 3, 0, latest=False)
    order = np.random.default_rng(0).permutation(10)
    assert sorted(order[7:]) == calibration.tolist()
    assert sorted(order[:7]) == training.tolist()
    assert not copies_in(measurements(1000)).any()


def test_entities_with_near_copies_are_drawn_as_a_whole():
    rng = np.random.default_rng(0)
    entities = np.repeat([f"item-{place}" for place in range(200)], 5)
    values = np.repeat(measurements(200), 5, axis=0) + 0.05 * rng.normal(size=(1000, 4))
    frame = pd.DataFrame(values, columns=list("abcd"))
    features = Features(numeric=tuple("abcd"))
    assert has_near_copies(frame, features, entities)
    assert not has_near_copies(frame.sample(frac=1, random_state=0), features, entities)
    training, calibration = split_by_entity(entities, 0.01, 0)
    assert not set(entities[training]) & set(entities[calibration])
    assert len(training) + len(calibration) == 1000
    assert len(calibration) == 99 * 5
