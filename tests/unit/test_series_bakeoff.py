"""The card of a series model: what is compared, on which records, and when a baseline has beaten the model."""

import json
from itertools import cycle

import numpy as np
import pytest

from detector.series.bakeoff import MAX_ENTITIES, BakeoffResult, cases_of, fit_cases, try_case
from detector.series.baseline_comparison import MAX_ROUNDS, compare_with_baselines
from detector.series.card import METHODS, MIN_BASELINE_LEAD, MODEL, BaselineComparison
from detector.series.model import SeriesModel
from detector.series.series import Series
from detector.series.settings import SeriesSettings
from detector.series.synthetic import ECHO_ROWS, KINDS, Event
from tests.machines import channels

RATE = 0.01


def machines(n=600, names="ab"):
    return {name: Series(np.arange(n), channels(n, seed)) for seed, name in enumerate(names)}


def fitted(series, **settings):
    return SeriesModel.fit(series, SeriesSettings(**({"network": False} | settings)))


@pytest.fixture(scope="module")
def series():
    return machines()


@pytest.fixture(scope="module")
def model(series):
    return fitted(series)


@pytest.fixture(scope="module")
def card(model, series):
    return compare_with_baselines(model, series, RATE)


def card_with(leads, model_recall=0.5):
    area = dict.fromkeys(METHODS, 0.5) | {method: 0.5 + lead for method, lead in leads.items()}
    recall = dict.fromkeys(METHODS, 0.5) | {MODEL: model_recall}
    return BaselineComparison(entities=1, records=100, events={"spike": 9}, auc_pr=area, event_recall={"spike": recall})


def test_a_card_compares_the_model_with_every_baseline_on_every_kind(card):
    assert (card.entities, card.records, card.problem) == (2, 240, None)
    assert sum(card.events.values()) == 2 * MAX_ROUNDS
    assert list(card.events) == list(card.event_recall) == list(KINDS)
    assert all(tuple(by_method) == METHODS for by_method in [card.auc_pr, *card.event_recall.values()])
    assert card.auc_pr[MODEL] > 0.7
    assert card.event_recall["spike"][MODEL] == 1


def test_the_same_model_has_the_same_card_and_the_records_stay_as_they_are(card, model):
    again = machines()
    assert compare_with_baselines(model, again, RATE) == card
    np.testing.assert_array_equal(again["a"].values, machines()["a"].values)


def test_a_card_does_not_depend_on_the_order_in_which_records_came(card, model, series):
    order = np.random.default_rng(0).permutation(600)
    shuffled = {name: Series(one.times[order], one.values[order]) for name, one in reversed(series.items())}
    assert compare_with_baselines(model, shuffled, RATE) == card


def test_no_method_has_seen_the_records_that_it_is_tried_on(model, series):
    cases = cases_of(model, series)
    changed = {
        name: Series(one.times, np.where(one.times[:, None] < 480, one.values, 0)) for name, one in series.items()
    }
    honest, other = (fit_cases(cases_of(model, records), model)[0] for records in (series, changed))
    assert [len(part) for part in (cases[0].earlier, cases[0].later)] == [480, 120]
    assert cases[0].later.times[0] == 480
    for name, method in honest.methods.items():
        values = cases[0].later.values
        np.testing.assert_array_equal(method.later(cases[0], values), other.methods[name].later(cases[0], values))


def test_a_later_record_is_scored_with_its_whole_past():
    series = machines(2000, "a")
    contest = fit_cases(cases_of(fitted(series), series), fitted(series))[0]
    whole = Series(series["a"].times, series["a"].values)
    for method in contest.methods.values():
        expected = method.scores(whole)[1600:2000]
        np.testing.assert_allclose(method.later(contest.case, contest.case.later.values), expected, rtol=1e-5)


def test_the_work_is_bounded_whatever_the_training():
    names = "abcdefghijkl"
    many = machines(1500, names)
    cases = cases_of(fitted(many), many)
    assert [case.entity for case in cases] == list("acdfgijl")
    large = machines(30_000, "ab")
    cases = cases_of(fitted(machines(600, "ab")), large)
    assert [(len(case.earlier), len(case.later)) for case in cases] == [(10_000, 2_000)] * 2
    assert cases[0].earlier.times[-1] + 1 == cases[0].later.times[0] == 24_000
    several = dict.fromkeys(names, large["a"])
    assert len(cases_of(fitted(many), several)) < MAX_ENTITIES


def test_entities_that_share_a_model_are_tried_with_a_shared_one(series):
    shared = fitted(series, models="shared")
    contests = fit_cases(cases_of(shared, series), shared)
    first, second = (contest.methods["knn"].scores(contests[0].case.later) for contest in contests)
    np.testing.assert_array_equal(first, second)
    assert compare_with_baselines(shared, series, RATE).entities == 2


