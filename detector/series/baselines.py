"""Plain baselines of a series model: detectors that need no views, fusion or network, on the same standardised cells.

What they find, the model should find too; where they find more, it does not pay.
"""

from collections.abc import Callable, Sequence

import numpy as np

from detector.core.baselines import PEERS
from detector.core.subsample import subsample_rows
from detector.series.running_means import lagged, rows_of, running_mean

ROWS = 10  # of a window, the current record included; as many are the lags of the autoregression
MOST_WINDOWS = 2000  # that a baseline learns from
RIDGE = 1e-3  # per record
LEAST_ERROR = 0.05  # standard deviations: a perfectly forecast channel must not own the whole score
HALF_LIFE = 2  # records: every method gains by a score that is smoothed over time

Score = Callable[[np.ndarray], np.ndarray]  # cells of consecutive records (n, c) -> anomaly scores (n,)
Fit = Callable[[Sequence[np.ndarray]], Score]  # cells of runs of normal records, each (m, c) -> a score
PAST = ROWS + rows_of(HALF_LIFE) - 1  # earlier records that a score depends on, at most


def _fit_autoregression(runs: Sequence[np.ndarray]) -> Score:
    """Length of what a linear forecast from the last 10 records missed, in its usual errors.

    A vector autoregression (Lutkepohl, *New Introduction to Multiple Time Series Analysis*, 2005) by ridge regression
    (Hoerl & Kennard 1970).
    """
    past, cells = np.concatenate([_lags(run) for run in runs]), np.concatenate(runs)
    gram = past.T @ past + max(1.0, RIDGE * len(past)) * np.eye(past.shape[1])
    weights = np.linalg.solve(gram, past.T @ cells)
    error = (cells - past @ weights).std(axis=0) + LEAST_ERROR
    return lambda run: np.linalg.norm((run - _lags(run) @ weights) / error, axis=1)


def _fit_on_windows(peer: str) -> Fit:
    """The fit of a simple peer of record models to windows of 10 records in the place of records."""

    def fit(runs: Sequence[np.ndarray]) -> Score:
        windows = np.concatenate([_windows(run) for run in runs])
        score = PEERS[peer](subsample_rows(windows, MOST_WINDOWS), 0)  # neither peer draws at random
        return lambda run: score(_windows(run))

    return fit


def _smoothed(fit: Fit) -> Fit:
    def fit_smoothed(runs: Sequence[np.ndarray]) -> Score:
        score = fit(runs)
        return lambda run: running_mean(score(run), HALF_LIFE)

    return fit_smoothed


def _lags(run: np.ndarray) -> np.ndarray:
    """(n, 1 + 10 c): one, and the records before each."""
    return np.concatenate([np.ones((len(run), 1)), *(lagged(run, rows) for rows in range(1, ROWS + 1))], axis=1)


def _windows(run: np.ndarray) -> np.ndarray:
    """(n, 10 c) float32: each record and those before it."""
    return np.concatenate([lagged(run, rows) for rows in range(ROWS)], axis=1).astype(np.float32)


BASELINES: dict[str, Fit] = {
    "linear_ar": _smoothed(_fit_autoregression),
    "knn": _smoothed(_fit_on_windows("knn")),
    "pca": _smoothed(_fit_on_windows("pca")),
}
