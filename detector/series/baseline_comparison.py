"""Comparison of a trained series model with plain baselines, on events injected into held-back normal records."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from detector.series.bakeoff import BakeoffResult, cases_of, fit_cases, try_case
from detector.series.card import METHODS, BaselineComparison, EntityCard, SeriesCard
from detector.series.entity_model import EntityModel
from detector.series.fitting import HELD_BACK_SHARE
from detector.series.model import SeriesModel
from detector.series.scorer import SeriesScorer
from detector.series.series import Series
from detector.series.synthetic import KINDS, SLOT_ROWS, cycle_kinds

SEED = 0
TARGET_EVENTS = 70  # ten of each kind
MAX_ROUNDS = 12  # in each of which different events are injected into the same records


def series_card(scorer: SeriesScorer, series: Mapping[str, Series], threshold_method: str, size: int) -> SeriesCard:
    """Make the card of a trained model.

    Args:
        scorer: the model.
        series: the normal records that it was fitted with, by entity.
        threshold_method: the method that sets thresholds.
        size: of the artifact, in bytes.
    """
    by_entity = {name: _entity_card(name, scorer) for name in scorer.artifact.entities}
    return SeriesCard(
        training_records=sum(scorer.artifact.entities.values()),
        calibration_records=sum(len(model.reference) for model in _used_models(scorer)),
        features=len(scorer.artifact.features.names),
        entities=len(by_entity),
        own_models=len(scorer.model.entities),
        context_rows=scorer.context_rows,
        only_ranked=sum(entity.threshold is None for entity in by_entity.values()),
        score="series" if scorer.model.settings.score == "fused" else scorer.model.settings.score,
        threshold_method=threshold_method,
        false_positive_rate=scorer.rate,
        bytes=size,
        by_entity=by_entity,
        counters=_features(scorer, [scorer.model.is_counter(name) for name in by_entity]),
        calendar=_features(scorer, [scorer.model.follows_calendar(name) for name in by_entity]),
        beside_baselines=compare_with_baselines(scorer.model, series, scorer.artifact.rate),
    )


def _features(scorer: SeriesScorer, by_entity: Sequence[np.ndarray]) -> list[str]:
    """Return the features that are marked (c,) for at least one entity."""
    is_marked = np.any(by_entity, axis=0)
    return [name for name, is_own in zip(scorer.artifact.features.names, is_marked, strict=True) if is_own]


def _entity_card(entity: str, scorer: SeriesScorer) -> EntityCard:
    entity_threshold = scorer.entity_threshold(entity)
    return EntityCard(
        records=scorer.artifact.entities[entity],
        model="its own" if scorer.model.has_own(entity) else "shared",
        calibration_records=len(entity_threshold.calibration.scores),
        is_pooled=entity_threshold.is_pooled,
        threshold=None if entity_threshold.only_ranks else entity_threshold.threshold,
        view_weights=scorer.model.signal_weights(entity),
    )


def _used_models(scorer: SeriesScorer) -> Iterator[EntityModel]:
    """Yield the models that score the entities of the training."""
    yield from scorer.model.entities.values()
    if scorer.model.shared is not None and len(scorer.model.entities) < len(scorer.artifact.entities):
        yield scorer.model.shared


def compare_with_baselines(model: SeriesModel, series: Mapping[str, Series], rate: float) -> BaselineComparison:
    """Compare a model with plain baselines, on the normal records that it was fitted with; repeatable.

    Args:
        model: the trained model.
        series: the normal records by entity.
        rate: the requested false-positive rate.
    """
    cases = cases_of(model, series)
    if not cases:
        needed = int(np.ceil(SLOT_ROWS / HELD_BACK_SHARE))
        return BaselineComparison(
            problem=f"No entity has the {needed} normal records that it takes to hold back {SLOT_ROWS}."
        )
    rounds = min(MAX_ROUNDS, -(-TARGET_EVENTS // sum(len(case.later) // SLOT_ROWS for case in cases)))
    rng = np.random.default_rng(SEED)
    kinds = cycle_kinds(rng)
    results = [result for fitted in fit_cases(cases, model) if (result := try_case(fitted, rounds, kinds, rng)).events]
    if not results:
        return BaselineComparison(
            problem="No synthetic anomaly can be made of these channels: none is a number that moves."
        )
    return _summary(results, rate)


def _summary(results: Sequence[BakeoffResult], rate: float) -> BaselineComparison:
    kinds = np.array([event.kind for result in results for event in result.events])
    is_found = {method: np.concatenate([result.is_found(method, rate) for result in results]) for method in METHODS}
    return BaselineComparison(
        entities=len(results),
        records=sum(result.records for result in results),
        events={kind: int((kinds == kind).sum()) for kind in KINDS if kind in kinds},
        auc_pr={method: float(np.mean([result.auc_pr(method) for result in results])) for method in METHODS},
        event_recall={
            kind: {method: float(is_found[method][kinds == kind].mean()) for method in METHODS}
            for kind in KINDS
            if kind in kinds
        },
    )
