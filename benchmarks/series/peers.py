"""Peers: detectors in common use on series, without networks, on standardised channels, most without a past.

A channel is standardised on its training records and compressed beyond four standard deviations. A channel that was
constant in training becomes 4 or -4 when it changes. A missing cell counts as the channel's mean.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.signal import lfilter
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.neighbors import NearestNeighbors
from sklearn.svm import OneClassSVM

from benchmarks.series.data import Matrix, Runs, Series, Vector

LINEAR_DEVIATIONS = 4.0  # standard deviations, beyond which a cell grows with the logarithm
NEIGHBOURS = 5
WINDOW_ROWS = 10
KEPT_VARIANCE_SHARE = 0.95
MAX_SVM_RECORDS = 4_000  # to train on; the cost grows with their square
LAGS = (1, 2)  # rows
HALF_LIVES = (8, 64)  # rows, of the averages of the past
RIDGE = 1.0


@dataclass(frozen=True)
class Peer:
    """A fitted peer: functions from a series to `scores` (n,) and, if it sees single channels, to `causes` (n, c)."""

    scores: Callable[[Series], Vector]
    causes: Callable[[Series], Matrix] | None = None


FitPeer = Callable[[Runs, int], Peer]  # training runs and a seed


@dataclass(frozen=True)
class Scale:
    """Mean and standard deviation (c,) of each channel; the deviation of a constant channel is NaN."""

    mean: Vector
    deviation: Vector

    @classmethod
    def fit(cls, runs: Runs) -> "Scale":
        """Fit the scale to all records of the runs."""
        values = np.vstack([run.values for run in runs])
        is_present = ~np.isnan(values)
        count = np.maximum(is_present.sum(axis=0), 1)
        mean = np.where(is_present, values, 0).sum(axis=0) / count
        deviation = np.sqrt(np.square(np.where(is_present, values - mean, 0)).sum(axis=0) / count)
        is_constant = deviation <= 1e-8 * np.maximum(np.abs(mean), 1)
        return cls(mean, np.where(is_constant, np.nan, deviation))

    def __call__(self, series: Series) -> Matrix:
        """Return standardised and compressed cells (n, c)."""
        change = np.nan_to_num(series.values - self.mean)
        noise = 1e-6 * np.maximum(np.abs(self.mean), 1)
        jump = LINEAR_DEVIATIONS * np.sign(change) * (np.abs(change) > noise)
        return np.where(np.isnan(self.deviation), jump, compress(change / self.deviation))


def compress(z: Matrix) -> Matrix:
    """Compress standardised values: the identity up to four, from there a logarithm with the same slope.

    >>> compress(np.array([-3.0, 4.0, 5.0])).round(3).tolist()
    [-3.0, 4.0, 4.693]
    """
    beyond = np.maximum(np.abs(z) - LINEAR_DEVIATIONS, 0)
    return np.asarray(np.sign(z) * (np.minimum(np.abs(z), LINEAR_DEVIATIONS) + np.log1p(beyond)))


def smooth(scores: Vector, half_life: float) -> Vector:
    """Return the exponentially weighted mean of each score and the scores before it."""
    kept = 0.5 ** (1 / half_life)
    return np.asarray(lfilter([1 - kept], [1, -kept], scores, zi=[kept * scores[0]])[0])


def fit_knn(runs: Runs, _seed: int) -> Peer:
    """Fit the mean distance to the 5 nearest training records."""
    scale, training = _scaled(runs)
    index = NearestNeighbors(n_neighbors=min(NEIGHBOURS, len(training)), algorithm="brute").fit(training)
    return Peer(lambda series: index.kneighbors(scale(series))[0].mean(axis=1))


def fit_mean_distance(runs: Runs, _seed: int) -> Peer:
    """Fit the Euclidean norm of the standardised channels."""
    scale = Scale.fit(runs)
    return Peer(lambda series: np.linalg.norm(scale(series), axis=1), lambda series: np.abs(scale(series)))


def fit_mahalanobis(runs: Runs, _seed: int) -> Peer:
    """Fit the norm of the whitened channels; a small share of the mean variance is added to every direction."""
    scale, training = _scaled(runs)
    centre = training.mean(axis=0)
    covariance = np.cov(training, rowvar=False).reshape(len(centre), -1)
    ridge = 1e-3 * max(np.trace(covariance) / len(centre), 1e-3)
    whiten = np.linalg.inv(np.linalg.cholesky(covariance + ridge * np.eye(len(centre))))
    return Peer(lambda series: np.linalg.norm((scale(series) - centre) @ whiten.T, axis=1))


def fit_ocsvm(runs: Runs, seed: int) -> Peer:
    """Fit a one-class support vector machine, RBF kernel, nu = 0.5, to at most 4,000 training records."""
    scale, training = _scaled(runs)
    rows = np.random.default_rng(seed).permutation(len(training))[:MAX_SVM_RECORDS]
    model = OneClassSVM().fit(training[rows])
    return Peer(lambda series: -model.score_samples(scale(series)))


def fit_isolation_forest(runs: Runs, seed: int) -> Peer:
    """Fit an isolation forest of 100 trees."""
    scale, training = _scaled(runs)
    model = IsolationForest(random_state=seed).fit(training)
    return Peer(lambda series: -model.score_samples(scale(series)))


def fit_window_pca(runs: Runs, _seed: int) -> Peer:
    """Fit the squared error of the last ten records, rebuilt from the components with 95 % of the variance."""
    scale = Scale.fit(runs)
    windows = np.vstack([_windows(scale(run)) for run in runs])
    if not windows.any():
        return Peer(lambda series: np.square(_windows(scale(series))).sum(axis=1))
    model = PCA(KEPT_VARIANCE_SHARE, svd_solver="covariance_eigh").fit(windows)

    def scores(series: Series) -> Vector:
        rows = _windows(scale(series))
        return np.asarray(np.square(rows - model.inverse_transform(model.transform(rows))).sum(axis=1))

    return Peer(scores)


def fit_linear_ar(runs: Runs, _seed: int) -> Peer:
    """Fit the error of a linear forecast from the past, relative to its error in training, summed over channels."""
    scale = Scale.fit(runs)
    cells = [scale(run) for run in runs]
    past = np.vstack([_past(run) for run in cells])
    present = np.vstack(cells)
    weights = np.linalg.solve(past.T @ past + RIDGE * np.eye(past.shape[1]), past.T @ present)
    deviation = np.maximum((present - past @ weights).std(axis=0), 0.05)

    def causes(series: Series) -> Matrix:
        rows = scale(series)
        return np.asarray(np.abs(rows - _past(rows) @ weights) / deviation)

    return Peer(lambda series: causes(series).sum(axis=1), causes)


def _scaled(runs: Runs) -> tuple[Scale, Matrix]:
    scale = Scale.fit(runs)
    return scale, np.vstack([scale(run) for run in runs])


def _windows(rows: Matrix) -> Matrix:
    """Return each record with the nine before it, (n, 10 c); the first record stands for earlier records."""
    padded = np.vstack([np.repeat(rows[:1], WINDOW_ROWS - 1, axis=0), rows])
    return np.lib.stride_tricks.sliding_window_view(padded, WINDOW_ROWS, axis=0).reshape(len(rows), -1)


def _past(rows: Matrix) -> Matrix:
    """Return lags and averages of earlier records, and 1: (n, 4 c + 1); the first record stands for earlier records."""
    padded = np.vstack([np.repeat(rows[:1], max(LAGS), axis=0), rows])
    lags = [padded[max(LAGS) - lag : len(padded) - lag] for lag in LAGS]
    before = lags[0]
    averages = [np.apply_along_axis(smooth, 0, before, half_life) for half_life in HALF_LIVES]
    return np.hstack([*lags, *averages, np.ones((len(rows), 1))])
