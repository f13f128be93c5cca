"""The model of series: which anomalies and causes it finds, and that scores depend on a record's past alone."""

import json

import numpy as np
import pytest

from detector.series import Series, SeriesModel, SeriesSettings
from schemas.errors import NotEnoughRecords, RecordsError

CHANNELS = 4
RATE = 0.01
PLAIN = SeriesSettings(network=False)


def plant(n: int, seed: int, phase: float = 0.0) -> np.ndarray:
    """Return (n, 4): a slow cycle that three channels follow, each with noise, and a flag that switches with it."""
    rng = np.random.default_rng(seed)
    cycle = np.sin(2 * np.pi * (np.arange(n) + phase) / 60)
    values = cycle[:, None] * [1.0, -2.0, 0.5] + 0.1 * rng.standard_normal((n, 3))
    return np.column_stack([10 + values, cycle > 0])


def series(values: np.ndarray, start: int = 0) -> Series:
    return Series(np.arange(start, start + len(values)), values)


@pytest.fixture(scope="module")
def model() -> SeriesModel:
    return SeriesModel.fit({"pump": series(plant(1500, seed=0))}, PLAIN)


@pytest.fixture(scope="module")
def later() -> np.ndarray:
    return plant(1200, seed=1)


def threshold(model: SeriesModel, entity: str = "pump") -> float:
    return float(np.quantile(model.reference(entity), 1 - RATE))


@pytest.mark.parametrize("change", [3.0, 1e3, -1e6, np.nan])
def test_a_single_bad_reading_is_flagged_and_forgotten(model, later, change):
    glitched = later.copy()
    glitched[600, 0] += change
    before, after = (model.scores("pump", series(values)) > threshold(model) for values in (later, glitched))
    assert after[600]
    assert after[601:700].sum() <= before[601:700].sum() + 3
    np.testing.assert_array_equal(after[:600], before[:600])


@pytest.mark.parametrize("size", [1, 7, 256, 1000])
def test_scores_and_causes_do_not_depend_on_where_a_series_is_cut(model, later, size):
    whole, why = model.scores("pump", series(later)), model.causes("pump", series(later))
    for start in range(700, 1000, max(size, 50)):
        first = max(start - model.context_rows, 0)
        end = min(start + size, len(later))
        part = series(later[first:end], first)
        np.testing.assert_array_equal(model.scores("pump", part)[start - first :], whole[start:end])
        for name in ("share", "deviation", "expected"):
            expected = getattr(why, name)[start:end]
            np.testing.assert_array_equal(getattr(model.causes("pump", part), name)[start - first :], expected)


def test_a_record_counts_for_at_most_as_many_later_ones_as_the_context_has_rows(model, later):
    disturbed = later.copy()
    disturbed[0] += 1e6
    before, after = (model.scores("pump", series(values)) for values in (later, disturbed))
    assert model.context_rows - 300 < np.flatnonzero(before != after).max() <= model.context_rows


def test_normal_records_are_flagged_about_as_often_as_calibration_promises(model, later):
    assert (model.scores("pump", series(later)) > threshold(model)).mean() <= 3 * RATE


def test_held_back_records_are_scored_with_the_past_they_had(model):
    reference = model.reference("pump")
    assert len(reference) == 1500
    first = np.concatenate([reference[start : start + 5] for start in (300, 600, 900, 1200)])  # of each fold
    assert first.mean() == pytest.approx(reference.mean(), abs=reference.std())


def test_a_young_series_raises_no_alarm_for_being_young(model):
    starts = [model.scores("pump", series(plant(60, seed, phase=7 * seed))) for seed in range(1, 9)]
    assert (np.concatenate(starts) > threshold(model)).mean() < 3 * RATE


def test_a_valve_is_not_the_cause_of_a_flow_that_it_does_not_allow():
    rng = np.random.default_rng(0)
    valve = (np.arange(2000) % 50 < 20).astype(float)
    values = np.column_stack([valve, valve * (25 + rng.standard_normal(2000))])
    model = SeriesModel.fit({"pump": series(values[:1600])}, PLAIN)
    values[1820:1850] = np.column_stack([np.zeros(30), 9 + 0.5 * rng.standard_normal(30)])
    scores, why = model.scores("pump", series(values)), model.causes("pump", series(values))
    assert (scores[1820:1850] > threshold(model)).mean() > 0.9
    assert (why.share[1820:1850].argmax(axis=1) == 1).all()


@pytest.mark.parametrize("kind", ["null", "stuck", "spike", "drift"])
def test_a_failing_channel_is_flagged_and_named_as_the_cause(model, later, kind):
    failing = later.copy()
    span, channel = slice(800, 860), 1
    failing[span, channel] = {
        "null": np.nan,
        "stuck": failing[800, channel],
        "spike": failing[span, channel] + 3,
        "drift": failing[span, channel] + np.linspace(0, 6, 60),
    }[kind]
    scores, why = model.scores("pump", series(failing)), model.causes("pump", series(failing))
    peak = 800 + int(np.argmax(scores[span]))
    assert scores[peak] > threshold(model)
    assert np.abs(why.deviation[span]).max(axis=0).argmax() == channel


def test_a_broken_rhythm_within_the_usual_range_is_flagged(model, later):
    broken = later.copy()
    broken[800:830, 0] = later[830:860, 0]  # half a cycle off
    scores = model.scores("pump", series(broken))
    assert scores[800:830].max() > threshold(model)


def test_a_flag_that_takes_a_value_never_seen_is_flagged(model, later):
    switched = later.copy()
    switched[800:810, 3] = 2
    assert model.scores("pump", series(switched))[800:810].max() > threshold(model)
    assert model.causes("pump", series(switched)).share[805].argmax() == 3


