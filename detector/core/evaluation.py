"""Quality of scores, measured against labels."""

from dataclasses import dataclass

import numpy as np

from schemas.errors import RecordsError


@dataclass(frozen=True)
class Evaluation:
    """Scores and decisions against labels.

    Attributes:
        records: number of labelled records.
        anomalies: number of records labelled as anomalies.
        auroc: probability that an anomaly scores higher than a normal record.
        average_precision: mean precision over all recalls; a random score has the share of anomalies.
        flagged: records above the threshold.
        precision: share of the flagged records that are anomalies; None if no record is flagged.
        recall: share of the anomalies that are flagged.
        false_positive_rate: share of the normal records that are flagged.
    """

    records: int
    anomalies: int
    auroc: float
    average_precision: float
    flagged: int
    precision: float | None
    recall: float
    false_positive_rate: float


def evaluate(scores: np.ndarray, is_flagged: np.ndarray, labels: np.ndarray) -> Evaluation:
    """Compare scores and decisions (n,) with labels (n,), true for anomalies.

    Raises:
        RecordsError: If all labels are the same.
    """
    from sklearn.metrics import average_precision_score, roc_auc_score

    labels = np.asarray(labels, dtype=bool)
    if labels.all() or not labels.any():
        raise RecordsError(
            f"All labelled records ({len(labels):,}) are {'anomalies' if labels.any() else 'normal'}; "
            "an evaluation needs both kinds. Point `label` at a column that tells them apart."
        )
    hits = int((is_flagged & labels).sum())
    flagged = int(is_flagged.sum())
    return Evaluation(
        records=len(labels),
        anomalies=int(labels.sum()),
        auroc=float(roc_auc_score(labels, scores)),
        average_precision=float(average_precision_score(labels, scores)),
        flagged=flagged,
        precision=hits / flagged if flagged else None,
        recall=hits / int(labels.sum()),
        false_positive_rate=(flagged - hits) / int((~labels).sum()),
    )


def auroc_between(normal: np.ndarray, anomalous: np.ndarray) -> float:
    """Return the probability that an anomalous score exceeds a normal one.

    >>> auroc_between(np.array([0.1, 0.4]), np.array([0.3, 0.9]))
    0.75
    """
    from sklearn.metrics import roc_auc_score

    labels = np.repeat([False, True], [len(normal), len(anomalous)])
    return float(roc_auc_score(labels, np.concatenate([normal, anomalous])))
