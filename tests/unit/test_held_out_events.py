"""Events in held-out records of series, on which models are compared."""

import numpy as np
import pytest

from detector.series.held_out_events import event_cases, measure_events
from detector.series.scorer import SeriesScorer
from detector.series.segments import take_rows
from detector.series.series import Series
from detector.series.synthetic import KINDS
from tests.machines import channels, trained


@pytest.fixture(scope="module")
def scorer():
    return SeriesScorer(trained())


@pytest.fixture(scope="module")
def cases():
    series = {name: Series(np.arange(800), channels(800, seed)) for seed, name in enumerate("ab")}
    past = {name: take_rows(part, slice(0, 600)) for name, part in series.items()}
    later = {name: take_rows(part, slice(600, 800)) for name, part in series.items()}
    return event_cases(past, later | {"short": take_rows(series["a"], slice(0, 50))}, None, seed=0)


def test_every_kind_of_event_is_injected_into_numeric_channels_of_entities_with_enough_records(cases):
    events = [event for case in cases for event in case.events]
    assert all(sum(event.kind == kind for event in events) >= 6 for kind in KINDS)
    assert {case.entity for case in cases} == {"a", "b"}
    assert {event.channel for event in events} == {0, 1, 2}


def test_a_model_is_measured_by_its_thresholds_and_by_its_scores(cases, scorer):
    recall, auroc = measure_events(scorer, cases)
    assert set(recall) == set(auroc) == set(KINDS)
    assert np.mean(list(auroc.values())) > 0.8
    assert recall["shift"] > 0.8
    stricter, same = measure_events(SeriesScorer(scorer.artifact, rate=0.002), cases)
    assert (sum(stricter.values()) < sum(recall.values()), same) == (True, auroc)


def test_without_held_out_records_nothing_is_measured(scorer):
    assert event_cases({}, {}, None, seed=0) == []
    assert measure_events(scorer, []) == ({}, {})


def test_events_leave_counters_alone():
    values = np.column_stack([channels(800, 0)[:, :1], np.cumsum(np.random.default_rng(0).random(800))])
    series = Series(np.arange(800), values)
    cases = event_cases(
        {"a": take_rows(series, slice(0, 600))}, {"a": take_rows(series, slice(600, 800))}, None, seed=0
    )
    assert {event.channel for case in cases for event in case.events} == {0}


def test_records_may_come_in_any_order(scorer):
    series = Series(np.arange(800), channels(800, 0))
    rng = np.random.default_rng(0)
    parts = [{"a": take_rows(series, rows)} for rows in (np.arange(600), np.arange(600, 800))]
    shuffled = [{"a": take_rows(part["a"], rng.permutation(len(part["a"])))} for part in parts]
    first, second = (measure_events(scorer, event_cases(*each, None, seed=0)) for each in (parts, shuffled))
    assert first == second
