"""The card of a series model: how it fares beside plain baselines, on anomalies put into held-back normal records."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from detector.series.bakeoff import METHODS, MODEL, BakeoffResult, cases_of, fit_contests, try_out
from detector.series.fitting import HELD_BACK_SHARE
from detector.series.model import SeriesModel
from detector.series.series import Series
from detector.series.synthetic import KINDS, SLOT_ROWS, cycle_kinds

SEED = 0
ENOUGH_EVENTS = 70  # ten of each kind
MOST_ROUNDS = 12  # times that the same records are given other events
CLEARLY = 0.08  # AUC-PR by which a baseline has to lead before a warning is due: other events change it by half of that


@dataclass(frozen=True)
class SeriesCard:
    """What is known about a model of series without any label.

    Attributes:
        entities: how many it was tried on.
        records: held-back normal records that events were put into.
        events: how many were, by kind.
        auc_pr: of each method the area under precision over recall of records, the mean over the entities.
        event_recall: for each kind the share of events in which a record lies above the threshold, by method; each
            method's threshold is set on the normal records around the events, at the monitor's rate.
        problem: why there is no comparison; None where there is one.
    """

    entities: int = 0
    records: int = 0
    events: Mapping[str, int] = field(default_factory=dict)
    auc_pr: Mapping[str, float] = field(default_factory=dict)
    event_recall: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    problem: str | None = None

    @property
    def mean_event_recall(self) -> dict[str, float]:
        """The mean over the kinds, by method; empty where there are none."""
        methods = METHODS if self.event_recall else ()
        return {method: float(np.mean([found[method] for found in self.event_recall.values()])) for method in methods}

    @property
    def beaten_by(self) -> list[str]:
        """The baselines that clearly beat the model: by AUC-PR, and without missing more events; the best first."""
        recall = self.mean_event_recall
        better = [
            method
            for method, area in self.auc_pr.items()
            if area - self.auc_pr[MODEL] > CLEARLY and recall[method] >= recall[MODEL]
        ]
        return sorted(better, key=lambda method: -self.auc_pr[method])

    def to_json(self) -> dict[str, Any]:
        """The card as the `models` table stores it."""
        return {
            "entities": self.entities,
            "records": self.records,
            "events": dict(self.events),
            "auc_pr": dict(self.auc_pr),
            "event_recall": {kind: dict(found) for kind, found in self.event_recall.items()},
            "mean_event_recall": self.mean_event_recall,
            "beaten_by": self.beaten_by,
            "problem": self.problem,
        }


def make_card(model: SeriesModel, series: Mapping[str, Series], rate: float) -> SeriesCard:
    """The card of a model by the normal records that it was fitted with; the same on every call.

    Args:
        model: the trained model.
        series: of each entity.
        rate: the false-positive rate asked for.
    """
    cases = cases_of(model, series)
    if not cases:
        needed = int(np.ceil(SLOT_ROWS / HELD_BACK_SHARE))
        return SeriesCard(problem=f"No entity has the {needed} normal records that it takes to hold back {SLOT_ROWS}.")
    rounds = min(MOST_ROUNDS, -(-ENOUGH_EVENTS // sum(len(case.later) // SLOT_ROWS for case in cases)))
    rng = np.random.default_rng(SEED)
    kinds = cycle_kinds(rng)
    tried = [one for contest in fit_contests(cases, model) if (one := try_out(contest, rounds, kinds, rng)).events]
    if not tried:
        return SeriesCard(problem="No synthetic anomaly can be made of these channels: none is a number that moves.")
    return _summary(tried, rate)


def _summary(tried: Sequence[BakeoffResult], rate: float) -> SeriesCard:
    kinds = np.array([event.kind for one in tried for event in one.events])
    found = {method: np.concatenate([one.found(method, rate) for one in tried]) for method in METHODS}
    return SeriesCard(
        entities=len(tried),
        records=sum(one.records for one in tried),
        events={kind: int((kinds == kind).sum()) for kind in KINDS if kind in kinds},
        auc_pr={method: float(np.mean([one.auc_pr(method) for one in tried])) for method in METHODS},
        event_recall={
            kind: {method: float(found[method][kinds == kind].mean()) for method in METHODS}
            for kind in KINDS
            if kind in kinds
        },
    )
