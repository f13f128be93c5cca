"""Synthetic events of series: each kind changes one channel for a while, and nothing else."""

from itertools import repeat

import numpy as np
import pytest

from detector.series.synthetic import (
    KINDS,
    LEAD_ROWS,
    MAX_EVENT_ROWS,
    MIN_EVENT_ROWS,
    SLOT_ROWS,
    cycle_kinds,
    inject_events,
)
from tests.machines import channels

SEED = 4
VALUES = channels(4200, seed=1)
DEVIATIONS = np.where([True, True, True, False], VALUES.std(axis=0), 0.0)  # the last channel is a flag


def make(kinds=None, values=VALUES, deviations=DEVIATIONS):
    rng = np.random.default_rng(SEED)
    return inject_events(values, deviations, kinds or cycle_kinds(rng), rng)


def made(kind):
    """Return the channel before and after, and its standard deviation, for each event of a kind."""
    changed, events = make(repeat(kind))
    assert len(events) == 42
    return [(VALUES[e.rows, e.channel], changed[e.rows, e.channel], DEVIATIONS[e.channel]) for e in events]


def test_only_the_records_of_an_event_change_and_only_in_its_channel():
    before = VALUES.copy()
    changed, events = make()
    np.testing.assert_array_equal(before, VALUES)
    is_event = np.zeros(VALUES.shape, dtype=bool)
    for event in events:
        is_event[event.rows, event.channel] = True
    np.testing.assert_array_equal(changed[~is_event], VALUES[~is_event])
    assert (changed != VALUES)[is_event].mean() > 0.95  # the first stuck record is as it was
    assert {event.channel for event in events} == {0, 1, 2}


def test_the_same_seed_makes_the_same_events():
    (first, events), (again, same) = make(), make()
    np.testing.assert_array_equal(first, again)
    assert events == same


def test_the_kinds_take_turns():
    _, events = make()
    assert len(events) == len(VALUES) // SLOT_ROWS
    assert {kind: sum(event.kind == kind for event in events) for kind in KINDS} == dict.fromkeys(KINDS, 6)
    assert len({event.kind for event in events[: len(KINDS)]}) == len(KINDS)


def test_each_event_lies_within_its_hundred_records_with_normal_ones_before_it():
    _, events = make()
    assert [event.start // SLOT_ROWS for event in events] == list(range(42))
    assert all(
        event.start % SLOT_ROWS >= LEAD_ROWS and event.end <= event.start // SLOT_ROWS * SLOT_ROWS + SLOT_ROWS
        for event in events
    )
    lengths = [event.end - event.start for event in events]
    assert MIN_EVENT_ROWS <= min(lengths) <= 10
    assert 50 <= max(lengths) <= MAX_EVENT_ROWS


def test_a_moved_event_is_the_same_later():
    event = make()[1][0]
    moved = event.moved(300)
    assert (moved.start - event.start, moved.end - event.end) == (300, 300)
    assert (moved.kind, moved.channel) == (event.kind, event.channel)


def test_a_spike_rises_and_falls_by_3_to_8_standard_deviations():
    for before, after, deviation in made("spike"):
        size = np.abs(after - before) / deviation
        assert 3 <= size.max() <= 8
        assert len(size) <= 10
        assert max(size[0], size[-1]) < 0.6 * size.max()


def test_a_shift_is_as_large_in_every_record():
    sizes = []
    for before, after, deviation in made("shift"):
        np.testing.assert_allclose(after - before, (after - before)[0])
        sizes.append((after - before)[0] / deviation)
    assert 1 <= np.abs(sizes).min() < 1.2
    assert 2.8 < np.abs(sizes).max() <= 3
    assert {-1, 1} == set(np.sign(sizes))


def test_a_drift_grows_evenly_over_at_least_30_records():
    for before, after, deviation in made("drift"):
        steps = np.diff(after - before, prepend=0)
        np.testing.assert_allclose(steps, steps[0])
        assert len(steps) >= 30
        assert 1 <= abs(after[-1] - before[-1]) / deviation <= 3


def test_a_stuck_channel_keeps_its_first_value():
    for before, after, _ in made("stuck"):
        assert set(after) == {before[0]}


def test_a_decoupled_channel_goes_on_as_at_another_time():
    for before, after, _ in made("decoupled"):
        windows = np.lib.stride_tricks.sliding_window_view(VALUES[:, :3], len(after), axis=0).reshape(-1, len(after))
        assert (windows == after).all(axis=1).any()
        assert (before != after).any()


def test_swings_become_two_to_four_times_as_wide_or_as_narrow():
    factors = [(after - before.mean()) / (before - before.mean()) for before, after, _ in made("amplitude")]
    for factor in factors:
        np.testing.assert_allclose(factor, factor[0])
    larger = np.array([max(factor[0], 1 / factor[0]) for factor in factors])
    assert ((larger >= 2) & (larger <= 4)).all()
    assert {factor[0] > 1 for factor in factors} == {True, False}


def test_noise_comes_on_top_without_a_direction():
    noise = [(after - before) / deviation for before, after, deviation in made("noise")]
    assert 0.8 < np.concatenate(noise).std() < 1.6
    assert abs(np.concatenate(noise).mean()) < 0.1


def test_a_null_stays_a_null():
    values = VALUES.copy()
    values[::2] = np.nan
    changed, events = make(repeat("shift"), values)
    assert events
    np.testing.assert_array_equal(np.isnan(changed), np.isnan(values))
    assert make(repeat("amplitude"), np.full_like(VALUES, np.nan))[1] == ()


def test_an_event_that_changes_nothing_is_left_out():
    assert make(repeat("stuck"), np.ones_like(VALUES))[1] == ()
    assert make(repeat("decoupled"), np.ones_like(VALUES))[1] == ()


def test_channels_without_a_deviation_get_no_event():
    changed, events = make(deviations=np.zeros(4))
    assert events == ()
    np.testing.assert_array_equal(changed, VALUES)


def test_too_few_records_get_no_event():
    assert make(values=VALUES[: SLOT_ROWS - 1])[1] == ()
    assert len(make(values=VALUES[:SLOT_ROWS])[1]) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_the_largest_numbers_are_taken(kind):
    values = np.where(VALUES > 10, 1e308, -1e308)
    changed, events = make(repeat(kind), values, np.full(4, 1e308))
    assert changed.shape == values.shape
    assert len(events) > 20
