"""Deciles: cells are placed among those of their entity's training records, evenly, whatever these are like."""

import numpy as np
import pytest

from detector.series.deciles import Deciles
from detector.series.series import Series

MINUTES = np.datetime64("2026-03-01", "us") + np.arange(10_000) * np.timedelta64(1, "m")


def places(training, values, times=MINUTES, entity="pump"):
    deciles = Deciles.fit([np.asarray(training, dtype=np.float64)[:, None]])
    series = Series(times[: len(values)], np.asarray(values, dtype=np.float64)[:, None])
    return deciles.assign(entity, series)[:, 0]


def shares(found):
    return np.bincount(found.astype(int), minlength=10) / len(found)


def test_a_tenth_of_the_training_records_is_in_each_decile():
    values = np.random.default_rng(0).permutation(1000) * 1e-3 + 5e8
    np.testing.assert_array_equal(shares(places(values, values)), np.full(10, 0.1))


def test_what_lies_beyond_training_or_is_missing_is_told_apart():
    values = [1, 10, 0.999, 10.001, np.inf, -np.inf, np.nan, 5.5]
    np.testing.assert_array_equal(places(np.arange(1, 11), values), [0, 9, -1, -1, -1, -1, np.nan, 5])


@pytest.mark.parametrize("share", [0.0, 0.03, 0.3, 0.5, 0.97, 1.0])
@pytest.mark.parametrize("times", [MINUTES, np.arange(10_000), np.arange(10_000) / 8, MINUTES.astype("datetime64[s]")])
def test_a_flag_is_dealt_out_to_its_deciles_whatever_the_step_of_time(share, times):
    flag = np.arange(10_000) < share * 10_000
    np.testing.assert_allclose(shares(places(flag, flag, times)), 0.1, atol=0.08 if share in {0.03, 0.97} else 0.01)


def test_machines_that_report_together_are_dealt_out_apart():
    flag = np.zeros(1)
    found = np.array([places(flag, flag, entity=f"pump {number}")[0] for number in range(2000)])
    np.testing.assert_allclose(shares(found), 0.1, atol=0.03)


def test_a_cell_is_placed_alike_whatever_comes_with_it():
    flag = np.arange(100) % 2
    whole = places(flag, flag)
    for start in (0, 1, 50, 99):
        np.testing.assert_array_equal(places(flag, flag[start:], MINUTES[start:]), whole[start:])
    assert len(np.unique(whole)) == 10


def test_a_channel_without_a_value_in_training_has_seen_only_zero():
    np.testing.assert_array_equal(places([np.nan, np.nan], [1.0, np.nan]), [-1, np.nan])
    assert 0 <= places([np.nan], [0.0])[0] <= 9


def test_nothing_is_placed_where_nothing_comes():
    assert places(np.arange(10), []).shape == (0,)
