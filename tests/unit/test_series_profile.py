"""Drift of series is detected and named, and is not detected if entities merely differ."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.signal import lfilter

from detector.core.bins import NumberBins
from detector.core.blob import digest
from detector.core.drift import P_VALUES, DriftRule, Profile, assess, feature_key
from detector.series.artifact import SeriesArtifact, dump_series, load_series
from detector.series.drift import correlation_time, fit_profile
from detector.series.model import SeriesModel
from detector.series.scorer import BoundSeriesScorer, SeriesScorer
from detector.series.segments import Segment
from detector.series.series import Series
from detector.series.settings import SeriesSettings
from schemas.errors import ArtifactError
from schemas.frames import P_VALUE
from tests.machines import FEATURES, channels

LEVELS = {"a": 0.0, "b": 300.0, "c": -5000.0, "d": 7e5}
TRAINED, RECORDS, PAST = 1500, 2700, 600
TORQUE, SPEED, LOAD, IS_OPEN = range(4)


def plant():
    """Return values of machines with very different levels and different sizes of movement."""
    return {
        name: channels(RECORDS, seed) * [1 + seed, 10**seed, 1, 1] + [level, level, level, 0]
        for seed, (name, level) in enumerate(LEVELS.items())
    }


def series(values):
    return Series(np.arange(RECORDS - len(values), RECORDS), values)


def scorer_of(values, trained=TRAINED, **settings):
    records = {name: Series(np.arange(trained), of_one[:trained]) for name, of_one in values.items()}
    model = SeriesModel.fit(records, SeriesSettings(reference=500, network=False, **settings))
    artifact = SeriesArtifact(FEATURES, model, 0.01, dict.fromkeys(values, trained), {})
    p_values = SeriesScorer(artifact).calibration_p_values()
    profile = fit_profile(model, FEATURES, p_values, records, window=1000)
    return SeriesScorer(replace(artifact, about={"profile": profile.to_state()}))


@pytest.fixture(scope="module")
def scorer():
    return scorer_of(plant())


def counts_of(scorer, values, rows):
    """Count new records: a number or a slice of rows of each machine."""
    segments, start = [], 0
    for name, of_one in values.items():
        own = rows.get(name, slice(0)) if isinstance(rows, dict) else rows
        first, end, _ = own.indices(RECORDS)
        segments.append(Segment(name, start + np.arange(end - first), series(of_one[max(first - PAST, 0) : end])))
        start += end - first
    page = pd.DataFrame(index=np.arange(start))
    bound = BoundSeriesScorer(scorer, page.index, [segment for segment in segments if len(segment.rows)])
    return bound.profile.counts(page, bound.score(page)[P_VALUE].to_numpy())


def drift_of(scorer, values, rows=slice(1700, 1950)):
    return assess(scorer.profile, counts_of(scorer, values, rows), DriftRule())


@pytest.mark.parametrize("rows", [slice(start, start + 250) for start in (0, 1200, 1500, 1800, 2100, 2450)])
def test_machines_of_different_levels_do_not_drift(scorer, rows):
    drift = drift_of(scorer, plant(), rows)
    assert (drift.records, drift.is_drift) == (1000, False)
    assert 0 < max(drift.psi.values()) < 0.1


@pytest.mark.parametrize("name", LEVELS)
def test_a_machine_that_alone_sends_records_does_not_drift(scorer, name):
    drift = drift_of(scorer, plant(), {name: slice(1600, 2600)})
    assert (drift.records, drift.is_drift) == (1000, False)


def test_machines_that_share_a_model_do_not_drift_either():
    values = plant()
    scorer = scorer_of(values, models="shared")
    assert not any(drift_of(scorer, values, slice(start, start + 250)).is_drift for start in (1500, 1900, 2300))


@pytest.mark.parametrize("models", ["per_entity", "shared"])
def test_machines_that_wander_and_have_little_to_learn_from_do_not_drift(models):
    rng, drifts = np.random.default_rng(0), []
    for _ in range(3):
        steps = rng.standard_normal((len(LEVELS), RECORDS, 4))
        walks = [lfilter([1], [1, -0.95], of_one, axis=0) for of_one in steps]
        values = dict(zip(LEVELS, walks, strict=True))
        scorer = scorer_of(values, trained=400, models=models)
        drifts += [drift_of(scorer, values, slice(start, start + 250)) for start in (600, 1200, 1800, 2400)]
    assert max(max(drift.psi.values()) for drift in drifts) > DriftRule().psi  # which is usual there
    assert [drift.features for drift in drifts if drift.features] == []


@pytest.mark.parametrize("channel", [TORQUE, SPEED, LOAD])
def test_a_channel_that_moves_everywhere_is_named_in_each_window(scorer, channel):
    values = plant()
    for of_one in values.values():
        of_one[1600:, channel] += of_one[:1500, channel].std()
    for start in (1650, 1900, 2200):
        assert drift_of(scorer, values, slice(start, start + 250)).features == (FEATURES.names[channel],)


@pytest.mark.parametrize(("channel", "broken"), [(SPEED, np.nan), (SPEED, np.inf), (LOAD, -1e9), (IS_OPEN, np.nan)])
def test_a_channel_that_breaks_at_one_of_four_machines_is_named(scorer, channel, broken):
    values = plant()
    values["c"][1650:, channel] = broken
    assert drift_of(scorer, values).features[0] == FEATURES.names[channel]


def test_a_constant_channel_that_changes_is_named():
    values = plant()
    for of_one in values.values():
        of_one[:1600, LOAD] = 5
    assert drift_of(scorer_of(values), values).features == ("load",)


def test_rising_scores_are_a_drift_though_no_channel_moves(scorer):
    values = plant()
    for of_one in values.values():
        of_one[1600:, TORQUE] = np.roll(of_one[1600:, TORQUE], 30)  # half a cycle behind
    drift = drift_of(scorer, values)
    assert (drift.is_score_drift, drift.features) == (True, ())


def test_falling_scores_are_no_drift(scorer):
    counts = counts_of(scorer, plant(), slice(1600, 1700))
    calm = assess(scorer.profile, counts | {P_VALUES: [0] * 39 + [1000]}, DriftRule())
    assert (calm.is_score_drift, calm.ks_statistic, calm.ks_p_value) == (False, 0, 1)
    assert assess(scorer.profile, counts | {P_VALUES: [1000] + [0] * 39}, DriftRule()).is_score_drift


def test_each_record_is_counted_once_in_units_of_its_machine(scorer):
    values = plant()
    values["a"][1800, SPEED] = np.nan
    values["b"][1801:1803, SPEED] = 1e12
    counts = counts_of(scorer, values, {"a": slice(1790, 1810), "b": slice(1795, 1805)})
    assert {sum(bins) for bins in counts.values()} == {30}
    assert counts[feature_key("speed")][-2:] == [2, 1]


def test_the_profile_is_stored_with_the_model(scorer):
    blob = dump_series(scorer.artifact)
    again = SeriesScorer(load_series(blob, digest(blob)))
    assert again.profile == scorer.profile
    assert {sum(bins.counts) for bins in scorer.profile.features.values()} == {len(LEVELS) * TRAINED}
    assert sum(scorer.profile.p_values) == sum(len(scorer.model.reference(name)) for name in LEVELS)
    assert (scorer.profile.tail, 2 < scorer.profile.memory < 50) == ("small", True)


def test_a_model_without_a_profile_counts_nothing(scorer):
    bare = SeriesScorer(replace(scorer.artifact, about={}))
    assert BoundSeriesScorer(bare, pd.RangeIndex(0), []).profile is None


@pytest.mark.parametrize(
    ("change", "because"),
    [
        (lambda state: state["features"].pop("speed"), "has the profile of other features than its own"),
        (lambda state: state.update(memory=0.5), "not as it was written .at memory."),
        (lambda state: state.update(tail="left"), "not as it was written .at tail."),
        (lambda state: state["features"]["load"].update(counts=[1]), "not as it was written .at features.load"),
    ],
)
def test_a_profile_that_was_tampered_with_is_refused(scorer, change, because):
    state = scorer.profile.to_state()
    change(state)
    with pytest.raises(ArtifactError, match=because):
        SeriesScorer(replace(scorer.artifact, about={"profile": state}))


def test_a_profile_that_was_written_without_memory_is_that_of_independent_records():
    state = Profile.fit(pd.DataFrame({"x": [1.0, 2.0]}), {"x": NumberBins}, np.ones(2), 1).to_state()
    del state["memory"], state["tail"]
    assert (Profile.from_state(state).memory, Profile.from_state(state).tail) == (1, "any")


@pytest.mark.parametrize(("length", "expected"), [(1, 1), (4, 4), (25, 25)])
def test_the_correlation_time_of_repeated_values_is_their_number(length, expected):
    rng = np.random.default_rng(0)
    runs = [np.repeat(rng.random(40_000 // length), length), np.repeat(rng.random(4_000 // length), length)]
    assert correlation_time(runs) == pytest.approx(expected, rel=0.1)


def test_the_correlation_time_of_equal_or_alternating_values_is_one():
    assert correlation_time([np.ones(10), np.ones(1)]) == 1
    assert correlation_time([np.arange(100) % 2]) == 1
    assert correlation_time([np.array([0.5])]) == 1


def test_means_of_dependent_values_scatter_as_those_of_fewer_independent_ones():
    rng = np.random.default_rng(0)
    kernel = 0.5 ** (np.arange(64) / 8)
    walks = np.array([np.convolve(rng.standard_normal(2063), kernel, mode="valid") for _ in range(300)])
    fewer = walks[0].size / correlation_time(list(walks))
    assert walks.mean(axis=1).var() == pytest.approx(walks.var() / fewer, rel=0.25)
