"""Finds entities of a series that its model has not learned, and so the shared one scores."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from detector.series.scorer import SeriesScorer
from jobs.reading.context import AnyScorer
from jobs.store import Batch, BatchResult, NewEvent, Store

_MOST = 100  # at once: the others are reported with a later batch


def report_newcomers(batch: Batch, result: BatchResult, scorer: AnyScorer, store: Store, at: datetime) -> None:
    """Write an event for each entity of a batch that the model was not trained on, once for each model."""
    if not isinstance(scorer, SeriesScorer) or result.entities is None:
        return
    names = sorted(name for name in result.entities if name and name not in scorer.artifact.entities)
    if names:
        store.add_events_once(list(_events(batch, names)), at, most=_MOST)


def _events(batch: Batch, names: Sequence[str]) -> Iterator[NewEvent]:
    for name in names:
        message = (
            f"Entity {name!r} of monitor {batch.monitor!r} was not in the training records of model {batch.model_id}; "
            "its shared model scores it. Train again once there are normal records of it."
        )
        yield NewEvent("new_entity", message, batch.monitor, name, counts={"model_id": batch.model_id})
