"""The newest records of a table, which checks look at."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Subquery, select

from jobs.reading.table import WatchedTable

_MAX_KEYS_CHECKED = 100_000  # the newest keys


def newest_records(watched: WatchedTable, *names: str) -> Subquery:
    """Return the keys and columns of the newest records, as many as are checked."""
    columns = dict.fromkeys((*names, *watched.key))
    newest = select(*(watched.records.c[name] for name in columns)).where(watched.after(None))
    return newest.order_by(*watched.order(newest_first=True)).limit(_MAX_KEYS_CHECKED).subquery("newest")


def first_example(
    connection: Connection, newest: Subquery, names: Sequence[str], condition: ColumnElement[bool] | None
) -> Sequence[Any] | None:
    """Return columns of the first record that meets a condition, or None."""
    if condition is None:
        return None
    return connection.execute(select(*(newest.c[name] for name in names)).where(condition).limit(1)).first()