def test_causes_are_signed_and_expect_what_the_past_says(model, later):
    low = later.copy()
    low[900, 1] -= 5
    why = model.causes("pump", series(low))
    assert why.deviation[900, 1] < -5
    assert why.expected[900, 1] == pytest.approx(later[900, 1], abs=0.5)
    np.testing.assert_allclose(why.share.sum(axis=1), 1)


def test_the_first_usual_value_after_a_surge_is_known_as_a_return(model, later):
    surge = later.copy()
    surge[900:940, 1] += 9
    why = model.causes("pump", series(surge))
    assert why.deviation[940, 1] < -5
    assert why.is_return[940, 1]
    assert not why.is_return[:940].any()
    assert not why.is_return[:, 0].any()


def test_an_expected_value_does_not_see_the_record_itself(model, later):
    other = later.copy()
    other[900] += 7
    before, after = (model.causes("pump", series(values)).expected[900] for values in (later, other))
    np.testing.assert_array_equal(before, after)


def test_missing_cells_that_training_knows_are_no_anomaly():
    holes = np.random.default_rng(3).random((3000, CHANNELS)) < 0.2
    values = np.where(holes, np.nan, plant(3000, seed=2))
    model = SeriesModel.fit({"pump": series(values[:1800])}, PLAIN)
    scores = model.scores("pump", series(values[1800:]))
    assert np.isfinite(scores).all()
    assert (scores > threshold(model)).mean() < 3 * RATE


def test_the_past_is_forgotten_after_a_gap(later):
    settings = SeriesSettings(max_gap=10, network=False)
    model = SeriesModel.fit({"pump": series(plant(1500, seed=0))}, settings)
    times = np.arange(len(later))
    times[600:] += 11
    scores = model.scores("pump", Series(times, later))
    np.testing.assert_array_equal(scores[600:], model.scores("pump", series(later[600:])))
    assert (scores[600:] != model.scores("pump", series(later))[600:]).any()


def test_gaps_of_date_times_are_in_seconds(later):
    model = SeriesModel.fit({"pump": series(plant(1500, seed=0))}, SeriesSettings(max_gap=90, network=False))
    minutes = np.datetime64("2026-01-01T00:00", "ms") + np.arange(len(later)) * np.timedelta64(60, "s")
    late = minutes + np.where(np.arange(len(later)) < 600, 0, 31) * np.timedelta64(1, "s")
    whole, split = (model.scores("pump", Series(times, later)) for times in (minutes, late))
    np.testing.assert_array_equal(whole[:600], split[:600])
    assert (whole[600:] != split[600:]).any()


def test_records_out_of_order_and_twice_score_as_if_in_order(model, later):
    order = np.append(np.random.default_rng(0).permutation(len(later)), [5, 5])
    shuffled = Series(order, later[order])
    np.testing.assert_array_equal(model.scores("pump", shuffled), model.scores("pump", series(later))[order])


def test_of_repeated_times_the_record_that_came_last_counts():
    twice = Series(np.array([2, 1, 2]), np.array([[1.0], [2.0], [3.0]]))
    ordered, position = twice.ordered()
    assert ordered.values[:, 0].tolist() == [2.0, 3.0]
    assert position.tolist() == [1, 0, 1]


def test_small_and_unseen_entities_are_scored_by_the_shared_model(later):
    model = SeriesModel.fit({"pump": series(plant(1500, seed=0)), "new": series(plant(100, seed=4))}, PLAIN)
    assert model.has_own("pump")
    assert not model.has_own("new")
    unseen, new = (model.scores(entity, series(later)) for entity in ("never heard of", "new"))
    np.testing.assert_array_equal(unseen, new)


def test_an_unseen_entity_without_a_shared_model_is_refused(later):
    model = SeriesModel.fit({"pump": series(plant(1500, seed=0))}, SeriesSettings(models="per_entity", network=False))
    with pytest.raises(RecordsError, match="Entity 'valve' was not in the training records"):
        model.scores("valve", series(later))


def test_too_few_records_and_other_channels_are_refused(model):
    with pytest.raises(NotEnoughRecords, match="Found 49 normal records, needed at least 50"):
        SeriesModel.fit({"pump": series(plant(49, seed=0))})
    with pytest.raises(RecordsError, match="have 3 channels, expected 4"):
        model.scores("pump", series(plant(100, seed=0)[:, :3]))
    with pytest.raises(RecordsError, match="the same channels"):
        SeriesModel.fit({"a": series(plant(100, seed=0)), "b": series(plant(100, seed=0)[:, :3])})


def test_training_twice_gives_the_same_bits(model, later):
    again = SeriesModel.fit({"pump": series(plant(1500, seed=0))}, PLAIN)
    np.testing.assert_array_equal(model.scores("pump", series(later)), again.scores("pump", series(later)))


def test_a_model_comes_back_from_its_arrays_and_manifest(later):
    settings = SeriesSettings(max_gap=30, smoothing=(2, 4), models="auto", select="auto", network=False)
    model = SeriesModel.fit({"pump": series(plant(1500, seed=0)), "new": series(plant(100, seed=4))}, settings)
    arrays, manifest = model.to_state()
    back = SeriesModel.from_state(arrays, json.loads(json.dumps(manifest)))
    assert back.settings == settings
    assert back.context_rows == model.context_rows
    for entity in ("pump", "new"):
        np.testing.assert_array_equal(back.scores(entity, series(later)), model.scores(entity, series(later)))
        np.testing.assert_array_equal(back.reference(entity), model.reference(entity))


def test_scoring_leaves_the_records_alone_and_takes_none(model, later):
    values = later.copy()
    model.scores("pump", series(values))
    np.testing.assert_array_equal(values, later)
    assert len(model.scores("pump", series(later[:0]))) == 0
