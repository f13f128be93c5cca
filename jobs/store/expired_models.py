"""Old models: their artifact is deleted, and their row once no other row names it."""

from collections.abc import Iterator

from sqlalchemy import ColumnElement, Connection, Engine, delete, exists, or_, select, update

from jobs.databases import reading, writing
from jobs.store.chunks import chunks
from jobs.store.locking import lock_monitor
from jobs.store.portions import Deletion, Portions, delete_among
from jobs.store.retention_limits import RetentionLimits
from schemas.tables import (
    anomalies,
    artifact_parts,
    batch_profiles,
    batches,
    drifts,
    models,
    retrain_requests,
    scores,
    trackers,
)

_NO_ARTIFACT = b""
_ENTITIES_PER_TRANSACTION = 50
_NAMING_TABLES = (anomalies, batches, scores, drifts, batch_profiles, trackers)


def expired_models(limits: RetentionLimits) -> Iterator[Deletion]:
    """Yield the deletion of models beyond the number that the monitor keeps."""

    def count(connection: Connection) -> int:
        return len(_expired_ids(connection, limits))

    def portions(engine: Engine) -> Portions:
        with reading(engine) as connection:
            ids = _expired_ids(connection, limits)
        for model_id in ids:
            _delete_details(engine, model_id)
            yield int(_delete(engine, limits, model_id))

    yield Deletion("models", count, portions)


def _expired_ids(connection: Connection, limits: RetentionLimits) -> list[int]:
    """Return the models that lose their artifact, or their row as nothing names it any longer."""
    c = models.c
    columns = select(c.id, c.pruned_at, _is_named().label("is_named")).where(c.monitor == limits.monitor)
    retired = columns.where(c.state == "retired").order_by(c.retired_at.desc(), c.id.desc())
    challengers = columns.where(c.state == "challenger").order_by(c.id.desc())
    oldest = [row for kind in (retired, challengers) for row in connection.execute(kind).all()[limits.retired_models :]]
    return [row.id for row in oldest if row.pruned_at is None or not row.is_named]


def _is_named() -> ColumnElement[bool]:
    c = models.c
    of_requests = exists().where(retrain_requests.c.model_id == c.id)
    return or_(of_requests, *(exists().where(table.c.model_id == c.id) for table in _NAMING_TABLES))


def _delete_details(engine: Engine, model_id: int) -> None:
    """Delete the tracked thresholds and the drift profiles of a model."""
    with reading(engine) as connection:
        entities = connection.scalars(select(trackers.c.entity).where(trackers.c.model_id == model_id).distinct()).all()
        batch_ids = connection.scalars(
            select(batch_profiles.c.batch_id).where(batch_profiles.c.model_id == model_id)
        ).all()
    for names in chunks(entities, _ENTITIES_PER_TRANSACTION):
        with writing(engine) as connection:
            delete_among(connection, trackers.c.entity, names, trackers.c.model_id == model_id)
    for chunk in chunks(batch_ids):
        with writing(engine) as connection:
            delete_among(connection, batch_profiles.c.batch_id, chunk, batch_profiles.c.model_id == model_id)


def _delete(engine: Engine, limits: RetentionLimits, model_id: int) -> bool:
    """Delete a model, or its artifact if other rows name it; return False if it became the champion meanwhile."""
    c = models.c
    with writing(engine) as connection:
        lock_monitor(connection, limits.monitor)
        is_it = (c.id == model_id) & (c.state != "champion")
        is_named = connection.scalar(select(_is_named()).where(is_it))
        if is_named:
            values = {"artifact": _NO_ARTIFACT, "pruned_at": limits.at}
            connection.execute(delete(artifact_parts).where(artifact_parts.c.model_id.in_(select(c.id).where(is_it))))
            return connection.execute(update(models).where(is_it).values(values)).rowcount > 0
        return connection.execute(delete(models).where(is_it)).rowcount > 0
