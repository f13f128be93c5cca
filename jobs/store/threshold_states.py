"""Tracked thresholds: the state of each entity, advanced once by each batch."""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Engine, Select, String, and_, func, literal, select, union_all

from jobs.databases import reading
from jobs.store.chunks import chunks
from jobs.store.ledger import Batch
from schemas.tables import trackers

_NAMES_PER_STATEMENT = 100


class ThresholdStates:
    """The states of tracked thresholds.

    Args:
        engine: of the store's database.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def before_batch_of(self, batch: Batch, entities: Collection[str]) -> dict[str, dict[str, Any]]:
        """Return the states of entities' thresholds before a batch, as `before_batch`, in few statements.

        An entity without a state of the batch or of an earlier one is left out.
        """
        states = {}
        with reading(self.engine) as connection:
            for names in chunks(sorted(entities), _NAMES_PER_STATEMENT):
                for row in connection.execute(_newest_of(batch.model_id, batch.id, names)):
                    states[row.entity] = row.state_before if row.batch_id == batch.id else row.state_after
        return states

    def newest(self, model_id: int, entities: Collection[str]) -> dict[str, dict[str, Any]]:
        """Return the newest states of entities' thresholds, for a model; an entity without one is left out."""
        states: dict[str, dict[str, Any]] = {}
        with reading(self.engine) as connection:
            for names in chunks(sorted(entities), _NAMES_PER_STATEMENT):
                rows = connection.execute(_newest_of(model_id, None, names))
                states |= {row.entity: row.state_after for row in rows}
        return states

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


def _newest_of(model_id: int, upto: int | None, names: Sequence[str]) -> Select[Any]:
    """Return the select of the newest state of each entity, perhaps up to a batch, each found in the primary key."""
    entities = union_all(*(select(literal(name, String(255)).label("name")) for name in names)).subquery("entities")
    c, older = trackers.c, trackers.alias("older").c
    is_older = and_(older.model_id == model_id, older.entity == entities.c.name)
    is_older = is_older if upto is None else and_(is_older, older.batch_id <= upto)
    newest = select(func.max(older.batch_id)).where(is_older).scalar_subquery()
    is_newest = and_(c.model_id == model_id, c.entity == entities.c.name, c.batch_id == newest)
    columns = (c.entity, c.batch_id, c.state_before, c.state_after)
    return select(*columns).select_from(entities.join(trackers, is_newest))
