"""Scores to p-values and thresholds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta, binom, expon, false_discovery_control, genpareto, norm, uniform

from detector.core.calibration import (
    Calibration,
    ParetoTail,
    benjamini_hochberg,
    conformal_rank,
    f_beta_threshold,
    rate_bounds,
    severity,
)
from schemas.errors import NotEnoughRecords, RateTooSmall, RecordsError


@pytest.fixture
def rng():
    return np.random.default_rng(0)


scores_lists = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=200)


@given(scores_lists, scores_lists)
def test_a_p_value_counts_the_reference_scores_at_least_as_large(reference, scores):
    p_values = Calibration.fit(np.array(reference)).p_values(np.array(scores))
    counted = [(1 + sum(r >= s for r in reference)) / (1 + len(reference)) for s in scores]
    np.testing.assert_allclose(p_values, counted)
    assert ((p_values > 0) & (p_values <= 1)).all()


@given(scores_lists, st.lists(st.floats(-1e6, 1e6), min_size=1), st.floats(0.001, 0.999))
def test_a_score_is_above_the_threshold_exactly_where_its_p_value_is_at_most_the_rate(reference, scores, rate):
    calibration, scores = Calibration.fit(np.array(reference)), np.array(scores)
    if rate * (len(reference) + 1) < 1:
        with pytest.raises(RateTooSmall):
            calibration.threshold(rate)
    else:
        flagged = scores > calibration.threshold(rate)
        np.testing.assert_array_equal(flagged, calibration.p_values(scores) <= rate * (1 + 1e-9))


def test_a_rate_that_is_too_small_is_refused_with_the_number_of_records_it_needs():
    with pytest.raises(RateTooSmall, match=r"rate of 0\.001 needs 999 calibration records, found 998"):
        Calibration.fit(np.arange(998.0)).threshold(0.001)
    assert Calibration.fit(np.arange(999.0)).threshold(0.001) == 998.0


@pytest.mark.parametrize("rate", [0.05, 0.01])
def test_the_false_positive_rate_of_exchangeable_records_holds(rate):
    rng, flagged, tries = np.random.default_rng(0), 0, 20_000
    for _ in range(tries):
        scores = rng.exponential(size=200)
        flagged += scores[0] > Calibration.fit(scores[1:]).threshold(rate)
    low, high = binom.ppf([0.005, 0.995], tries, rate)
    assert low <= flagged <= high


@pytest.mark.parametrize(("rate", "m"), [(0.05, 115), (0.01, 99), (0.05, 20_000)])
def test_the_realised_rate_has_the_bounds_of_its_beta_distribution(rate, m):
    rank = conformal_rank(rate, m)
    assert rate_bounds(rate, m) == pytest.approx(beta.ppf([0.025, 0.975], rank, m + 1 - rank), rel=1e-6)


def test_the_tail_model_reaches_rates_that_ranks_cannot():
    scores = expon.rvs(size=5000, random_state=0)
    calibration = Calibration.fit(scores, with_tail=True)
    assert calibration.threshold(1e-5) == pytest.approx(expon.isf(1e-5), rel=0.25)
    assert calibration.p_values(np.array([expon.isf(1e-5)]))[0] == pytest.approx(1e-5, rel=3)


def test_the_tail_model_never_lets_a_higher_score_have_a_higher_p_value():
    calibration = Calibration.fit(expon.rvs(size=400, random_state=0), with_tail=True)
    p_values = calibration.p_values(np.linspace(0, 40, 5000))
    assert (np.diff(p_values) <= 0).all()
    assert p_values[-1] > 0


def test_a_tail_model_needs_enough_records():
    with pytest.raises(NotEnoughRecords, match="needed at least 200"):
        Calibration.fit(np.arange(199.0), with_tail=True)


@pytest.mark.parametrize("shape", [0.0, 1e-12, 0.05, 0.3, 2.7])
def test_the_tail_has_the_bits_of_scipys_distribution(shape):
    tail, rng = ParetoTail(start=1.3, share=0.1, shape=shape, scale=0.7), np.random.default_rng(0)
    excesses = np.concatenate([3 * rng.exponential(size=500), [0.0, -5.0, 1e9, np.inf, np.nan]])
    beyond = genpareto.sf((1.3 + excesses) - 1.3, shape, scale=0.7)
    np.testing.assert_array_equal(tail.p_values(1.3 + excesses), np.maximum(0.1 * beyond, 1e-12))
    rates = np.concatenate([0.1 * rng.random(500), [0.1, 1e-9, 0.0, 0.2]])
    np.testing.assert_array_equal(tail.thresholds(rates), 1.3 + genpareto.isf(rates / 0.1, shape, scale=0.7))


@pytest.mark.parametrize(
    ("tail", "within"),
    [
        (expon(), {1e-2: (0.8, 1.2), 1e-3: (0.5, 2), 1e-4: (0.5, 2)}),
        (genpareto(0.3), {1e-2: (0.8, 1.2), 1e-3: (0.5, 2), 1e-4: (0.5, 6)}),
        (uniform(), {1e-2: (0.8, 1.2), 1e-3: (0, 0), 1e-4: (0, 0)}),
    ],
    ids=["exponential", "Pareto", "bounded"],
)
def test_the_tail_model_realises_small_rates_and_those_of_a_bounded_tail_at_most(tail, within):
    samples = [tail.rvs(size=500, random_state=seed) for seed in range(100)]
    calibrations = [Calibration.fit(sample, with_tail=True) for sample in samples]
    for rate, (least, most) in within.items():
        realised = np.mean([tail.sf(calibration.threshold(rate)) for calibration in calibrations])
        assert least * rate <= realised <= most * rate


@pytest.mark.parametrize("draw", [expon.rvs, uniform.rvs, lambda **settings: expon.rvs(**settings).round(1)])
def test_with_a_tail_model_the_ranks_hold_as_far_as_they_reach_and_the_threshold_goes_by_the_p_value(draw):
    reference = draw(size=500, random_state=0)
    calibration, alone = Calibration.fit(reference, with_tail=True), Calibration.fit(reference)
    np.testing.assert_array_equal(calibration.p_values(reference), alone.p_values(reference))
    beyond = np.linspace(0, 3 * reference.max(), 3001)
    assert (np.diff(calibration.p_values(beyond)) <= 0).all()
    assert (calibration.p_values(beyond) <= alone.p_values(beyond)).all()
    for rate in (0.2, 0.1, 0.05, 0.01, 0.002, 1e-3, 1e-5):
        flagged = beyond > calibration.threshold(rate)
        np.testing.assert_array_equal(flagged, calibration.p_values(beyond) <= rate * (1 + 1e-9))


def test_a_tail_of_tied_scores_is_not_fitted():
    scores = np.concatenate([np.random.default_rng(0).uniform(size=450), np.full(50, 2.0)])
    with pytest.raises(RecordsError, match="Of the 50 largest calibration scores 1 are distinct"):
        Calibration.fit(scores, with_tail=True)


def test_the_f_beta_threshold_separates_what_can_be_separated():
    threshold = f_beta_threshold(np.array([1.0, 2.0, 3.0]), np.array([8.0, 9.0]), beta=1.0)
    assert 3.0 <= threshold < 8.0


def test_the_f_beta_threshold_rises_with_the_records_that_a_normal_score_stands_for():
    rng = np.random.default_rng(0)
    normal, anomalous = rng.normal(size=500), rng.normal(2, size=100)
    alone, weighted = (f_beta_threshold(normal, anomalous, 1.0, weight) for weight in (1.0, 50.0))
    assert alone < weighted


def test_an_f_beta_threshold_without_anomalies_is_refused():
    with pytest.raises(RecordsError, match="No record is labelled as an anomaly"):
        f_beta_threshold(np.arange(3.0), np.zeros(0), 1.0)


@given(st.floats(1e-12, 1), st.floats(1e-12, 1))
def test_severity_falls_as_the_p_value_rises(p, q):
    low, high = severity(np.array([max(p, q), min(p, q)]))
    assert 0 <= low <= high <= 100


@given(st.lists(st.floats(-1e6, 1e6), min_size=20, max_size=60), st.floats(-1e9, 1e9), st.floats(-1e9, 1e9))
def test_severity_rises_with_the_score_also_beyond_all_calibration_scores(calibration_scores, a, b):
    calibration = Calibration.fit(np.array(calibration_scores))
    low, high = calibration.severity(np.array(sorted((a, b))))
    assert 0 <= low <= high <= 100


def test_within_the_calibration_scores_severity_follows_the_p_value(rng):
    calibration = Calibration.fit(rng.gamma(2, size=400))
    scores = calibration.scores
    np.testing.assert_array_equal(calibration.severity(scores), severity(calibration.p_values(scores)))


@pytest.mark.parametrize(
    ("draw", "arguments"), [("gamma", (2,)), ("normal", ()), ("lognormal", ()), ("standard_t", (3,))]
)
def test_the_extrapolated_severity_is_near_that_of_many_more_calibration_scores(draw, arguments, rng):
    sample = getattr(rng, draw)
    rare = np.quantile(sample(*arguments, size=500_000), 1 - 1e-4)
    calibrations = [Calibration.fit(sample(*arguments, size=800)) for _ in range(20)]
    severities = [calibration.highest_severity(rare) for calibration in calibrations]
    assert all(calibration.highest_severity(calibration.scores[-1]) < 50 for calibration in calibrations)
    assert abs(np.median(severities) - severity(np.array([1e-4]))[0]) < 15


def test_every_severity_can_be_reached_though_the_calibration_scores_are_few(rng):
    few = Calibration.fit(rng.normal(size=100))
    assert few.highest_severity() == 100
    assert few.highest_severity(few.scores[-1]) == severity(np.array([1 / 101 * 2]))[0]


def test_calibration_scores_that_are_all_equal_allow_no_extrapolation():
    calibration = Calibration.fit(np.ones(100))
    assert calibration.highest_severity() == severity(np.array([1 / 101]))[0]


p_value_lists = st.lists(st.integers(1, 1000).map(lambda rank: rank / 1000), min_size=1, max_size=100)


@given(p_value_lists, st.sampled_from([0.01, 0.05, 0.1, 0.25]))
def test_benjamini_hochberg_flags_what_scipys_adjusted_p_values_say(p_values, level):
    flagged = benjamini_hochberg(np.array(p_values), level)
    np.testing.assert_array_equal(flagged, false_discovery_control(p_values) <= level * (1 + 1e-9))


@given(p_value_lists, st.floats(0.001, 0.5), st.floats(0.001, 0.5))
def test_a_larger_false_discovery_rate_flags_the_same_records_and_more(p_values, level, other):
    fewer, more = (benjamini_hochberg(np.array(p_values), rate) for rate in sorted((level, other)))
    assert (more | ~fewer).all()
    assert not fewer.any() or np.array(p_values)[fewer].max() < np.array(p_values)[~fewer].min(initial=2)


def test_no_p_values_flag_nothing():
    assert benjamini_hochberg(np.zeros(0), 0.1).shape == (0,)


@pytest.mark.parametrize("n_anomalies", [0, 20])
def test_the_false_discovery_rate_of_exchangeable_records_holds(n_anomalies):
    rng, level, tries, n, m = np.random.default_rng(0), 0.1, 4_000, 200, 1_999
    normal, shares = n - n_anomalies, np.zeros(tries)
    for i in range(tries):
        scores = np.concatenate([rng.exponential(size=normal), rng.uniform(4, 12, size=n_anomalies)])
        flagged = benjamini_hochberg(Calibration.fit(rng.exponential(size=m)).p_values(scores), level)
        shares[i] = flagged[:normal].sum() / max(flagged.sum(), 1)
    promised = level * normal / n  # exactly, where level (m + 1) / n is whole
    low, high = norm.interval(0.99, promised, shares.std() / np.sqrt(tries))
    assert low <= shares.mean() <= high
