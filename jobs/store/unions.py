"""Several selects in one statement, each with the plan that it has alone."""

from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, select, union_all

from jobs.store.chunks import chunks

_SELECTS_PER_STATEMENT = 400  # SQLite joins 500 at most


def rows_of_each(connection: Connection, selects: Iterable[Select[Any]]) -> Iterator[RowMapping]:
    """Yield the rows of selects that have the same columns, each with an order and a limit of its own.

    A grouped select would read all that the limits leave out.
    """
    for chunk in chunks(selects, _SELECTS_PER_STATEMENT):
        joined = union_all(*(select(one.subquery()) for one in chunk))
        yield from connection.execute(joined).mappings()
