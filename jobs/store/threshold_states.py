"""Tracked thresholds: the state of each entity, advanced once by each batch."""

from typing import Any

from sqlalchemy import Engine, select

from jobs.databases import reading
from jobs.store.ledger import Batch
from schemas.tables import trackers


class ThresholdStates:
    """The states of tracked thresholds.

    Args:
        engine: of the store's database.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def before_batch(self, batch: Batch, entity: str) -> dict[str, Any] | None:
        """Return the state of an entity's threshold before a batch, for the batch's model; None before the first."""
        return self.before(batch.id, batch.model_id, entity)

    def before(self, batch_id: int, model_id: int, entity: str) -> dict[str, Any] | None:
        """Return the state of an entity's threshold before a batch, for a model; None before the first.

        A batch that the model has scored before starts from the state of that time, so that rescoring changes nothing.
        Before the oldest state that is kept, a batch starts from that one.
        """
        c = trackers.c
        of_entity = select(c.batch_id, c.state_before, c.state_after).where(c.model_id == model_id, c.entity == entity)
        newest = of_entity.where(c.batch_id <= batch_id).order_by(c.batch_id.desc()).limit(1)
        oldest = of_entity.where(c.batch_id > batch_id).order_by(c.batch_id).limit(1)
        with reading(self.engine) as connection:
            row = connection.execute(newest).first()
            if row is None:
                later = connection.execute(oldest).first()
                return None if later is None else later.state_before
        state: dict[str, Any] = row.state_before if row.batch_id == batch_id else row.state_after
        return state
