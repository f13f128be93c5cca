"""Baselines of series: each detects the anomalies that it is for, from a bounded past."""

import numpy as np
import pytest

from detector.core.baselines import RECORD_BASELINES
from detector.series.baselines import BASELINES, CONTEXT_ROWS, MAX_WINDOWS


def cycle(n, seed, phase=0.0):
    """Return cells (n, 3) of a cycle that three channels follow, each with noise."""
    angle = 2 * np.pi * np.arange(n) / 40 + phase
    return np.stack([np.sin(angle), np.cos(angle), np.sin(angle)], 1) + 0.05 * np.random.default_rng(seed).normal(
        size=(n, 3)
    )


@pytest.fixture(scope="module", params=BASELINES)
def baseline(request):
    return BASELINES[request.param]([cycle(900, 0), cycle(700, 1, phase=2.0)])


def test_a_channel_that_leaves_the_others_stands_out(baseline):
    run = cycle(400, 2)
    usual = np.quantile(baseline(run)[CONTEXT_ROWS:], 0.99)
    run[300:310, 0] += 2.0
    score = baseline(run)
    assert score[300:310].max() > 1.5 * usual
    assert score[CONTEXT_ROWS:300].max() < 1.5 * usual


def test_a_score_depends_on_a_bounded_past(baseline):
    run = cycle(300, 3)
    np.testing.assert_allclose(baseline(run)[-50:], baseline(run[-50 - CONTEXT_ROWS :])[-50:], rtol=1e-5)
    changed = np.concatenate([np.zeros((1, 3)), run[1:]])
    assert (baseline(changed)[:CONTEXT_ROWS] != baseline(run)[:CONTEXT_ROWS]).any()


def test_the_same_records_get_the_same_scores(baseline):
    run = cycle(300, 4)
    np.testing.assert_array_equal(baseline(run), baseline(run.copy()))


def test_a_single_record_has_a_score(baseline):
    assert baseline(cycle(1, 5)).shape == (1,)


def test_a_window_never_reaches_into_another_run(monkeypatch):
    seen = []
    monkeypatch.setitem(RECORD_BASELINES, "knn", lambda rows, _seed: seen.append(rows))
    BASELINES["knn"]([np.zeros((50, 1)), np.ones((50, 1))])
    (windows,) = seen
    assert (windows == windows[:, :1]).all()
    assert set(windows[:, 0]) == {0, 1}


def test_autoregression_forgives_what_the_past_explains():
    score = BASELINES["linear_ar"]([cycle(900, 0)])
    wide = 3 * cycle(400, 1)  # the same rhythm, far from anything seen
    assert np.median(score(wide)[CONTEXT_ROWS:]) < 0.5 * np.median(
        BASELINES["knn"]([cycle(900, 0)])(wide)[CONTEXT_ROWS:]
    )


@pytest.mark.parametrize("name", BASELINES)
def test_a_channel_that_never_moved_is_no_obstacle(name):
    run = np.column_stack([cycle(300, 0), np.zeros(300)])
    assert np.isfinite(BASELINES[name]([run])(run)).all()


def test_more_windows_than_are_kept_are_spread_evenly(monkeypatch):
    seen = []
    monkeypatch.setitem(RECORD_BASELINES, "knn", lambda rows, _seed: seen.append(rows))
    BASELINES["knn"]([np.arange(10_000.0)[:, None]])
    (windows,) = seen
    assert windows.shape == (MAX_WINDOWS, 10)
    assert (windows[0, 0], windows[-1, 0]) == (0, 9999)
