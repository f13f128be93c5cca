"""Fitting of an artifact to normal records: encode, train, keep reference records, calibrate, set the threshold."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any, Literal

import numpy as np
import pandas as pd

from detector.core.calibration import Calibration, check_rate, f_beta_threshold
from detector.core.keras_backend import backend_name
from detector.core.outlying import is_unlike_training
from detector.core.progress import Epoch
from detector.records.artifact import Artifact, Decision
from detector.records.encoder import Encoder
from detector.records.model import Model
from detector.records.network_training import fit_network
from detector.records.normal_records import MIN_TRAINING_RECORDS, NormalRecords
from detector.records.unusual import find_unusual, measured_rows
from schemas.config import ModelConfig
from schemas.errors import NotEnoughRecords
from schemas.frames import Features

CALIBRATING_SCORE = "ensemble"  # whose calibration records are reference records, too
MAX_REPEATED_OF_RATE = 0.1  # share of the calibration records that may equal another one, as a part of the rate


@dataclass(frozen=True)
class DecisionRule:
    """The rule that sets the threshold.

    Attributes:
        method: "conformal" ranks among normal records, "pot" fits a tail model, "f_beta" uses labelled records.
        rate: the false-positive rate, for "conformal" and "pot".
        f_beta: weight of recall, for "f_beta".
        trusts_outliers: whether calibration scores far above the others count like the others.
    """

    method: Literal["conformal", "pot", "f_beta"] = "conformal"
    rate: float = 0.01
    f_beta: float = 1.0
    trusts_outliers: bool = False


def fit_artifact(
    normal: NormalRecords,
    features: Features,
    config: ModelConfig,
    *,
    rule: DecisionRule,
    anomalies: pd.DataFrame | None = None,
    progress: Callable[[Epoch], None] | None = None,
) -> Artifact:
    """Train, measure and calibrate a model.

    Calibration records that are a random draw become reference records after the training, unless they repeat each
    other; each is scored against the others. Those whose scores lie far above the others do not set the threshold,
    unless the rule trusts them; `about["outlying"]` has their positions. `about["unusual"]` describes the training
    records unlike the others.

    Args:
        normal: the records to learn from.
        features: the columns to learn.
        config: hyper-parameters and seed.
        rule: sets the threshold.
        anomalies: known anomalies, for a threshold by F-beta.
        progress: called after each epoch.

    Raises:
        RecordsError: If the records are too few to train on or for the rate, or lack features.
    """
    if len(normal.training) < MIN_TRAINING_RECORDS:
        raise NotEnoughRecords(len(normal.training), MIN_TRAINING_RECORDS, "to train on, calibration records aside")
    if rule.method == "conformal":
        check_rate(rule.rate, len(normal.calibration))
    model, history, used = _fit_trimmed(normal.training, features, config, progress)
    measured = measured_rows(len(used))
    training_scores = model.training_score(normal.training.iloc[used], measured)
    model, scores, outlying = _score_calibration(model, normal, training_scores, rule)
    calibration = Calibration.fit(usual_scores(scores, outlying, rule), with_tail=rule.method == "pot")
    return Artifact(
        config=config,
        encoder=model.encoder,
        architecture=model.network.architecture,
        weights=dict(model.network.weights),
        reference=model.stored_reference,
        typical_nll=model.typical_nll,
        calibration=calibration,
        decision=_decide(rule, calibration, model, anomalies),
        about={
            "history": [vars(epoch) for epoch in history],
            "versions": _versions(),
            **({"outlying": np.flatnonzero(outlying).tolist()} if outlying.any() else {}),
            "unusual": asdict(find_unusual(training_scores, used[measured])),
        },
    )


def _score_calibration(
    model: Model, normal: NormalRecords, training_scores: np.ndarray, rule: DecisionRule
) -> tuple[Model, np.ndarray, np.ndarray]:
    """Return the final model, its scores of the calibration records, (m,), and which of these are outlying, (m,)."""
    scores = model.anomaly_score(normal.calibration)
    outlying = np.zeros(len(scores), dtype=bool)
    if not rule.trusts_outliers:
        outlying = is_unlike_training(scores, training_scores)
    has_room = len(model.reference.points) < model.config.max_reference
    if normal.is_drawn and has_room and model.config.score == CALIBRATING_SCORE:
        joined = model.with_calibrating(normal.calibration[~outlying])
        # a new record that equals a calibration record is taken for it: if many do, it has fewer neighbours than these
        if joined.reference.repeated_share(model.config.neighbours) <= MAX_REPEATED_OF_RATE * rule.rate:
            return joined, joined.anomaly_score(normal.calibration), outlying
    return model, scores, outlying


def usual_scores(scores: np.ndarray, outlying: np.ndarray, rule: DecisionRule) -> np.ndarray:
    """Return the calibration scores (m,) without outlying ones.

    If the rate needs more scores than are left, outlying ones stay, lowered to the largest of the others.
    """
    usual = scores[~outlying]
    needed = int(np.ceil(1 / rule.rate)) - 1 if rule.method == "conformal" else 0
    missing = max(0, min(needed, len(scores)) - len(usual))
    return np.concatenate([usual, np.repeat(usual.max(), missing)]) if missing else usual


def _fit_trimmed(
    records: pd.DataFrame, features: Features, config: ModelConfig, progress: Callable[[Epoch], None] | None
) -> tuple[Model, tuple[Epoch, ...], np.ndarray]:
    """Fit the model; if `trim` is set, fit it again without the records that are most anomalous to the first model.

    The last result has the positions of the records that trained the model.

    Calibration records stay as they are: the false-positive rate is that of records like them.
    """
    model, history = _fit(records, features, config, progress)
    n_trimmed = min(int(config.trim * len(records)), len(records) - MIN_TRAINING_RECORDS)
    if not n_trimmed:
        return model, history, np.arange(len(records))
    order = np.argsort(model.training_score(records), kind="stable")
    used = np.sort(order[:-n_trimmed])
    return *_fit(records.iloc[used], features, config, progress), used


def _fit(
    records: pd.DataFrame, features: Features, config: ModelConfig, progress: Callable[[Epoch], None] | None
) -> tuple[Model, tuple[Epoch, ...]]:
    encoder = Encoder.fit(records, features, config.max_levels)
    matrix = encoder.encode(records)
    trained = fit_network(matrix, encoder.layout, config, progress)
    return Model.from_training(config, encoder, trained.network, matrix), trained.history


def _decide(rule: DecisionRule, calibration: Calibration, model: Model, anomalies: pd.DataFrame | None) -> Decision:
    if rule.method != "f_beta":
        return Decision(rule.method, calibration.threshold(rule.rate), rule.rate)
    anomaly_scores = model.anomaly_score(anomalies) if anomalies is not None and len(anomalies) else np.zeros(0)
    normal_weight = 1 + model.reference.n_train / len(calibration.scores)
    return Decision("f_beta", f_beta_threshold(calibration.scores, anomaly_scores, rule.f_beta, normal_weight), None)


def _versions() -> dict[str, Any]:
    packages = {name: version(name) for name in ("keras", "numpy", "pandas", "scikit-learn")}
    return {**packages, "backend": backend_name()}
