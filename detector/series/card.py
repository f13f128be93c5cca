"""SeriesCard: the numbers of a series model, and its comparison with plain baselines."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Self

import numpy as np

from detector.core.json_values import present_fields

MODEL = "model"
METHODS = (MODEL, "linear_ar", "knn", "pca")
MIN_BASELINE_LEAD = 0.08  # AUC-PR by which a baseline must lead for a warning: twice the effect of other events


@dataclass(frozen=True)
class BaselineComparison:
    """The model next to plain baselines, on events injected into held-back normal records.

    Attributes:
        entities: number of entities.
        records: number of held-back normal records that events were injected into.
        events: number of events by kind.
        auc_pr: area under precision over recall of records by method, the mean over the entities.
        event_recall: by kind, the share of events with a record above the threshold, by method; each
            method's threshold is set on the normal records around the events, at the monitor's rate.
        problem: the reason why there is no comparison; None if there is one.
    """

    entities: int = 0
    records: int = 0
    events: Mapping[str, int] = field(default_factory=dict)
    auc_pr: Mapping[str, float] = field(default_factory=dict)
    event_recall: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    problem: str | None = None

    @property
    def mean_event_recall(self) -> dict[str, float]:
        """The mean over the kinds, by method; empty without events."""
        methods = METHODS if self.event_recall else ()
        return {method: float(np.mean([recall[method] for recall in self.event_recall.values()])) for method in methods}

    @property
    def beaten_by(self) -> list[str]:
        """The baselines that clearly beat the model: by AUC-PR, and without missing more events; the best first."""
        recall = self.mean_event_recall
        better = [
            method
            for method in METHODS
            if method in self.auc_pr
            and self.auc_pr[method] - self.auc_pr[MODEL] > MIN_BASELINE_LEAD
            and recall[method] >= recall[MODEL]
        ]
        return sorted(better, key=lambda method: -self.auc_pr[method])

    @classmethod
    def from_json(cls, comparison: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote, in this version or an earlier one."""
        return cls(**present_fields(cls, comparison))

    def to_json(self) -> dict[str, Any]:
        """Return the comparison as the card's JSON holds it."""
        return {**asdict(self), "mean_event_recall": self.mean_event_recall, "beaten_by": self.beaten_by}


NOT_COMPARED = BaselineComparison(problem="The model was trained by a version that made none.")


@dataclass(frozen=True)
class EntityCard:
    """The numbers of one entity.

    Attributes:
        records: number of training records.
        model: the model that scores it, "its own" or "shared".
        calibration_records: number of calibration records.
        is_pooled: whether the calibration records are of several entities.
        threshold: the score above which a record is an anomaly; None if the calibration records are too few.
        view_weights: weight of each learned signal; None if all count alike. (The stored name is an older word.)
    """

    records: int = 0
    model: str = ""
    calibration_records: int = 0
    is_pooled: bool = False
    threshold: float | None = None
    view_weights: Mapping[str, float] | None = None


@dataclass(frozen=True)
class SeriesCard:
    """The numbers of a model of series, stored with it.

    Attributes:
        training_records: number of training records.
        calibration_records: number of training records held back to calibrate.
        features: number of channels of a record.
        entities: number of entities.
        own_models: number of entities with a model of their own.
        context_rows: the largest number of earlier records that a score depends on.
        only_ranked: number of entities with too few calibration records to flag anything at the rate.
        score: name of the anomaly score.
        held_out_elbo: always None.
        threshold: always None, since each entity has its own threshold.
        threshold_method: the method that sets thresholds.
        false_positive_rate: the rate that thresholds are set for.
        bytes: size of the artifact.
        by_entity: the numbers of each entity.
        counters: the features that are watched by their increase, for at least one entity.
        calendar: the features that are expected by the time of the week, for at least one entity.
        beside_baselines: how the model compares with plain baselines.
    """

    kind: ClassVar[str] = "series"

    training_records: int | None = None
    calibration_records: int | None = None
    features: int | None = None
    entities: int | None = None
    own_models: int | None = None
    context_rows: int | None = None
    only_ranked: int | None = None
    score: str = "series"
    held_out_elbo: None = None
    threshold: None = None
    threshold_method: str | None = None
    false_positive_rate: float | None = None
    bytes: int | None = None
    by_entity: Mapping[str, EntityCard] = field(default_factory=dict)
    counters: Sequence[str] = ()
    calendar: Sequence[str] = ()
    beside_baselines: BaselineComparison = NOT_COMPARED

    @classmethod
    def from_json(cls, card: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote, in this version or an earlier one."""
        by_entity = {
            name: EntityCard(**present_fields(EntityCard, entity)) for name, entity in card.get("by_entity", {}).items()
        }
        beside = BaselineComparison.from_json(card["beside_baselines"]) if "beside_baselines" in card else NOT_COMPARED
        return cls(**present_fields(cls, card) | {"by_entity": by_entity, "beside_baselines": beside})

    def to_json(self) -> dict[str, Any]:
        """Return the card as the `models` table stores it."""
        return {
            "kind": self.kind,
            **vars(self),
            "by_entity": {name: asdict(entity) for name, entity in self.by_entity.items()},
            "beside_baselines": self.beside_baselines.to_json(),
        }
