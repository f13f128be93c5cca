"""Widely used methods with their defaults, on one-hot and standardised inputs."""

import importlib
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.impute import SimpleImputer
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import OneClassSVM

from benchmarks.tables import Vector

Matrix = npt.NDArray[np.float64]
Score = Callable[[Matrix], Vector]
Fit = Callable[[Matrix, int], Score]  # training matrix and seed -> anomaly scores of a matrix


def fit_one_hot(records: pd.DataFrame, categorical: tuple[str, ...]) -> Pipeline:
    """Fit the encoding to standardised columns: a 0/1 column for each category, none for new categories."""
    numeric = [name for name in records if name not in categorical]
    columns = ColumnTransformer(
        [
            ("numeric", SimpleImputer(strategy="median", keep_empty_features=True), numeric),
            ("categorical", OneHotEncoder(handle_unknown="ignore", sparse_output=False), list(categorical)),
        ]
    )
    return make_pipeline(columns, StandardScaler()).fit(records)


def fit_knn(train: Matrix, _seed: int) -> Score:
    """Fit the mean distance to the 5 nearest training records."""
    index = NearestNeighbors(n_neighbors=min(5, len(train))).fit(train)
    return lambda matrix: index.kneighbors(matrix)[0].mean(axis=1)


def fit_lof(train: Matrix, _seed: int) -> Score:
    """Fit the local outlier factor in novelty mode."""
    model = LocalOutlierFactor(n_neighbors=min(20, len(train) - 1), novelty=True).fit(train)
    return lambda matrix: -model.score_samples(matrix)


def fit_isolation_forest(train: Matrix, seed: int) -> Score:
    """Fit an isolation forest of 100 trees."""
    model = IsolationForest(random_state=seed).fit(train)
    return lambda matrix: -model.score_samples(matrix)


def fit_ocsvm(train: Matrix, _seed: int) -> Score:
    """Fit a one-class support vector machine, RBF kernel, nu = 0.5."""
    model = OneClassSVM().fit(train)
    return lambda matrix: -model.score_samples(matrix)


def fit_pca(train: Matrix, _seed: int) -> Score:
    """Fit the squared error of reconstruction from the principal components that carry 95 % of the variance."""
    model = PCA(0.95, svd_solver="full").fit(train)
    return lambda matrix: np.square(matrix - model.inverse_transform(model.transform(matrix))).sum(axis=1)


def fit_whitened_pca(train: Matrix, _seed: int) -> Score:
    """Fit the squared principal components, each over its variance: the Mahalanobis distance (Shyu et al., 2003).

    Components without variance are left out.
    """
    model = PCA(svd_solver="full").fit(train)
    kept = model.explained_variance_ > 1e-9 * model.explained_variance_[0]
    variance = model.explained_variance_[kept]
    return lambda matrix: (np.square(model.transform(matrix)[:, kept]) / variance).sum(axis=1)


def _fit_pyod(module: str, name: str, *, is_seeded: bool) -> Fit:
    def fit(train: Matrix, seed: int) -> Score:
        detector: Any = getattr(importlib.import_module(module), name)
        model = detector(random_state=seed) if is_seeded else detector()
        model.fit(train)
        return lambda matrix: np.asarray(model.decision_function(matrix), dtype=float)

    return fit


CHEAP_PEERS: dict[str, Fit] = {
    "knn": fit_knn,
    "lof": fit_lof,
    "isolation_forest": fit_isolation_forest,
    "pca": fit_pca,
    "whitened_pca": fit_whitened_pca,
    "ocsvm": fit_ocsvm,
}
PYOD_PEERS: dict[str, Fit] = {
    "pyod_vae": _fit_pyod("pyod.models.vae", "VAE", is_seeded=True),
    "pyod_autoencoder": _fit_pyod("pyod.models.auto_encoder", "AutoEncoder", is_seeded=True),
    "pyod_ecod": _fit_pyod("pyod.models.ecod", "ECOD", is_seeded=False),
}


def has_pyod() -> bool:
    """Return whether PyOD, an optional peer, is installed."""
    return find_spec("pyod") is not None
