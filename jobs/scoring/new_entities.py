"""Reports entities that the model of a series has not learned: its shared model scores them, or no model does."""

from datetime import datetime

from detector.core.scorer import Scorer
from jobs.store import Batch, BatchResult, NewEvent, Store

_MAX_EVENTS = 100  # at once: the others are reported with a later batch


def report_new_entities(batch: Batch, result: BatchResult, scorer: Scorer, store: Store, at: datetime) -> None:
    """Write an event for each entity of a batch that the model was not trained on, once for each model."""
    unknown_entities = scorer.unknown_entities(list(result.entities or ()))
    if unknown_entities:
        store.events.add_once([_event(batch, name, scorer) for name in unknown_entities], at, limit=_MAX_EVENTS)


def _event(batch: Batch, name: str, scorer: Scorer) -> NewEvent:
    subject = f"Entity {name!r}" if name else "A record without an entity"
    if scorer.can_score(name):
        fate, advice = "its shared model scores it", "Train again once there are normal records of the entity."
    else:
        fate = "without a shared model its records are not scored"
        advice = 'Train again with normal records of the entity, or with models = "auto".'
    message = f"{subject} of monitor {batch.monitor!r} was not in the training records of model {batch.model_id}; "
    return NewEvent(
        "new_entity", f"{message}{fate}. {advice}", batch.monitor, name or None, counts={"model_id": batch.model_id}
    )
