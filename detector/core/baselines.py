"""Baselines: detectors without a network, on the same standardised cells as the network.

The network should find what a baseline finds. If a baseline finds more, the network does not pay off.
"""

from collections.abc import Callable

import numpy as np
from sklearn.ensemble import IsolationForest

from detector.core.neighbours import Neighbours

NEIGHBOURS = 5
MINOR_VARIANCE_SHARE = 0.05  # share of the variance that the principal components leave out

Score = Callable[[np.ndarray], np.ndarray]  # cells (n, d) -> anomaly scores (n,)


def _fit_knn(training: np.ndarray, _seed: int) -> Score:
    """Fit the mean distance to the 5 nearest training records (Ramaswamy et al. 2000)."""
    neighbours = Neighbours(training)
    return lambda cells: neighbours.mean_distance(cells, NEIGHBOURS)


def _fit_isolation_forest(training: np.ndarray, seed: int) -> Score:
    """Fit an isolation forest of 100 trees (Liu, Ting & Zhou 2008)."""
    forest = IsolationForest(random_state=seed).fit(training)
    return lambda cells: -forest.score_samples(cells)


def _fit_pca(training: np.ndarray, _seed: int) -> Score:
    """Fit the squared error of the reconstruction from the principal components that carry 95 % of the variance."""
    centre = training.mean(axis=0, dtype=np.float64)
    centred = training - centre
    variances, components = np.linalg.eigh(centred.T @ centred)  # ascending
    minor = components[:, np.cumsum(variances) <= MINOR_VARIANCE_SHARE * variances.sum()]
    return lambda cells: np.square((cells - centre) @ minor).sum(axis=1)


RECORD_BASELINES: dict[str, Callable[[np.ndarray, int], Score]] = {  # training cells (m, d) and a seed -> a score
    "knn": _fit_knn,
    "isolation_forest": _fit_isolation_forest,
    "pca": _fit_pca,
}
