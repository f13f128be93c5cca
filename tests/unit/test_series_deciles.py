"""Deciles: training cells are distributed evenly over the deciles of their entity, whatever their values."""

import numpy as np
import pytest

from detector.series.deciles import Deciles
from detector.series.series import Series

MINUTES = np.datetime64("2026-03-01", "us") + np.arange(10_000) * np.timedelta64(1, "m")


def deciles_of(training, values, times=MINUTES, entity="pump"):
    deciles = Deciles.fit([np.asarray(training, dtype=np.float64)[:, None]])
    series = Series(times[: len(values)], np.asarray(values, dtype=np.float64)[:, None])
    return deciles.assign(entity, series)[:, 0]


def shares(deciles):
    return np.bincount(deciles.astype(int), minlength=10) / len(deciles)


def test_a_tenth_of_the_training_records_is_in_each_decile():
    values = np.random.default_rng(0).permutation(1000) * 1e-3 + 5e8
    np.testing.assert_array_equal(shares(deciles_of(values, values)), np.full(10, 0.1))


def test_values_beyond_training_and_missing_values_have_no_decile():
    values = [1, 10, 0.999, 10.001, np.inf, -np.inf, np.nan, 5.5]
    np.testing.assert_array_equal(deciles_of(np.arange(1, 11), values), [0, 9, -1, -1, -1, -1, np.nan, 5])


@pytest.mark.parametrize("share", [0.0, 0.03, 0.3, 0.5, 0.97, 1.0])
@pytest.mark.parametrize("times", [MINUTES, np.arange(10_000), np.arange(10_000) / 8, MINUTES.astype("datetime64[s]")])
def test_a_flag_is_distributed_over_its_deciles_whatever_the_step_of_time(share, times):
    flag = np.arange(10_000) < share * 10_000
    np.testing.assert_allclose(shares(deciles_of(flag, flag, times)), 0.1, atol=0.08 if share in {0.03, 0.97} else 0.01)


def test_ties_of_machines_that_report_together_are_independent():
    flag = np.zeros(1)
    deciles = np.array([deciles_of(flag, flag, entity=f"pump {number}")[0] for number in range(2000)])
    np.testing.assert_allclose(shares(deciles), 0.1, atol=0.03)


def test_the_decile_of_a_cell_does_not_depend_on_other_records():
    flag = np.arange(100) % 2
    whole = deciles_of(flag, flag)
    for start in (0, 1, 50, 99):
        np.testing.assert_array_equal(deciles_of(flag, flag[start:], MINUTES[start:]), whole[start:])
    assert len(np.unique(whole)) == 10


def test_a_channel_without_a_value_in_training_has_seen_only_zero():
    np.testing.assert_array_equal(deciles_of([np.nan, np.nan], [1.0, np.nan]), [-1, np.nan])
    assert 0 <= deciles_of([np.nan], [0.0])[0] <= 9


def test_no_records_have_no_deciles():
    assert deciles_of(np.arange(10), []).shape == (0,)
