"""Columns as numbers that the database sums up itself, so that a changed batch is noticed without reading it.

Each is one exact integer per row: neither the order of the rows nor the session changes their sum.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Integer, Text, and_, case, cast, extract, func

from jobs.databases import TEXT_SUM
from jobs.reading.table import WatchedTable

_PRIME = 2**31 - 1  # the sum of a batch stays within 64 bits
_TIMES = {"instant", "timestamp", "date"}
_UNIX_EPOCH = 2440587.5  # as a Julian day
_MILLISECONDS = 86_400_000
_MICROSECONDS = 1_000_000


def numbers(watched: WatchedTable, names: Sequence[str]) -> list[ColumnElement[Any]]:
    """Those of the columns that this database can sum up, as integers."""
    found = (_number(watched, name) for name in dict.fromkeys(names))
    return [number for number in found if number is not None]


def _number(watched: WatchedTable, name: str) -> ColumnElement[Any] | None:
    """A column as an integer that a change of its value changes, with near certainty."""
    column, family = watched.records.c[name], watched.columns[name].family
    if family == "integer":
        return column % _PRIME
    if watched.dialect == "postgresql":
        return _number_of_postgresql(column, is_time=family in _TIMES)
    return _number_of_sqlite(column) if watched.dialect == "sqlite" else None


def _number_of_sqlite(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """Values have types there, columns have not. A text that is no time is summed up by a function of our own."""
    time = cast(func.round((func.julianday(column) - _UNIX_EPOCH) * _MILLISECONDS), Integer)
    is_text = and_(func.typeof(column) == "text", time.is_(None))
    is_integer = func.typeof(column) == "integer"
    return case((is_integer, column % _PRIME), (is_text, getattr(func, TEXT_SUM)(column)), else_=time)


def _number_of_postgresql(column: ColumnElement[Any], *, is_time: bool) -> ColumnElement[Any]:
    if not is_time:
        return func.hashtext(cast(column, Text))
    # The text of a time depends on the session; an infinite one has no number.
    return case((func.isfinite(column), cast(extract("epoch", column) * _MICROSECONDS, BigInteger)))
