"""Batches whose scores depend on the records of an earlier batch.

A record of a series is scored with its past. If records of a batch came late, were corrected or vanished, the scores
of later records of the same entities change too, in this batch and in those that follow it.
"""

from collections.abc import Iterable

from sqlalchemy import Connection, and_, or_, select, update

from jobs.store.chunks import chunks
from schemas.tables import batches

REOPENED = {"state": "pending", "token": None, "recount_at": None}
_SLACK_FACTOR = 2  # records of one time count as one moment of the past, and some come out of order
_ROWS_PER_FETCH = 100


def reopen_dependent_batches(
    connection: Connection, monitor: str, batch_id: int, entities: Iterable[str], context_rows: int
) -> int:
    """Reopen the later batches that have records of a batch in their past, and return their number.

    A running batch is taken from its worker, which may have read the past before it changed.

    Args:
        connection: in a transaction.
        monitor: the name of the monitor.
        batch_id: the batch whose records changed.
        entities: the entities that the batch holds, or held before.
        context_rows: the number of past records that a record is scored with.
    """
    dependent = _dependent_ids(connection, monitor, batch_id, dict.fromkeys(entities, _SLACK_FACTOR * context_rows))
    c = batches.c
    reopened = 0
    for ids in chunks(dependent):
        change = update(batches).where(c.id.in_(ids), c.state != "pending").values(REOPENED)
        reopened += connection.execute(change).rowcount
    return reopened


def _dependent_ids(connection: Connection, monitor: str, batch_id: int, remaining: dict[str, int]) -> list[int]:
    """Return the later batches that hold an entity, up to the one that uses up the remaining records of each entity."""
    c = batches.c
    is_later = and_(c.monitor == monitor, c.id > batch_id, or_(c.entities.is_not(None), c.state == "running"))
    statement = select(c.id, c.entities, c.state).where(is_later).order_by(c.id)
    ids = []
    with connection.execute(statement.execution_options(yield_per=_ROWS_PER_FETCH)) as rows:
        for row in rows:
            counts = {name: count for name, count in (row.entities or {}).items() if name in remaining}
            if counts or row.state == "running":
                ids.append(row.id)
            remaining = {
                name: rest - counts.get(name, 0) for name, rest in remaining.items() if rest > counts.get(name, 0)
            }
            if not remaining:
                break
    return ids
