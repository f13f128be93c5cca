"""Every method by name. A method learns all trainings of a set at once, so that many small models can train as one.

To add one, write a function of trainings and a seed that returns a `Fitted` for each training, and name it in
`METHODS`; a method that knows one training at a time goes through `one_by_one`.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.series.data import Matrix, Runs, Series, Vector
from benchmarks.series.peers import (
    FitPeer,
    Peer,
    fit_isolation_forest,
    fit_knn,
    fit_linear_ar,
    fit_mahalanobis,
    fit_mean_distance,
    fit_ocsvm,
    fit_window_pca,
    smooth,
)
from detector.core.keras_backend import choose_backend
from detector.series import SeriesSettings
from detector.series.entity_model import EntityModel
from detector.series.fitting import fit_models
from schemas.errors import UsageError

HELD_BACK = 0.2  # last share of the training records: their scores calibrate


@dataclass(frozen=True)
class Fitted:
    """What a method learned from one training; higher scores are more anomalous.

    Attributes:
        reference: (m,) scores of normal records that were held back.
        scores: (n,) of a test series, from the series up to each record.
        causes: (n, c) how much each channel is to blame, where the method can tell.
    """

    reference: Vector
    scores: Callable[[Series], Vector]
    causes: Callable[[Series], Matrix] | None = None


Method = Callable[[Mapping[str, Runs], int], Mapping[str, Fitted]]


def one_by_one(fit: FitPeer, half_life: float | None = None) -> Method:
    """The method of a peer, its scores smoothed with a half-life in rows.

    It is fitted without the last fifth of the records to calibrate, then with all of them.
    """

    def fit_all(trainings: Mapping[str, Runs], seed: int) -> dict[str, Fitted]:
        return {name: _fit(fit, half_life, runs, seed) for name, runs in trainings.items()}

    return fit_all


def _fit(fit: FitPeer, half_life: float | None, runs: Runs, seed: int) -> Fitted:
    earlier, later = split(runs)
    trial = _smoothed(fit(earlier, seed), half_life)
    peer = fit(runs, seed)
    return Fitted(np.concatenate([trial(run) for run in later]), _smoothed(peer, half_life), peer.causes)


def _smoothed(peer: Peer, half_life: float | None) -> Callable[[Series], Vector]:
    if half_life is None:
        return peer.scores
    return lambda series: smooth(peer.scores(series), half_life)


def split(runs: Runs) -> tuple[list[Series], list[Series]]:
    """The runs without the last fifth of their records, and that fifth; at most one run is cut."""
    left = round((1 - HELD_BACK) * sum(map(len, runs)))
    earlier, later = [], []
    for run in runs:
        cut = min(left, len(run))
        left -= cut
        earlier.append(run[:cut])
        later.append(run[cut:])
    return [run for run in earlier if len(run)], [run for run in later if len(run)]


def plumbline(**chosen: Any) -> Method:
    """Our model, one for each training, with the default settings but for those chosen; networks train together."""

    def fit_all(trainings: Mapping[str, Runs], seed: int) -> dict[str, Fitted]:
        settings = SeriesSettings(models="per_entity", seed=seed, **chosen)
        if settings.network:
            choose_backend("tensorflow", "cpu")
        runs = {name: [run.values for run in of_one] for name, of_one in trainings.items()}
        models = fit_models(runs, settings)
        return {name: Fitted(model.reference, *_faces(model)) for name, model in models.items()}

    return fit_all


def _faces(model: EntityModel) -> tuple[Callable[[Series], Vector], Callable[[Series], Matrix]]:
    """Scores and causes of a test series, which is one run."""
    return (
        lambda series: model.scores(series.values),
        lambda series: np.asarray(np.abs(model.causes(series.values).deviation)),
    )


METHODS: dict[str, Method] = {
    "plumbline": plumbline(),
    "plumbline_select": plumbline(select="auto"),
    "plumbline_network": plumbline(network=True),
    "knn": one_by_one(fit_knn, half_life=3),
    "knn_unsmoothed": one_by_one(fit_knn),
    "mahalanobis": one_by_one(fit_mahalanobis, half_life=3),
    "ocsvm": one_by_one(fit_ocsvm, half_life=2),
    "window_pca": one_by_one(fit_window_pca, half_life=2),
    "linear_ar": one_by_one(fit_linear_ar, half_life=3),
    "mean_distance": one_by_one(fit_mean_distance, half_life=2),
    "isolation_forest": one_by_one(fit_isolation_forest, half_life=2),
}


def check_methods(names: Iterable[str]) -> tuple[str, ...]:
    """The names, where all of them are known.

    Raises:
        UsageError: where one is not.
    """
    chosen = tuple(names)
    unknown = [name for name in chosen if name not in METHODS]
    if unknown:
        raise UsageError(f"There are no methods {unknown}. Choose from {list(METHODS)}.")
    return chosen
