"""Baselines of series: detectors without signals, fusion or network, on the same standardised cells as the model.

The model should find what a baseline finds. If a baseline finds more, the model does not pay off.
"""

from collections.abc import Callable, Sequence

import numpy as np

from detector.core.baselines import RECORD_BASELINES
from detector.core.subsample import subsample_rows
from detector.series.running_means import lagged, running_mean, window_rows

WINDOW_ROWS = 10  # including the current record; also the number of lags of the autoregression
MAX_WINDOWS = 2000  # that a baseline is fitted on
RIDGE = 1e-3  # per record
MIN_ERROR = 0.05  # standard deviations: a perfectly forecast channel must not dominate the score
HALF_LIFE_ROWS = 2  # of the smoothing of scores, which improves every method

Score = Callable[[np.ndarray], np.ndarray]  # cells of consecutive records (n, c) -> anomaly scores (n,)
Fit = Callable[[Sequence[np.ndarray]], Score]  # cells of runs of normal records, each (m, c) -> a score
CONTEXT_ROWS = (
    WINDOW_ROWS + window_rows(HALF_LIFE_ROWS) - 1
)  # the largest number of earlier records that a score depends on


def _fit_autoregression(runs: Sequence[np.ndarray]) -> Score:
    """Fit the norm of the errors of a linear forecast from the last 10 records, in units of their usual size.

    A vector autoregression (Lutkepohl, *New Introduction to Multiple Time Series Analysis*, 2005) by ridge regression
    (Hoerl & Kennard 1970).
    """
    past, cells = np.concatenate([_lags(run) for run in runs]), np.concatenate(runs)
    gram = past.T @ past + max(1.0, RIDGE * len(past)) * np.eye(past.shape[1])
    weights = np.linalg.solve(gram, past.T @ cells)
    error = (cells - past @ weights).std(axis=0) + MIN_ERROR
    return lambda run: np.linalg.norm((run - _lags(run) @ weights) / error, axis=1)


def _fit_on_windows(name: str) -> Fit:
    """Adapt a baseline of single records to windows of 10 records."""

    def fit(runs: Sequence[np.ndarray]) -> Score:
        windows = np.concatenate([_windows(run) for run in runs])
        score = RECORD_BASELINES[name](subsample_rows(windows, MAX_WINDOWS), 0)  # knn and pca use no seed
        return lambda run: score(_windows(run))

    return fit


def _smoothed(fit: Fit) -> Fit:
    def fit_smoothed(runs: Sequence[np.ndarray]) -> Score:
        score = fit(runs)
        return lambda run: running_mean(score(run), HALF_LIFE_ROWS)

    return fit_smoothed


def _lags(run: np.ndarray) -> np.ndarray:
    """Return a constant and the 10 records before each record, (n, 1 + 10 c)."""
    return np.concatenate([np.ones((len(run), 1)), *(lagged(run, rows) for rows in range(1, WINDOW_ROWS + 1))], axis=1)


def _windows(run: np.ndarray) -> np.ndarray:
    """Return each record and the 9 records before it, (n, 10 c) float32."""
    return np.concatenate([lagged(run, rows) for rows in range(WINDOW_ROWS)], axis=1).astype(np.float32)


BASELINES: dict[str, Fit] = {
    "linear_ar": _smoothed(_fit_autoregression),
    "knn": _smoothed(_fit_on_windows("knn")),
    "pca": _smoothed(_fit_on_windows("pca")),
}