def test_entities_with_a_model_of_their_own_are_preferred(series):
    mixed = series | {"c": Series(np.arange(520), channels(520, 2))}
    model = fitted(mixed, fewest=550)
    assert [case.entity for case in cases_of(model, mixed)] == ["a", "b"]


def test_gaps_in_time_cut_the_past_of_every_method():
    one = machines(1200, "a")["a"]
    gapped = {"a": Series(one.times + 1000 * (one.times >= 1000), one.values)}
    model = fitted(gapped, max_gap=10)
    contest = fit_cases(cases_of(model, gapped), model)[0]
    alone = Series(contest.case.later.times[40:], contest.case.later.values[40:])
    for method in contest.methods.values():
        tail = method.later(contest.case, contest.case.later.values)[40:]
        np.testing.assert_allclose(tail, method.scores(alone), rtol=1e-5)


def test_too_few_records_give_a_reason_instead(model):
    card = compare_with_baselines(model, machines(499), RATE)
    assert card.problem == "No entity has the 500 normal records that it takes to hold back 100."
    assert (card.auc_pr, card.mean_event_recall, card.beaten_by) == ({}, {}, [])


def test_repeated_records_do_not_count_twice(model, series):
    repeated = {name: Series(one.times // 4, one.values) for name, one in series.items()}
    assert "500 normal records" in compare_with_baselines(model, repeated, RATE).problem


def test_channels_that_are_flags_alone_give_a_reason_instead():
    flags = {"a": Series(np.arange(600), channels(600, 0)[:, 3:])}
    assert "No synthetic anomaly can be made" in compare_with_baselines(fitted(flags), flags, RATE).problem


def test_records_right_after_an_event_count_neither_way():
    scores = np.zeros(200)
    scores[60 : 70 + ECHO_ROWS] = 1.0
    tried = BakeoffResult(200, (Event("shift", 60, 70, 0),), {MODEL: scores})
    assert tried.auc_pr(MODEL) == 1
    assert tried.is_counted.sum() == 200 - ECHO_ROWS
    scores[70 + ECHO_ROWS] = 1.0
    assert tried.auc_pr(MODEL) < 1


def test_an_event_is_found_by_one_record_above_what_normal_ones_reach_at_the_rate():
    scores = np.arange(200.0) / 200
    events = (Event("shift", 60, 70, 0), Event("spike", 120, 130, 0))
    scores[65], scores[120:130] = 2.0, 0.9
    tried = BakeoffResult(200, events, {MODEL: scores})
    assert tried.is_found(MODEL, 0.01).tolist() == [True, False]  # none of 148 normal records may lie above
    assert tried.is_found(MODEL, 0.15).tolist() == [True, True]
    assert tried.is_found(MODEL, 1e-9).tolist() == [True, False]  # a rate too small for them is that of none


def test_rounds_are_laid_end_to_end(model, series):
    contest = fit_cases(cases_of(model, series), model)[0]
    tried = try_case(contest, 3, cycle(["spike"]), np.random.default_rng(0))
    assert [event.start // 120 for event in tried.events] == [0, 1, 2]
    assert {len(scores) for scores in tried.scores.values()} == {360}
    assert tried.is_anomaly.sum() == sum(event.end - event.start for event in tried.events)


def test_a_baseline_has_to_lead_clearly_and_miss_no_more_events():
    assert card_with({"knn": MIN_BASELINE_LEAD + 0.01, "pca": MIN_BASELINE_LEAD + 0.02}).beaten_by == ["pca", "knn"]
    assert card_with({"knn": MIN_BASELINE_LEAD - 0.01}).beaten_by == []
    assert card_with({"knn": MIN_BASELINE_LEAD + 0.01}, model_recall=0.6).beaten_by == []
    assert card_with({MODEL: MIN_BASELINE_LEAD + 0.01}).beaten_by == []


def test_a_card_is_json(card):
    document = json.loads(json.dumps(card.to_json(), allow_nan=False))
    assert document["auc_pr"] == card.auc_pr
    assert document["mean_event_recall"]["knn"] == pytest.approx(
        np.mean([by_method["knn"] for by_method in card.event_recall.values()])
    )
    assert document["beaten_by"] == card.beaten_by
    assert document["problem"] is None


def test_a_meter_does_not_hinder_the_baselines(series):
    meter = np.cumsum(2 + np.sin(2 * np.pi * np.arange(600) / 60))
    metered = {name: Series(part.times, np.column_stack([meter, part.values])) for name, part in series.items()}
    fitted_cases = fit_cases(cases_of(fitted(metered), metered), fitted(metered))
    case, plain_case = fitted_cases[0], fit_cases(cases_of(fitted(series), series), fitted(series))[0]
    assert case.deviations[0] == 0
    for name in ("linear_ar", "knn"):
        with_meter, without = (
            each.methods[name].later(each.case, each.case.later.values) for each in (case, plain_case)
        )
        assert np.median(with_meter) < 2 * np.median(without)
