"""Inserts rows that the database numbers."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table, insert


def insert_numbered(connection: Connection, table: Table, row: Mapping[str, Any]) -> int:
    """Insert a row in the open transaction, and return the id that the database gave it."""
    key: Any = connection.execute(insert(table).values(row)).inserted_primary_key
    return int(key[0])


def insert_all_numbered(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> list[int]:
    """Insert rows with the same columns, and return the ids that the database gave them, in the order of the rows."""
    if not rows:
        return []
    if not connection.dialect.insert_executemany_returning_sort_by_parameter_order:  # as MySQL
        return [insert_numbered(connection, table, row) for row in rows]
    statement = insert(table).returning(table.c.id, sort_by_parameter_order=True)
    return list(connection.scalars(statement, [dict(row) for row in rows]))
