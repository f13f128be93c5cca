"""Levels that follow discoveries keep the share of false ones near the rate asked, in streams with rare anomalies."""

import numpy as np
import pytest
from scipy.stats import norm

from detector.core.calibration import Calibration
from detector.core.online_fdr import DiscoveryLevels, thresholds_at
from schemas.errors import LevelTooSmall

RATE, MEMORY = 0.1, 10_000
LEVELS = DiscoveryLevels(RATE, MEMORY, limit=0.01)


def stream(rng, n, share, length, strength):
    """Return truth (n,) and p-values (n,) of records; anomalies come in runs whose strength wanders (AR(1), 0.8)."""
    is_anomalous, z = np.zeros(n, bool), rng.normal(size=n)
    start = 0
    while share and (start := start + 1 + int(rng.exponential(length / share))) < n:
        end, wandering = min(n, start + 1 + int(rng.geometric(1 / length))), 0.0
        for row in range(start, end):
            wandering = 0.8 * wandering + 0.6 * z[row]
            z[row] = strength + wandering
        is_anomalous[start:end], start = True, end
    return is_anomalous, norm.sf(z)


def share_of_false(is_anomalous, is_flagged):
    """Return the share of false discoveries in the last MEMORY records, averaged over the stream; 0 without any."""
    false, flagged = (np.cumsum(what.astype(int)) for what in (is_flagged & ~is_anomalous, is_flagged))
    within = [counts[MEMORY:] - counts[:-MEMORY] for counts in (false, flagged)]
    return float((within[0] / np.maximum(within[1], 1)).mean())


def discoveries(p_values):
    return p_values <= LEVELS.advance(p_values)[0]


@pytest.mark.parametrize(
    ("share", "length", "strength", "power", "at_fixed_rate"),
    [(0.001, 20, 4.0, 0.7, 0.6), (0.005, 20, 4.0, 0.75, 0.2), (0.0002, 5, 4.5, 0.7, 0.8), (0.0, 1, 0.0, 0.0, 0.9)],
)
def test_a_sliding_window_holds_no_larger_share_of_false_discoveries_than_asked(
    share, length, strength, power, at_fixed_rate
):
    shares, fixed, found, anomalies = [], [], 0, 0
    for seed in range(400, 408):
        is_anomalous, p_values = stream(np.random.default_rng(seed), 100_000, share, length, strength)
        is_flagged = discoveries(p_values)
        shares.append(share_of_false(is_anomalous, is_flagged))
        fixed.append(share_of_false(is_anomalous, p_values <= 0.001))
        found, anomalies = found + (is_flagged & is_anomalous).sum(), anomalies + is_anomalous.sum()
    assert np.mean(shares) <= RATE * 1.2
    assert found >= power * anomalies
    assert np.mean(fixed) >= at_fixed_rate


def test_a_stream_may_be_cut_anywhere():
    _, p_values = stream(np.random.default_rng(1), 3_000, 0.02, 20, 4.0)
    levels, last = LEVELS.advance(p_values)
    state, parts = LEVELS, []
    for part in np.split(p_values, [1, 2, 900, 1_777]):
        own, state = state.advance(part)
        state = LEVELS.continued(state.to_state())
        parts.append(own)
    np.testing.assert_array_equal(np.concatenate(parts), levels)
    assert state == last
    assert len(np.unique(levels)) > 100


def test_levels_never_spend_more_than_discoveries_earn():
    levels = DiscoveryLevels(0.2, 100, limit=1.0)
    rng = np.random.default_rng(2)
    p_values = np.where(rng.random(5_000) < 0.05, 0.0, rng.random(5_000))
    used = levels.advance(p_values)[0]
    spent = earned = 0.0
    for level, is_discovery in zip(used, p_values <= used, strict=True):
        spent = 0.99 * spent + level
        assert spent <= 0.2 * (1 + earned) + 1e-9
        earned = 0.99 * earned + is_discovery
    assert used.max() > 10 * levels.base


@pytest.mark.parametrize("with_tail", [False, True])
def test_a_score_is_above_its_threshold_exactly_if_its_p_value_is_at_most_its_level(with_tail):
    rng = np.random.default_rng(3)
    calibration = Calibration.fit(rng.exponential(size=500).round(2), with_tail=with_tail)
    scores, levels = rng.exponential(4, size=2_000).round(2), 10 ** rng.uniform(-6, -1, size=2_000)
    p_values = calibration.p_values(scores)
    thresholds = thresholds_at(calibration, levels, scores, p_values)
    np.testing.assert_array_equal(scores > thresholds, p_values <= levels)
    at_rates = [calibration.threshold(level) for level in levels[levels > 0.01]]
    np.testing.assert_array_equal(calibration.thresholds(levels[levels > 0.01]), at_rates)


def test_a_base_level_that_no_p_value_reaches_is_refused():
    scores = np.arange(300.0)
    with pytest.raises(LevelTooSmall, match=r"down to 0.00001 decide, which needs 99,999 .* at most 30\."):
        LEVELS.check(Calibration.fit(scores))
    LEVELS.check(Calibration.fit(scores, with_tail=True))


@pytest.mark.parametrize(("rate", "memory", "m"), [(0.05, 107, 2139), (0.01, 103, 10_299)])
def test_the_smallest_p_value_that_scores_resolve_is_a_discovery_though_it_is_rounded_above_the_base_level(
    rate, memory, m
):
    levels, calibration = DiscoveryLevels(rate, memory, limit=0.01), Calibration(np.arange(float(m)))
    levels.check(calibration)
    scores = np.array([1e9, 1e9])
    p_values = calibration.p_values(scores)
    of_records, after = levels.advance(p_values[:1])
    assert p_values[0] > of_records[0]
    assert after.earned > 0
    assert (scores > thresholds_at(calibration, np.repeat(of_records, 2), scores, p_values)).all()
