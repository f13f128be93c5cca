"""Batches that follow one whose records changed, and in which those records are past.

A series is scored with its past. So when records came late into a batch, were corrected or vanished, the scores
of later records of the same entities change too, in this batch and in those that follow it.
"""

from collections.abc import Iterable

from sqlalchemy import Connection, and_, or_, select, update

from schemas.tables import batches

REOPENED = {"state": "pending", "token": None, "recount_at": None}
_SLACK = 2  # records of one time count as one moment of the past, and some come out of order
_IDS_AT_ONCE = 500
_ROWS_AT_ONCE = 100


def reopen_dependent_batches(
    connection: Connection, monitor: str, batch_id: int, entities: Iterable[str], context_rows: int
) -> int:
    """Have the batches scored again in which records of a batch are past; how many those are.

    A batch that is being scored is taken from its worker, which may have read the past as it was.

    Args:
        connection: in a transaction.
        monitor: whose.
        batch_id: of the batch whose records changed.
        entities: that it holds, or held before.
        context_rows: how far the past of a record reaches.
    """
    affected = _affected(connection, monitor, batch_id, dict.fromkeys(entities, _SLACK * context_rows))
    c = batches.c
    reopened = 0
    for start in range(0, len(affected), _IDS_AT_ONCE):
        is_wanted = and_(c.id.in_(affected[start : start + _IDS_AT_ONCE]), c.state != "pending")
        reopened += connection.execute(update(batches).where(is_wanted).values(REOPENED)).rowcount
    return reopened


def _affected(connection: Connection, monitor: str, batch_id: int, left: dict[str, int]) -> list[int]:
    """The batches after one that hold an entity, until it has had as many records as are left for it."""
    c = batches.c
    is_later = and_(c.monitor == monitor, c.id > batch_id, or_(c.entities.is_not(None), c.state == "running"))
    wanted = select(c.id, c.entities, c.state).where(is_later).order_by(c.id).execution_options(yield_per=_ROWS_AT_ONCE)
    found = []
    with connection.execute(wanted) as rows:
        for row in rows:
            held = {name: count for name, count in (row.entities or {}).items() if name in left}
            if held or row.state == "running":
                found.append(row.id)
            left = {name: rest - held.get(name, 0) for name, rest in left.items() if rest > held.get(name, 0)}
            if not left:
                break
    return found
