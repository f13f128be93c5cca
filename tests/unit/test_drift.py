"""Drift is reported if a feature or the scores move, with the right name, and is not reported if nothing moves."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy.special import kolmogorov

from detector.core.bins import MAX_LEVEL_BINS, LevelBins
from detector.core.blob import digest
from detector.core.calibration import Calibration
from detector.core.drift import P_VALUES, DriftRule, Profile, _chance_beyond, assess, feature_key
from detector.records.artifact import dump_artifact, load_artifact
from detector.records.feature_types import drift_bins
from detector.records.fitting import DecisionRule, fit_artifact
from detector.records.normal_records import NormalRecords
from detector.records.scorer import RecordScorer
from schemas.config import ModelConfig
from schemas.errors import ArtifactError
from schemas.frames import Features
from tests.samples import FEATURES, make_records

RULE = DriftRule()
BINS = drift_bins(FEATURES)
WINDOWS = 200


def shuffled(n, rng):
    """Return records of every type that are exchangeable with all others."""
    minutes = pd.to_timedelta(rng.integers(0, 14 * 1440, n), unit="min")
    return make_records(n, seed=int(rng.integers(2**31))).assign(read_at=pd.Timestamp("2026-01-05", tz="UTC") + minutes)


def p_values(records, calibration):
    return calibration.p_values(records["load"].abs().to_numpy())


def reference(rng, n_train=4000, m=500, window=1000):
    """Return a profile of training records, and the calibration behind its p-values."""
    training, held_out = shuffled(n_train, rng), shuffled(m, rng)
    calibration = Calibration.fit(held_out["load"].abs().to_numpy())
    return Profile.fit(training, BINS, calibration.p_values(calibration.scores), window), calibration


def drift_of(records, profile, calibration, rule=RULE):
    return assess(profile, profile.counts(records, p_values(records, calibration)), rule)


@pytest.mark.parametrize(("n_train", "m", "n"), [(4000, 500, 2000), (300, 60, 2000), (300, 60, 100)])
def test_exchangeable_records_raise_no_alarm(n_train, m, n):
    rng = np.random.default_rng(7)
    drifts = [drift_of(shuffled(n, rng), *reference(rng, n_train, m)) for _ in range(WINDOWS)]
    assert [drift for drift in drifts if drift.is_drift] == []
    assert max(max(drift.psi.values()) for drift in drifts) > 0


def test_many_rare_levels_in_small_windows_raise_no_alarm():
    rng = np.random.default_rng(3)
    features = Features(categorical=tuple("abcdefgh"))

    def records(n):
        return pd.DataFrame({name: pd.Series(rng.zipf(1.3, n)).astype("str") for name in features.categorical})

    profile = Profile.fit(records(200), drift_bins(features), rng.random(60), 100)
    drifts = [assess(profile, profile.counts(records(100), rng.random(100)), RULE) for _ in range(WINDOWS)]
    assert [drift.features for drift in drifts if drift.is_drift] == []
    assert max(max(drift.psi.values()) for drift in drifts) > RULE.psi  # chance alone, which the test knows


@pytest.mark.parametrize("feature", FEATURES.numeric)
def test_a_shift_by_one_standard_deviation_is_found_and_named(feature):
    rng = np.random.default_rng(5)
    for _ in range(20):
        profile, calibration = reference(rng)
        records = shuffled(2000, rng)
        records[feature] += records[feature].std()
        drift = drift_of(records, profile, calibration)
        assert (drift.features, next(iter(drift.psi))) == ((feature,), feature)


@pytest.mark.parametrize(
    ("feature", "change"),
    [
        ("is_open", lambda column: column | True),
        ("mode", lambda column: column.replace("low", "off")),
        ("mode", lambda column: column.mask(column == "low")),
        ("pressure", lambda column: column.fillna(3.0)),
        ("pressure", lambda column: column.mask(column > 3)),
        ("flow", lambda column: column * 1e9),
        ("flow", lambda column: column * 0 - np.inf),
    ],
)
def test_changed_values_are_found_whatever_their_type(feature, change):
    rng = np.random.default_rng(11)
    profile, calibration = reference(rng)
    records = shuffled(2000, rng)
    records[feature] = change(records[feature])
    assert drift_of(records, profile, calibration).features == (feature,)


def test_scores_that_move_are_found_without_a_feature_that_does():
    rng = np.random.default_rng(13)
    profile, _ = reference(rng)
    counts = profile.counts(shuffled(2000, rng), rng.random(2000) ** 1.5)
    drift = assess(profile, counts, RULE)
    assert (drift.features, drift.is_score_drift, drift.is_drift) == ((), True, True)
    assert drift.ks_p_value < RULE.level
    assert drift.ks_statistic > RULE.distance


def test_a_distance_that_is_significant_and_small_is_no_drift():
    rng = np.random.default_rng(31)
    profile = Profile.fit(make_records(50), BINS, rng.random(50_000), 10)
    drift = assess(profile, profile.counts(make_records(50), rng.random(50_000) ** 1.1), RULE)
    assert drift.ks_p_value < RULE.level
    assert not drift.is_score_drift


def test_values_beyond_those_of_training_have_a_bin_of_their_own_and_nulls_another():
    features = Features(numeric=("flow",))
    profile = Profile.fit(pd.DataFrame({"flow": [1.0, 2.0, 3.0]}), drift_bins(features), np.ones(1), 1)
    values = pd.DataFrame({"flow": [1.0, 2.0, 3.0, 0.9, 3.1, np.inf, -np.inf, np.nan]})
    assert profile.counts(values, np.ones(8))[feature_key("flow")] == [1, 1, 1, 4, 1]


@pytest.mark.parametrize("distinct", [1, 3, 10])
def test_scores_with_ties_are_no_drift(distinct):
    rng = np.random.default_rng(17)
    for _ in range(WINDOWS):
        calibration = Calibration.fit(rng.integers(0, distinct, 300).astype(float))
        profile = Profile.fit(make_records(50), BINS, calibration.p_values(calibration.scores), 10)
        counts = profile.counts(make_records(2000), calibration.p_values(rng.integers(0, distinct, 2000).astype(float)))
        assert not assess(profile, counts, RULE).is_score_drift


def wave(hours, rng):
    """Return one record a minute of a process that wanders and has a daily cycle."""
    times = pd.date_range("2026-01-05", periods=60 * hours, freq="min", tz="UTC")
    day = np.sin(2 * np.pi * np.arange(60 * hours) / 1440)
    return pd.DataFrame(
        {"heat": 3 * day + rng.normal(size=60 * hours), "read_at": times, "load": rng.normal(size=60 * hours)}
    )


def test_a_window_of_some_hours_is_no_drift_of_what_follows_the_time_of_day():
    rng = np.random.default_rng(19)
    features = Features(numeric=("heat", "load"), timestamp=("read_at",))
    profile = Profile.fit(wave(240, rng), drift_bins(features), rng.random(500), 360)
    days = wave(240, rng)
    for start in range(0, len(days) - 360, 360):
        window = days[start : start + 360]
        drift = assess(profile, profile.counts(window, rng.random(360)), RULE)
        assert min(drift.psi["heat"], drift.psi["read_at"]) > RULE.psi
        assert not drift.is_drift
        moved = assess(profile, profile.counts(window.assign(load=window["load"] + 1), rng.random(360)), RULE)
        assert moved.features == ("load",)


def test_a_constant_feature_drifts_if_it_changes():
    records = pd.DataFrame({"flow": [5.0] * 500, "mode": ["on"] * 500})
    features = Features(numeric=("flow",), categorical=("mode",))
    profile = Profile.fit(records, drift_bins(features), np.linspace(0.01, 1, 100), 100)
    same = profile.counts(records, np.linspace(0.01, 1, 500))
    other = profile.counts(records.assign(flow=5.5), np.linspace(0.01, 1, 500))
    assert not assess(profile, same, RULE).is_drift
    assert assess(profile, other, RULE).features == ("flow",)


def test_counts_of_parts_add_up_to_those_of_the_whole():
    rng = np.random.default_rng(23)
    profile, calibration = reference(rng)
    records = shuffled(1000, rng)
    parts = [profile.counts(part, p_values(part, calibration)) for part in (records[:300], records[300:])]
    whole = profile.counts(records, p_values(records, calibration))
    assert {name: (np.array(parts[0][name]) + parts[1][name]).tolist() for name in whole} == whole
    assert all(sum(counts) == 1000 for counts in whole.values())
    assert whole.keys() == {P_VALUES, *map(feature_key, FEATURES.names)}


def test_each_training_record_has_a_bin_and_bins_are_about_equally_full():
    rng = np.random.default_rng(29)
    profile, _ = reference(rng)
    assert {sum(bins.counts) for bins in profile.features.values()} == {4000}
    assert profile.features["load"].counts == (*[400] * 10, 0, 0)
    assert sum(profile.p_values) == 500


def test_rare_categories_share_a_bin():
    texts = pd.Series(
        [f"level {i}" for i in range(MAX_LEVEL_BINS + 5) for _ in range(MAX_LEVEL_BINS + 5 - i)], dtype="str"
    )
    profile = Profile.fit(pd.DataFrame({"mode": texts}), {"mode": LevelBins}, np.ones(9), 50)
    assert profile.features["mode"].counts[-2:] == (1 + 2 + 3 + 4 + 5, 0)


@pytest.fixture(scope="module")
def state():
    return Profile.fit(make_records(100), BINS, np.linspace(0.01, 1, 100), 25).to_state()


def test_a_profile_is_strict_json_and_comes_back_as_it_was(state):
    text = json.dumps(state, allow_nan=False)
    assert Profile.from_state(json.loads(text)) == Profile.fit(make_records(100), BINS, np.linspace(0.01, 1, 100), 25)
    assert Profile.from_state(None) is None


def changed(state, path, value):
    copy = json.loads(json.dumps(state))
    place = copy
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = value
    return copy


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("features",), {}),
        (("features", "flow", "kind"), "os.system"),
        (("features", "flow", "tops"), [3.0, 2.0]),
        (("features", "flow", "tops"), [0.0] * 10_000),
        (("features", "flow", "low"), float("nan")),
        (("features", "flow", "usual"), -1.0),
        (("features", "flow", "counts"), [1, 2]),
        (("features", "flow", "counts"), [-1] * 12),
        (("features", "mode", "levels"), ["low", "low", "low"]),
        (("p_values",), [1] * 3),
        (("p_values",), [1e400] * 40),
        (("more",), 1),
    ],
)
def test_a_profile_that_was_tampered_with_is_refused(state, path, value):
    with pytest.raises(ArtifactError, match="is not as it was written .* Train again"):
        Profile.from_state(changed(state, path, value))


@pytest.mark.parametrize("value", [[], 7, "profile"])
def test_what_is_no_profile_at_all_is_refused(value):
    with pytest.raises(ArtifactError, match="at its top"):
        Profile.from_state(value)


def test_a_scorer_reads_the_profile_of_its_artifact_and_does_without_one(state):
    records = make_records(100)
    parts = NormalRecords(records[:60], records[60:])
    plain = fit_artifact(parts, FEATURES, ModelConfig(members=1, hidden=4, steps=1), rule=DecisionRule(rate=0.1))
    assert RecordScorer(plain).profile is None
    plain.about["profile"] = state
    blob = dump_artifact(plain)
    assert RecordScorer(load_artifact(blob, digest(blob))).profile == Profile.from_state(state)


def test_the_chance_of_a_distance_is_that_of_kolmogorov():
    distances = [0.0, 0.05, 0.1, 0.3, 0.99, 1.01, 2.0, 5.0, 18.0]
    np.testing.assert_allclose([_chance_beyond(x) for x in distances], kolmogorov(distances), rtol=1e-12)
    assert str(_chance_beyond(30.0)) == "0.0"  # and not -0.0, as people read it in the store
