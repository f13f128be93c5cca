"""All methods of the benchmark on labelled tables by name, and how to run each on a split."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import pandas as pd
from sklearn.model_selection import train_test_split

from benchmarks.baselines_without_network import CONTROLS, fit_control
from benchmarks.peers import CHEAP_PEERS, PYOD_PEERS, fit_one_hot, has_pyod
from benchmarks.protocol import Outcome, PValues, Split, conformal
from benchmarks.tables import Vector
from benchmarks.timing import timed
from schemas.errors import UsageError

if TYPE_CHECKING:
    from detector import VAEDetector

ScoreRecords = Callable[[pd.DataFrame], Vector]

DEFAULT = "ensemble"
OURS = (DEFAULT, "combined", "local_reconstruction", "joint_knn", "latent_knn", "elbo", "reconstruction_error")
METHODS = (*OURS, *CONTROLS, *CHEAP_PEERS, *PYOD_PEERS)


def available_methods() -> tuple[str, ...]:
    """Return the methods whose libraries are installed."""
    return METHODS if has_pyod() else tuple(name for name in METHODS if name not in PYOD_PEERS)


def check_methods(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names after checking that all methods can run.

    Raises:
        UsageError: If a name is unknown or its library is not installed.
    """
    chosen = tuple(names)
    unknown = [name for name in chosen if name not in METHODS]
    if unknown:
        raise UsageError(f"There are no methods {unknown}. Choose from {list(METHODS)}.")
    missing = [name for name in chosen if name not in available_methods()]
    if missing:
        raise UsageError(f"The methods {missing} need PyOD, which is not installed. Run: pip install pyod torch")
    return chosen


def fits(names: Iterable[str]) -> list[tuple[str, ...]]:
    """Group the methods that share one fit: all scores of our detector, and each other method alone."""
    chosen = tuple(names)
    ours = tuple(name for name in chosen if name in OURS)
    return [*([ours] if ours else []), *((name,) for name in chosen if name not in OURS)]


def run(names: tuple[str, ...], part: Split, seed: int) -> list[Outcome]:
    """Return the outcomes of methods that share one fit."""
    return _run_ours(names, part, seed) if names[0] in OURS else [_run_peer(names[0], part, seed)]


def _run_ours(names: tuple[str, ...], part: Split, seed: int) -> list[Outcome]:
    model, fit_seconds = timed(lambda: _fit_ours(part, seed))
    scores = model.anomaly_scores(part.test)
    outcomes = {name: Outcome(name, scores[name], fit_seconds) for name in names}
    if DEFAULT in outcomes:
        _, seconds = timed(lambda: model.anomaly_score(part.test))
        outcomes[DEFAULT] = Outcome(DEFAULT, scores[DEFAULT], fit_seconds, seconds, _p_values(model, part))
    return list(outcomes.values())


def _fit_ours(part: Split, seed: int) -> "VAEDetector":
    from detector import VAEDetector

    return VAEDetector(score_name=DEFAULT, random_state=seed, categorical=list(part.categorical) or None).fit(
        part.train
    )


def _p_values(model: "VAEDetector", part: Split) -> PValues:
    return PValues(model.p_value(part.test), len(model.artifact_.calibration.scores))


def _run_peer(name: str, part: Split, seed: int) -> Outcome:
    score, fit_seconds = timed(lambda: _fit(name, part.train, part.categorical, seed))
    anomaly_score, score_seconds = timed(lambda: score(part.test))
    p_values = None if name in PYOD_PEERS else calibrated(name, part, seed)
    return Outcome(name, anomaly_score, fit_seconds, score_seconds, p_values)


def calibrated(name: str, part: Split, seed: int) -> PValues:
    """Return p-values of a fit that holds out a fifth of the training records for calibration."""
    if name == DEFAULT:
        return _p_values(_fit_ours(part, seed), part)
    train, held_out = train_test_split(part.train, test_size=0.2, random_state=seed)
    score = _fit(name, train, part.categorical, seed)
    return conformal(score(held_out), score(part.test))


def _fit(name: str, train: pd.DataFrame, categorical: tuple[str, ...], seed: int) -> ScoreRecords:
    if name in CONTROLS:
        return fit_control(name, train, categorical)
    encoder = fit_one_hot(train, categorical)
    score = {**CHEAP_PEERS, **PYOD_PEERS}[name](encoder.transform(train), seed)
    return lambda records: score(encoder.transform(records))
