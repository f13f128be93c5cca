"""Comparison of a trained model with simple peers, on anomalies made from held-out normal records."""

from dataclasses import replace

import numpy as np

from detector.core.about import About
from detector.core.baselines import RECORD_BASELINES
from detector.core.calibration import Calibration
from detector.core.evaluation import auroc_between
from detector.core.subsample import subsample_evenly
from detector.records.artifact import Artifact
from detector.records.card import MODEL, PeerComparison, RecordCard
from detector.records.normal_records import NormalRecords
from detector.records.scorer import RecordScorer
from detector.records.synthetic import synthetic_anomalies

MAX_HELD_OUT_RECORDS = 1_000
MAX_TRAINING_RECORDS = 10_000
NOMINAL_RATES = (0.1, 0.05, 0.01)


def record_card(artifact: Artifact, normal: NormalRecords, size: int) -> RecordCard:
    """Make the card of a trained model.

    Args:
        artifact: the model.
        normal: the records that it was fitted with.
        size: of the artifact, in bytes.
    """
    about, decision = About.from_json(artifact.about), artifact.decision
    epochs = about.history
    return RecordCard(
        training_records=artifact.reference.n_train,
        calibration_records=len(artifact.calibration.scores),
        features=len(artifact.encoder.columns),
        cells=artifact.architecture.width,
        score=artifact.config.score,
        epochs=len(epochs),
        held_out_elbo=max(epoch.held_out_elbo for epoch in epochs if epoch.held_out_elbo is not None),
        threshold=decision.threshold,
        threshold_method=decision.method,
        false_positive_rate=decision.rate,
        bytes=size,
        labels=about.labels,
        peers=compare_with_peers(artifact, normal),
    )


def compare_with_peers(artifact: Artifact, normal: NormalRecords) -> PeerComparison:
    """Compare a model with its peers, on the normal records that it was fitted with; repeatable.

    Neither has the held-out records as neighbours, which the synthetic anomalies resemble.
    """
    encoder, seed = artifact.encoder, artifact.config.seed
    held_out = normal.calibration.iloc[subsample_evenly(len(normal.calibration), MAX_HELD_OUT_RECORDS)]
    training = normal.training.iloc[subsample_evenly(len(normal.training), MAX_TRAINING_RECORDS)]
    anomalies = synthetic_anomalies(held_out, encoder, np.random.default_rng(seed))
    frames = [held_out, *anomalies.values()]
    model = RecordScorer(replace(artifact, reference=artifact.reference.without_calibrating())).model
    scores = {MODEL: [model.anomaly_score(frame) for frame in frames]}
    cells, training_cells = [encoder.encode(frame).standard for frame in frames], encoder.encode(training).standard
    for name, fit in RECORD_BASELINES.items():
        score = fit(training_cells, seed)
        scores[name] = [score(matrix) for matrix in cells]
    auroc = {
        kind: {method: auroc_between(arrays[0], arrays[number]) for method, arrays in scores.items()}
        for number, kind in enumerate(anomalies, start=1)
    }
    return PeerComparison(len(held_out), auroc, realised_rates(scores[MODEL][0]))


def realised_rates(scores: np.ndarray) -> dict[float, float]:
    """Return for each nominal rate the share of later normal scores above the threshold that earlier scores set.

    The n scores, in order of time, are halved. A process that drifts shows here: its rates come out too high.
    """
    earlier, later = np.split(scores, [len(scores) // 2])
    calibration = Calibration.fit(earlier)
    return {
        rate: float((later > calibration.threshold(rate)).mean())
        for rate in NOMINAL_RATES
        if rate >= 1 / (len(earlier) + 1)
    }
