"""RecordCard: the numbers of a model of single records, and its comparison with simple peers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np

from detector.core.calibration import conformal_rank, rate_bounds
from detector.core.json_values import present_fields

MODEL = "model"
METHODS = (MODEL, "knn", "isolation_forest", "pca")
MIN_KNN_LEAD = 0.02  # AUROC by which kNN has to lead before a warning is due


@dataclass(frozen=True)
class PeerComparison:
    """The model next to simple peers, on anomalies made from held-out normal records.

    Attributes:
        compared_records: number of normal records that the anomalies were made from and are compared with.
        auroc: the AUROC of `MODEL` and of each peer, by kind of synthetic anomaly.
        realised_rates: by nominal false-positive rate, the share of the later half
            of the held-out records that a threshold set by the earlier half flags.
    """

    compared_records: int = 0
    auroc: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    realised_rates: Mapping[float, float] = field(default_factory=dict)

    @property
    def mean_auroc(self) -> dict[str, float]:
        """The mean over the kinds for the model and each peer; empty if no kind applies."""
        methods = METHODS if self.auroc else ()
        return {method: float(np.mean([areas[method] for areas in self.auroc.values()])) for method in methods}

    @property
    def is_beaten_by_knn(self) -> bool:
        """Whether plain nearest neighbours find the synthetic anomalies clearly better."""
        mean = self.mean_auroc
        return bool(mean) and mean["knn"] - mean[MODEL] > MIN_KNN_LEAD

    @classmethod
    def from_json(cls, card: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote, in this version or an earlier one."""
        rates = {float(rate): share for rate, share in card.get("realised_rates", {}).items()}
        return cls(**present_fields(cls, card) | {"realised_rates": rates})

    def to_json(self) -> dict[str, Any]:
        """Return the comparison as the card's JSON holds it."""
        return {
            "compared_records": self.compared_records,
            "auroc": {kind: dict(areas) for kind, areas in self.auroc.items()},
            "mean_auroc": self.mean_auroc,
            "is_beaten_by_knn": self.is_beaten_by_knn,
            "realised_rates": {f"{rate:g}": share for rate, share in self.realised_rates.items()},
        }


@dataclass(frozen=True)
class RecordCard:
    """The numbers of a model of single records, stored with it.

    Attributes:
        training_records: number of training records.
        calibration_records: number of calibration records.
        features: number of features of a record.
        cells: number of cells of an encoded record.
        score: name of the anomaly score.
        epochs: number of epochs of the training.
        held_out_elbo: the best held-out ELBO, in nats per record.
        threshold: the score above which a record is an anomaly.
        threshold_method: the method that set the threshold.
        false_positive_rate: the rate that the threshold was set for; None if labels set it.
        bytes: size of the artifact.
        outliers: number of calibration records whose scores lie far above the others, so that they set no threshold.
        outlying_records: for the first of them, by key, the feature and the value that stand out.
        without_outliers: the SQL condition for `normal` that leaves them out of the next training.
        unusual_share: estimated share of the training records that look unlike the others.
        unusual_records: for the most unusual of them, by key, the feature and the value that stand out.
        unsteady: by feature, why new records are unlike the training records.
        labels: what labels did to the model, as `detector.records.label_head_fitting.LabelReport`; None without labels.
        peers: how the model compares with simple peers.
    """

    kind: ClassVar[str] = "records"

    training_records: int | None = None
    calibration_records: int | None = None
    features: int | None = None
    cells: int | None = None
    score: str | None = None
    epochs: int | None = None
    held_out_elbo: float | None = None
    threshold: float | None = None
    threshold_method: str | None = None
    false_positive_rate: float | None = None
    bytes: int | None = None
    outliers: int = 0
    outlying_records: Mapping[str, str] = field(default_factory=dict)
    without_outliers: str | None = None
    unusual_share: float | None = None
    unusual_records: Mapping[str, str] = field(default_factory=dict)
    unsteady: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, Any] | None = None
    peers: PeerComparison = PeerComparison()

    @property
    def rate_bounds(self) -> tuple[float, float] | None:
        """The bounds of the rate at which new normal records are flagged; None if ranks do not set the threshold."""
        set_by = (self.calibration_records or 0) - self.outliers
        rate = self.false_positive_rate if self.threshold_method == "conformal" else None
        return None if rate is None or conformal_rank(rate, set_by) < 1 else rate_bounds(rate, set_by)

    @classmethod
    def from_json(cls, card: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote, in this version or an earlier one."""
        return cls(**present_fields(cls, card) | {"peers": PeerComparison.from_json(card)})

    def to_json(self) -> dict[str, Any]:
        """Return the card as the `models` table stores it."""
        numbers = {name: value for name, value in vars(self).items() if name != "peers"}
        return numbers | self.peers.to_json()
