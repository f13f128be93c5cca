"""Inserts rows that the database numbers."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Table, insert


def insert_numbered(connection: Connection, table: Table, row: Mapping[str, Any]) -> int:
    """Insert a row in the open transaction, and return the id that the database gave it."""
    key: Any = connection.execute(insert(table).values(row)).inserted_primary_key
    return int(key[0])
