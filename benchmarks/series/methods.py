"""All methods of the benchmark on series, by name.

A method gets all trainings of a set at once, so that many small models can train together. To add a
method, write a function that takes trainings and a seed and returns a `Fitted` for each training, and add it to
`METHODS`; `one_by_one` adapts a method that takes one training at a time.
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
from detector.series.series import Series as Records
from schemas.errors import UsageError

HELD_BACK_SHARE = 0.2  # of the training records, at the end, whose scores calibrate


@dataclass(frozen=True)
class Fitted:
    """A method fitted to one training; higher scores are more anomalous.

    Attributes:
        reference: (m,) scores of held-back normal records.
        scores: returns scores (n,) of a test series, each from the series up to its record.
        causes: returns causes (n, c), the part of each channel in the score; None if the method has none.
    """

    reference: Vector
    scores: Callable[[Series], Vector]
    causes: Callable[[Series], Matrix] | None = None


Method = Callable[[Mapping[str, Runs], int], Mapping[str, Fitted]]


def one_by_one(fit: FitPeer, half_life: float | None = None) -> Method:
    """Return the method of a peer, its scores smoothed with a half-life in rows.

    The peer is fitted without the last fifth of the records to calibrate, then to all records.
    """

    def fit_all(trainings: Mapping[str, Runs], seed: int) -> dict[str, Fitted]:
        return {name: _fit(fit, half_life, runs, seed) for name, runs in trainings.items()}

    return fit_all


def _fit(fit: FitPeer, half_life: float | None, runs: Runs, seed: int) -> Fitted:
    earlier, later = split(runs)
    calibrating_scores = _smoothed(fit(earlier, seed), half_life)
    peer = fit(runs, seed)
    return Fitted(np.concatenate([calibrating_scores(run) for run in later]), _smoothed(peer, half_life), peer.causes)


def _smoothed(peer: Peer, half_life: float | None) -> Callable[[Series], Vector]:
    if half_life is None:
        return peer.scores
    return lambda series: smooth(peer.scores(series), half_life)


def split(runs: Runs) -> tuple[list[Series], list[Series]]:
    """Return the runs without the last fifth of their records, and that fifth; at most one run is cut."""
    remaining = round((1 - HELD_BACK_SHARE) * sum(map(len, runs)))
    earlier, later = [], []
    for run in runs:
        cut = min(remaining, len(run))
        remaining -= cut
        earlier.append(run[:cut])
        later.append(run[cut:])
    return [run for run in earlier if len(run)], [run for run in later if len(run)]


def plumbline(**overrides: Any) -> Method:
    """Return our method: default settings with overrides, a model for each training; networks train together."""

    def fit_all(trainings: Mapping[str, Runs], seed: int) -> dict[str, Fitted]:
        settings = SeriesSettings(models="per_entity", seed=seed, **overrides)
        if settings.network:
            choose_backend("tensorflow", "cpu")
        runs = {name: [records_of(run) for run in series] for name, series in trainings.items()}
        models = fit_models(runs, settings)
        return {name: Fitted(model.reference, *_scores_and_causes(model)) for name, model in models.items()}

    return fit_all


def records_of(series: Series) -> Records:
    """Return a series of the benchmark as the detector takes it."""
    return Records(series.times, series.values)


def _scores_and_causes(model: EntityModel) -> tuple[Callable[[Series], Vector], Callable[[Series], Matrix]]:
    """Return functions of a test series, which is one run: its scores and its causes."""
    return (
        lambda series: model.scored(records_of(series)).scores,
        lambda series: np.asarray(model.causes(records_of(series)).evidence),
    )


METHODS: dict[str, Method] = {
    "plumbline": plumbline(),
    "plumbline_no_network": plumbline(network=False),
    "plumbline_no_calendar": plumbline(network=False, calendar=False),
    "plumbline_select": plumbline(network=False, select="auto"),
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
    """Return the names after checking that all methods exist.

    Raises:
        UsageError: If a name is not the name of a method.
    """
    methods = tuple(names)
    unknown = [name for name in methods if name not in METHODS]
    if unknown:
        raise UsageError(f"There are no methods {unknown}. Choose from {list(METHODS)}.")
    return methods
