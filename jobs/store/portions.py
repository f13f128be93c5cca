"""Deletes many rows in small transactions, so that no other writer waits for long."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, Connection, Engine, Table, delete, func, select

from jobs.databases import reading, writing
from jobs.store.chunks import chunks
from jobs.store.locking import lock_monitor

ROWS_PER_TRANSACTION = 1_000

Portions: TypeAlias = Iterator[int]
"""Number of rows that each transaction has deleted, one after another."""


@dataclass(frozen=True)
class Deletion:
    """Rows that are no longer needed.

    Attributes:
        kind: their name in reports.
        count: returns their number.
        portions: deletes them, one transaction for each item.
    """

    kind: str
    count: Callable[[Connection], int]
    portions: Callable[[Engine], Portions]


@dataclass(frozen=True)
class Recheck:
    """A second look at selected rows, in the transaction that deletes them.

    Attributes:
        monitor: whose lock the transaction holds, as do those that label rows or change incidents.
        condition: of the rows that are deleted; it is fast for few rows.
    """

    monitor: str
    condition: ColumnElement[bool]


def deletion(
    kind: str,
    table: Table,
    condition: ColumnElement[bool],
    before: Callable[[Connection, Sequence[int]], None] | None = None,
    *,
    recheck: Recheck | None = None,
) -> Deletion:
    """Return the deletion of the rows of a table, which has the primary key `id`.

    Args:
        kind: the name of the rows in reports.
        table: of the rows.
        condition: selects them; without `recheck` a row that it has selected once never becomes needed again.
        before: called with the ids of a portion, in the transaction that deletes it.
        recheck: leaves out rows that are needed by then.
    """

    def count(connection: Connection) -> int:
        return int(connection.scalar(select(func.count()).select_from(table).where(condition)) or 0)

    def portions(engine: Engine) -> Portions:
        oldest = select(table.c.id).where(condition).order_by(table.c.id).limit(ROWS_PER_TRANSACTION)
        while ids := _read(engine, oldest):
            with writing(engine) as connection:
                if recheck is not None:
                    lock_monitor(connection, recheck.monitor)
                    ids = _among(connection, table, ids, recheck.condition)
                if before is not None:
                    before(connection, ids)
                deleted = delete_among(connection, table.c.id, ids)
            yield deleted

    return Deletion(kind, count, portions)


def deletion_of_batches(kind: str, column: Any, batch_ids: Any, condition: ColumnElement[bool]) -> Deletion:
    """Return the deletion of rows that belong to batches, one transaction for each batch.

    Args:
        kind: the name of the rows in reports.
        column: the column of the rows that holds the id of their batch.
        batch_ids: a select of the ids of the batches.
        condition: selects the rows of a batch.
    """

    def count(connection: Connection) -> int:
        return int(connection.scalar(select(func.count()).where(column.in_(batch_ids), condition)) or 0)

    def portions(engine: Engine) -> Portions:
        for batch_id in _read(engine, select(column).where(column.in_(batch_ids), condition).distinct()):
            with writing(engine) as connection:
                deleted = connection.execute(delete(column.table).where(column == batch_id, condition)).rowcount
            yield deleted

    return Deletion(kind, count, portions)


def delete_among(connection: Connection, column: Any, values: Iterable[Any], *conditions: ColumnElement[bool]) -> int:
    """Delete the rows whose column has one of the values, and return their number."""
    return sum(
        connection.execute(delete(column.table).where(column.in_(chunk), *conditions)).rowcount
        for chunk in chunks(values)
    )


def _among(connection: Connection, table: Table, ids: Sequence[int], condition: ColumnElement[bool]) -> list[int]:
    """Return the ids of those rows that a condition still selects."""
    among = (select(table.c.id).where(table.c.id.in_(chunk), condition) for chunk in chunks(ids))
    return [row_id for statement in among for row_id in connection.scalars(statement)]


def _read(engine: Engine, statement: Any) -> list[int]:
    with reading(engine) as connection:
        return list(connection.scalars(statement))
