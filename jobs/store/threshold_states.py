"""Tracked thresholds: the state of each entity, moved on once by each batch."""

from typing import Any

from sqlalchemy import Engine, select

from jobs.databases import reading
from jobs.store.ledger import Batch
from schemas.tables import trackers


class ThresholdStates:
    """The states of tracked thresholds.

    Args:
        engine: the store's.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def before_batch(self, batch: Batch, entity: str) -> dict[str, Any] | None:
        """Where the threshold of an entity stands before a batch, for its model; None where it has not started.

        A batch that the model has scored before starts where it did then, so that scoring it again moves nothing.
        """
        c = trackers.c
        wanted = (
            select(c.batch_id, c.state_before, c.state_after)
            .where(c.model_id == batch.model_id, c.entity == entity, c.batch_id <= batch.id)
            .order_by(c.batch_id.desc())
            .limit(1)
        )
        with reading(self.engine) as connection:
            row = connection.execute(wanted).first()
        if row is None:
            return None
        state: dict[str, Any] = row.state_before if row.batch_id == batch.id else row.state_after
        return state
