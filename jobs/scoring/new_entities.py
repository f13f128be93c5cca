"""Finds entities of a series that its model has not learned, so that the shared one scores them, or none does."""

from datetime import datetime

from detector.series.scorer import SeriesScorer
from jobs.reading.context import AnyScorer
from jobs.store import Batch, BatchResult, NewEvent, Store

_MOST = 100  # at once: the others are reported with a later batch


def report_new_entities(batch: Batch, result: BatchResult, scorer: AnyScorer, store: Store, at: datetime) -> None:
    """Write an event for each entity of a batch that the model was not trained on, once for each model."""
    if not isinstance(scorer, SeriesScorer) or result.entities is None:
        return
    new = sorted(name for name in result.entities if name not in scorer.artifact.entities)
    if found := [_event(batch, name, scorer) for name in new if name or not scorer.can_score(name)]:
        store.events.add_once(found, at, limit=_MOST)


def _event(batch: Batch, name: str, scorer: SeriesScorer) -> NewEvent:
    who = f"Entity {name!r}" if name else "A record without an entity"
    fate = (
        "its shared model scores it" if scorer.can_score(name) else "without a shared model its records are not scored"
    )
    advice = (
        "Train again once there are normal records of it."
        if scorer.can_score(name)
        else 'Train again with normal records of it, or with models = "auto".'
    )
    message = f"{who} of monitor {batch.monitor!r} was not in the training records of model {batch.model_id}; {fate}. "
    return NewEvent("new_entity", message + advice, batch.monitor, name or None, counts={"model_id": batch.model_id})
