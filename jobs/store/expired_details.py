"""Details of old batches: scores, drift profiles, entities, and states of tracked thresholds."""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Select, and_, exists, func, null, select, true, update

from jobs.databases import reading, writing
from jobs.store.chunks import chunks
from jobs.store.portions import Deletion, Portions, delete_among, deletion_of_batches
from jobs.store.retention_limits import BatchBounds, RetentionLimits
from schemas.tables import batch_profiles, batches, scores, trackers

_ROWS_PER_FETCH = 100


def expired_details(limits: RetentionLimits, bounds: BatchBounds) -> Iterator[Deletion]:
    """Yield the deletions of the details of old batches."""
    yield deletion_of_batches("scores", scores.c.batch_id, _before(limits.monitor, bounds.keep), true())
    yield _expired_profiles(limits, bounds)
    yield _expired_trackers(limits, bounds)
    yield _expired_entities(limits, bounds)


def _before(monitor: str, bound: int) -> Select[Any]:
    c = batches.c
    return select(c.id).where(c.monitor == monitor, c.state == "done", c.id < bound)


def _expired_profiles(limits: RetentionLimits, bounds: BatchBounds) -> Deletion:
    """Return the deletion of old profiles, without the newest of each model, which a drift assessment compares."""
    c = batch_profiles.c

    def is_expired(connection: Connection) -> ColumnElement[bool]:
        model_ids = connection.scalars(select(c.model_id).where(c.monitor == limits.monitor).distinct()).all()
        of_models = [
            and_(c.model_id == model_id, c.batch_id < _first_of_window(connection, limits, model_id))
            for model_id in model_ids
        ]
        any_model: ColumnElement[bool] = c.batch_id < 0
        for condition in of_models:
            any_model |= condition
        return and_(c.monitor == limits.monitor, c.batch_id < bounds.trackers, any_model)

    def count(connection: Connection) -> int:
        return int(connection.scalar(select(func.count()).where(is_expired(connection))) or 0)

    def portions(engine: Engine) -> Portions:
        with reading(engine) as connection:
            batch_ids = connection.scalars(select(c.batch_id).where(is_expired(connection))).all()
        for chunk in chunks(batch_ids):
            with writing(engine) as connection:
                deleted = delete_among(connection, c.batch_id, chunk)
            yield deleted

    return Deletion("drift profiles", count, portions)


def _first_of_window(connection: Connection, limits: RetentionLimits, model_id: int) -> int:
    """Return the oldest of the newest batches of a model that hold enough records for an assessment."""
    c, records, first = batch_profiles.c, 0, 0
    newest = select(c.batch_id, c.records).where(c.monitor == limits.monitor, c.model_id == model_id)
    newest = newest.order_by(c.batch_id.desc()).execution_options(yield_per=_ROWS_PER_FETCH)
    with connection.execute(newest) as rows:
        for row in rows:
            first, records = row.batch_id, records + row.records
            if records >= limits.drift_records:
                break
    return int(first)


def _expired_trackers(limits: RetentionLimits, bounds: BatchBounds) -> Deletion:
    """Return the deletion of old states; the newest old one of each model and entity stays, as later ones need it."""
    newer = trackers.alias("newer")
    same = and_(newer.c.model_id == trackers.c.model_id, newer.c.entity == trackers.c.entity)
    is_between = and_(newer.c.batch_id > trackers.c.batch_id, newer.c.batch_id < bounds.trackers)
    is_followed = exists().where(same, is_between)
    batch_ids = _before(limits.monitor, bounds.trackers)

    def count(connection: Connection) -> int:
        is_expired = and_(trackers.c.batch_id.in_(batch_ids), is_followed)
        return int(connection.scalar(select(func.count()).select_from(trackers).where(is_expired)) or 0)

    def portions(engine: Engine) -> Portions:
        has_states = exists().where(trackers.c.batch_id == batches.c.id)
        with reading(engine) as connection:
            ids = connection.scalars(batch_ids.where(has_states).order_by(batches.c.id)).all()
        for batch_id in ids:
            if deleted := _delete_trackers(engine, batch_id, is_followed):
                yield deleted

    return Deletion("tracked thresholds", count, portions)


def _delete_trackers(engine: Engine, batch_id: int, is_followed: ColumnElement[bool]) -> int:
    c, deleted = trackers.c, 0
    followed = select(c.model_id, c.entity).where(c.batch_id == batch_id, is_followed)
    with reading(engine) as connection:
        rows = connection.execute(followed).all()
    if not rows:
        return 0
    with writing(engine) as connection:
        for model_id in {row.model_id for row in rows}:
            entities = [row.entity for row in rows if row.model_id == model_id]
            deleted += delete_among(connection, c.entity, entities, c.model_id == model_id, c.batch_id == batch_id)
    return deleted


def _expired_entities(limits: RetentionLimits, bounds: BatchBounds) -> Deletion:
    """Return the deletion of the entities of old batches, by which a rescoring finds the batches that depend on it."""
    c = batches.c
    has_entities = _before(limits.monitor, bounds.keep).where(c.entities.is_not(None))

    def count(connection: Connection) -> int:
        return int(connection.scalar(select(func.count()).select_from(has_entities.subquery())) or 0)

    def portions(engine: Engine) -> Portions:
        with reading(engine) as connection:
            ids = connection.scalars(has_entities.order_by(c.id)).all()
        for chunk in chunks(ids):
            with writing(engine) as connection:
                is_done = and_(c.id.in_(chunk), c.state == "done")
                changed = connection.execute(update(batches).where(is_done).values(entities=null())).rowcount
            yield changed

    return Deletion("lists of entities", count, portions)
