"""A scorer of series decides for each entity by its own calibration, and gives the causes."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from detector.core.calibration import severity
from detector.core.threshold_tracking import Tracker
from detector.series.artifact import SeriesArtifact
from detector.series.model import SeriesModel
from detector.series.scorer import BoundSeriesScorer, SeriesScorer
from detector.series.segments import Segment, entities_of, rising_runs, series_of
from detector.series.series import Series
from detector.series.settings import SeriesSettings
from schemas.errors import MissingColumns, RecordsError
from schemas.frames import SCORE_COLUMNS, Features
from tests.machines import FEATURES, channels, machine, trained


@pytest.fixture(scope="module")
def scorer():
    return SeriesScorer(trained())


def segment(entity, readings, rows):
    """Return the last `rows` of some readings, to be scored with those before them."""
    return Segment(entity, np.arange(rows), series_of(readings, "read_at", FEATURES))


def in_context(scorer, entity, readings, rows):
    page = readings.tail(rows)
    return BoundSeriesScorer(scorer, page.index, [segment(entity, readings, rows)]), page


def test_it_scores_as_the_model_does_and_leaves_no_column_out(scorer):
    bound, page = in_context(scorer, "a", machine("a", 700, 0), 100)
    scored = bound.score(page)
    assert tuple(scored.columns) == SCORE_COLUMNS
    assert scored.index.equals(page.index)
    expected = scorer.model.scores("a", Series(np.arange(700), channels(700, 0)))[-100:]
    np.testing.assert_array_equal(scored["anomaly_score"], expected)
    within = scored["p_value"] > scored["p_value"].min()
    np.testing.assert_array_equal(scored["severity"][within], severity(scored["p_value"].to_numpy())[within])


def test_p_values_and_threshold_are_those_of_the_entity(scorer):
    readings = machine("a", 700, 0)
    for entity in ("a", "b", "unseen"):
        bound, page = in_context(scorer, entity, readings, 50)
        scored, reference = bound.score(page), np.sort(scorer.model.reference(entity))
        at_least = (reference >= scored["anomaly_score"].to_numpy()[:, None]).sum(axis=1)
        np.testing.assert_allclose(scored["p_value"], (1 + at_least) / (1 + len(reference)))
        assert (reference > scored["threshold"].iloc[0]).sum() == int(0.01 * (len(reference) + 1)) - 1


def test_an_entity_with_too_few_calibration_records_is_ranked_and_not_flagged():
    scorer = SeriesScorer(trained(), rate=0.0005)
    assert not SeriesScorer(trained(), rate=0.001).entity_threshold("a").only_ranks
    broken = machine("a", 700, 0).assign(torque=1e6)
    bound, page = in_context(scorer, "a", broken, 50)
    scored = bound.score(page)
    assert scorer.entity_threshold("a").only_ranks
    assert np.isinf(scored["threshold"]).all()
    assert not scored["is_anomaly"].any()
    assert scored["p_value"].min() == pytest.approx(1 / 1201)


def test_entities_with_too_few_calibration_records_pool_them():
    scorer = SeriesScorer(trained(), rate=0.001)
    pool = np.sort(np.concatenate([scorer.model.reference("a"), scorer.model.reference("b")]))
    for entity in ("a", "b"):
        assert scorer.entity_threshold(entity).is_pooled
        np.testing.assert_array_equal(scorer.entity_threshold(entity).calibration.scores, pool)
        assert scorer.entity_threshold(entity).threshold == pool[-1]
    assert not SeriesScorer(trained(), rate=0.002).entity_threshold("a").is_pooled


def test_a_single_entity_with_too_few_calibration_records_uses_the_records_of_all():
    series = {"a": Series(np.arange(1500), channels(1500, 0)), "new": Series(np.arange(350), channels(350, 1))}
    model = SeriesModel.fit(series, SeriesSettings(network=False))
    scorer = SeriesScorer(SeriesArtifact(FEATURES, model, 0.001, {"a": 1500, "new": 350}, {}))
    pool = np.sort(np.concatenate([model.reference("a"), model.reference("new")]))
    assert (scorer.entity_threshold("a").is_pooled, scorer.entity_threshold("new").is_pooled) == (False, True)
    np.testing.assert_array_equal(scorer.entity_threshold("new").calibration.scores, pool)
    assert np.isfinite(scorer.entity_threshold("new").threshold)


def test_an_unseen_entity_without_a_shared_model_is_refused():
    artifact = trained(models="per_entity")
    bound, page = in_context(SeriesScorer(artifact), "c", machine("c", 100, 0), 10)
    with pytest.raises(RecordsError, match="Entity 'c' was not in the training records"):
        bound.score(page)


@pytest.fixture(scope="module")
def spiked():
    readings = machine("a", 700, 0)
    readings.loc[[680, 690], "speed"] += 9
    readings.loc[690, "torque"] = np.nan
    return readings


def test_causes_sum_to_the_score_and_name_the_culprit_with_its_direction(scorer, spiked):
    bound, page = in_context(scorer, "a", spiked, 100)
    flagged = page.loc[[690, 680]]
    scores = bound.score(page).loc[flagged.index, "anomaly_score"].to_numpy()
    both, one = bound.explain(flagged, scores, 4)
    for explanation, score in ((both, scores[0]), (one, scores[1])):
        assert sum(cause.share for cause in explanation.causes) == pytest.approx(score)
    assert one.top_feature == "speed"
    assert one.causes[0].deviation > 5
    assert one.causes[0].value == spiked.loc[680, "speed"]
    assert one.causes[0].expected == pytest.approx(spiked.loc[680, "speed"] - 9, abs=0.5)
    assert {cause.feature: cause.value for cause in both.causes}["torque"] is None


def test_values_of_flags_are_truth_values_and_only_the_top_causes_are_returned(scorer, spiked):
    bound, page = in_context(scorer, "a", spiked, 100)
    (explanation,) = bound.explain(page.loc[[680]], np.array([3.0]), 4)
    assert {type(cause.value) for cause in explanation.causes if cause.feature == "is_open"} == {bool}
    (top,) = bound.explain(page.loc[[680]], np.array([3.0]), 2)
    assert top.causes == explanation.causes[:2]
    (below_zero,) = bound.explain(page.loc[[680]], np.array([-3.0]), 2)
    assert below_zero == top


def test_scoring_changes_nothing_and_repeats(scorer, spiked):
    bound, page = in_context(scorer, "a", spiked, 100)
    before = page.copy(deep=True)
    pd.testing.assert_frame_equal(bound.score(page), bound.score(page))
    pd.testing.assert_frame_equal(page, before)


def test_the_smallest_rate_is_that_of_the_best_calibrated_entity(scorer):
    assert scorer.smallest_rate == pytest.approx(1 / (1 + len(scorer.model.shared.reference)))
    assert SeriesScorer(trained(models="per_entity")).smallest_rate == pytest.approx(1 / 601)


def test_missing_values_and_integers_become_channels():
    at = pd.date_range("2026-01-01", periods=3, freq="h", tz="UTC")
    columns = {"n": pd.array([1, None, 3], "Int64"), "b": pd.array([True, None, False], "boolean"), "at": at}
    series = series_of(pd.DataFrame(columns), "at", Features(numeric=("n",), boolean=("b",)))
    np.testing.assert_array_equal(series.values, [[1, 1], [np.nan, np.nan], [3, 0]])
    with pytest.raises(MissingColumns, match="lack the columns \\['speed'\\]"):
        series_of(pd.DataFrame(columns), "at", Features(numeric=("n", "speed")))


def test_records_without_a_time_or_an_entity_stand_alone():
    records = pd.DataFrame({"tank": ["x", None, None, "x", "x"]})
    times = np.array(["2026-01-01", "2026-01-02", "2026-01-03", "NaT", "2026-01-04"], dtype="datetime64[us]")
    runs = [run.tolist() for run in rising_runs(times, entities_of(records, "tank"))]
    assert sorted(runs) == [[0], [1], [2], [3], [4]]


def test_the_newest_records_have_the_same_bits_alone_and_among_all():
    model = trained(max_gap=90.0).model
    later = Series(np.concatenate([np.arange(700), [699], 900 + np.arange(50)]), channels(751, 5))
    for newest in (1, 30, 60, 751):
        np.testing.assert_array_equal(model.scores("a", later, newest), model.scores("a", later)[-newest:])


def test_an_artifact_of_a_shared_model_alone_scores_every_entity():
    series = {"a": Series(np.arange(200), channels(200, 0))}
    model = SeriesModel.fit(series, SeriesSettings(models="shared", network=False))
    scorer = SeriesScorer(SeriesArtifact(FEATURES, model, 0.05, {"a": 200}, {}))
    bound, page = in_context(scorer, "z", machine("z", 50, 1), 50)
    assert bound.score(page)["anomaly_score"].notna().all()


def test_a_stored_threshold_of_an_earlier_version_continues_next_to_the_calibration_in_its_order(scorer):
    start = scorer.tracker("a")
    old = {name: value for name, value in start.to_state().items() if name not in {"steady", "is_held"}}
    trackers = scorer.trackers(lambda _entity: old | {"threshold": 7.0})
    trackers.advance("a", np.zeros(1))
    assert trackers.moves["a"].before == replace(start, threshold=7.0)
    assert start == Tracker.start(scorer.model.reference("a"), scorer.rate)
    np.testing.assert_array_equal(scorer.entity_threshold("a").reference, scorer.model.reference("a"))


def test_a_stored_threshold_of_another_rate_is_compared_with_the_calibrated_one_of_this_rate(scorer):
    before = scorer.at_rate(0.1).tracker("a").advance(np.full(9, -1.0))[1]
    trackers = scorer.trackers(lambda _entity: before.to_state())
    trackers.advance("a", np.zeros(1))
    steady = replace(before.steady, threshold=scorer.entity_threshold("a").threshold)
    assert trackers.moves["a"].before == replace(before, rate=scorer.rate, steady=steady)
    assert steady != before.steady


def test_entities_of_one_model_start_with_one_tracker_which_their_scores_do_not_move(scorer):
    start = scorer.tracker("unseen")
    start.advance(np.full(200, 9.0))
    assert scorer.tracker("another") is start
    assert start == Tracker.start(scorer.model.reference("unseen"), scorer.rate)
