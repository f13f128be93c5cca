"""Fitting of a label head: whether labels help is decided by cross-validation on the labelled records."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace

import numpy as np
import pandas as pd

from detector.core.calibration import Calibration
from detector.records.artifact import Artifact, Decision
from detector.records.fitting import DecisionRule, usual_scores
from detector.records.label_head import LabelHead
from detector.records.model import Model
from detector.records.scorer import RecordScorer

MIN_LABELS = 10
MIN_CONFIRMED = 3
MAX_FOLDS = 20
THRESHOLD_QUANTILE = 0.99  # of the usual calibration scores: a rise counts less the rise of this quantile
MAX_FEATURES_NAMED = 5


@dataclass(frozen=True)
class LabelledRecords:
    """Records that people have labelled.

    Attributes:
        confirmed: the anomalies.
        false_positives: the false alarms.
    """

    confirmed: pd.DataFrame
    false_positives: pd.DataFrame

    def __len__(self) -> int:
        return len(self.confirmed) + len(self.false_positives)


@dataclass(frozen=True)
class LabelReport:
    """What labels did to a model.

    Attributes:
        confirmed: number of confirmed records.
        false_positives: number of records labelled as false positives.
        is_used: whether they raise scores.
        gain: mean change of the logarithm of score over threshold, of labelled records that the head was fitted
            without, counted negatively for false positives; None if it was not measured.
        reason: why they are not used; None if they are.
        features: the weights of the main features, relative to the largest; above 0: higher than expected.
    """

    confirmed: int = 0
    false_positives: int = 0
    is_used: bool = False
    gain: float | None = None
    reason: str | None = None
    features: Mapping[str, float] = field(default_factory=dict)


def with_label_head(
    artifact: Artifact, calibration: pd.DataFrame, labelled: LabelledRecords, rule: DecisionRule
) -> Artifact:
    """Return a model whose scores labels raise, with p-values and threshold for them, or the same model.

    `about["labels"]` has the `LabelReport` if there are labels.

    Args:
        artifact: the model without labels.
        calibration: the records that it was calibrated with.
        labelled: by people.
        rule: sets the threshold.
    """
    if not len(labelled):
        return artifact
    report = LabelReport(len(labelled.confirmed), len(labelled.false_positives))
    if reason := _too_few(labelled) or _unfit(artifact, rule):
        return _described(artifact, replace(report, reason=reason))
    model = RecordScorer(artifact).model
    fit = _Fit(
        model.reference.trained[:, model.reference.latent_sd.size :],
        model.residuals(calibration),
        model.anomaly_score(calibration),
        np.isin(np.arange(len(calibration)), artifact.about.get("outlying", [])),
    )
    confirmed, false_positives = model.residuals(labelled.confirmed), _residuals(model, labelled.false_positives)
    gain = fit.gain(confirmed, false_positives)
    if gain <= 0:
        return _described(artifact, replace(report, gain=gain, reason="cross-validation on them shows no gain"))
    head = LabelHead.fit(fit.normal, confirmed, false_positives)
    scores = fit.scores * head.factors(fit.calibration)
    report = replace(report, gain=gain, is_used=True, features=_main_features(head, artifact))
    return _described(_recalibrated(replace(artifact, head=head), scores, fit.outlying, rule), report)


def _too_few(labelled: LabelledRecords) -> str | None:
    if len(labelled) < MIN_LABELS:
        return f"they are fewer than {MIN_LABELS}"
    return f"fewer than {MIN_CONFIRMED} are confirmed" if len(labelled.confirmed) < MIN_CONFIRMED else None


def _unfit(artifact: Artifact, rule: DecisionRule) -> str | None:
    if artifact.config.score != "ensemble":
        return 'only score = "ensemble" can be raised by labels'
    return "the threshold is set by the label column" if rule.method == "f_beta" else None


def _residuals(model: Model, records: pd.DataFrame) -> np.ndarray:
    width = model.reference.points.shape[1] - model.reference.latent_sd.size
    return model.residuals(records) if len(records) else np.zeros((0, width))


def _described(artifact: Artifact, report: LabelReport) -> Artifact:
    return replace(artifact, about={**artifact.about, "labels": asdict(report)})


@dataclass(frozen=True)
class _Fit:
    """Everything that a head is fitted by besides labelled records.

    Attributes:
        normal: (m, D) residuals of training records.
        calibration: (k, D) residuals of the calibration records.
        scores: (k,) scores of the calibration records.
        outlying: (k,) bool, the calibration records that set no threshold.
    """

    normal: np.ndarray
    calibration: np.ndarray
    scores: np.ndarray
    outlying: np.ndarray

    def gain(self, confirmed: np.ndarray, false_positives: np.ndarray) -> float:
        """Return the cross-validated gain of residuals (n, D), as `LabelReport.gain`."""
        residuals = np.concatenate([confirmed, false_positives])
        is_confirmed = np.arange(len(residuals)) < len(confirmed)
        fold = np.arange(len(residuals)) % min(MAX_FOLDS, len(residuals))
        changes = np.zeros(len(residuals))
        for left_out in range(fold.max() + 1):
            kept, out = fold != left_out, fold == left_out
            head = LabelHead.fit(self.normal, residuals[kept & is_confirmed], residuals[kept & ~is_confirmed])
            changes[out] = np.log(head.factors(residuals[out])) - self._rise(head)
        return float(np.where(is_confirmed, changes, -changes).mean())

    def _rise(self, head: LabelHead) -> float:
        """Return the change of the logarithm of the threshold."""
        usual = self.scores[~self.outlying]
        raised = usual * head.factors(self.calibration[~self.outlying])
        before, after = (np.quantile(scores, THRESHOLD_QUANTILE) for scores in (usual, raised))
        return float(np.log(after / before))


def _recalibrated(artifact: Artifact, scores: np.ndarray, outlying: np.ndarray, rule: DecisionRule) -> Artifact:
    """Return the artifact with the scores (m,) of the calibration records, and the threshold that they set.

    The outlying calibration records stay the same, since labels do not make normal records of them.
    """
    calibration = Calibration.fit(usual_scores(scores, outlying, rule), with_tail=rule.method == "pot")
    decision = Decision(rule.method, calibration.threshold(rule.rate), rule.rate)
    return replace(artifact, calibration=calibration, decision=decision)


def _main_features(head: LabelHead, artifact: Artifact) -> dict[str, float]:
    """Return the weights of the features with at least half of the largest weight, largest first."""
    cells = artifact.encoder.layout.feature_cells(len(artifact.encoder.columns))  # (d, f)
    by_view = head.direction.reshape(-1, len(cells))
    sizes, sign = np.abs(by_view).mean(axis=0) @ cells, np.where(by_view.mean(axis=0) @ cells < 0, -1, 1)
    largest = float(sizes.max()) or 1.0
    order = np.argsort(-sizes, kind="stable")[:MAX_FEATURES_NAMED].tolist()
    names = artifact.encoder.names
    return {names[f]: float(sign[f] * sizes[f] / largest) for f in order if sizes[f] >= largest / 2}
