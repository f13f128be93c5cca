"""The model card: a fresh model beside simple peers, on held-out normal records."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from detector.core.baselines import RECORD_BASELINES
from detector.core.calibration import Calibration
from detector.core.evaluation import auroc_between
from detector.core.subsample import subsample_evenly
from detector.records.artifact import Artifact
from detector.records.fitting import NormalRecords
from detector.records.scorer import Scorer
from detector.records.synthetic import synthetic_anomalies

MODEL = "model"
MOST_HELD_OUT = 1_000
MOST_TRAINING = 10_000
CLEARLY = 0.02  # AUROC by which kNN has to lead before a warning is due
NOMINAL_RATES = (0.1, 0.05, 0.01)


@dataclass(frozen=True)
class Card:
    """What is known about a model without any label.

    Attributes:
        compared_records: normal records that the anomalies were made from, and are told apart from.
        auroc: for each kind of synthetic anomaly that applies, the AUROC of `MODEL` and of each peer.
        realised_rates: for each nominal false-positive rate that they can resolve, the share of the later half
            of the held-out records that a threshold set by the earlier half flags.
    """

    compared_records: int
    auroc: Mapping[str, Mapping[str, float]]
    realised_rates: Mapping[float, float]

    @property
    def mean_auroc(self) -> dict[str, float]:
        """The mean over the kinds for the model and each peer; empty where no kind applies."""
        methods = [MODEL, *RECORD_BASELINES] if self.auroc else []
        return {method: float(np.mean([found[method] for found in self.auroc.values()])) for method in methods}

    @property
    def is_beaten_by_knn(self) -> bool:
        """Whether plain nearest neighbours find the synthetic anomalies clearly better."""
        mean = self.mean_auroc
        return bool(mean) and mean["knn"] - mean[MODEL] > CLEARLY

    def to_json(self) -> dict[str, Any]:
        """The card as the `models` table stores it."""
        return {
            "compared_records": self.compared_records,
            "auroc": {kind: dict(found) for kind, found in self.auroc.items()},
            "mean_auroc": self.mean_auroc,
            "is_beaten_by_knn": self.is_beaten_by_knn,
            "realised_rates": {f"{rate:g}": found for rate, found in self.realised_rates.items()},
        }


def make_card(artifact: Artifact, normal: NormalRecords) -> Card:
    """The card of a model, by the normal records that it was fitted with; the same on every call."""
    encoder, seed = artifact.encoder, artifact.config.seed
    held_out = normal.calibration.iloc[subsample_evenly(len(normal.calibration), MOST_HELD_OUT)]
    training = normal.training.iloc[subsample_evenly(len(normal.training), MOST_TRAINING)]
    anomalies = synthetic_anomalies(held_out, encoder, np.random.default_rng(seed))
    frames = [held_out, *anomalies.values()]
    model = Scorer(artifact).model
    scores = {MODEL: [model.anomaly_score(frame) for frame in frames]}
    cells, training_cells = [encoder.encode(frame).standard for frame in frames], encoder.encode(training).standard
    for name, fit in RECORD_BASELINES.items():
        score = fit(training_cells, seed)
        scores[name] = [score(matrix) for matrix in cells]
    auroc = {
        kind: {method: auroc_between(found[0], found[number]) for method, found in scores.items()}
        for number, kind in enumerate(anomalies, start=1)
    }
    return Card(len(held_out), auroc, realised_rates(scores[MODEL][0]))


def realised_rates(scores: np.ndarray) -> dict[float, float]:
    """Share of the later half of normal scores (n,) above the threshold that the earlier half sets, by nominal rate.

    In order of time, a process that drifts shows here: its rates come out too high.
    """
    earlier, later = np.split(scores, [len(scores) // 2])
    calibration = Calibration.fit(earlier)
    return {
        rate: float((later > calibration.threshold(rate)).mean())
        for rate in NOMINAL_RATES
        if rate >= 1 / (len(earlier) + 1)
    }
