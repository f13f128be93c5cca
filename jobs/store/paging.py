"""Pages of rows, newest first, as value objects."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import fields
from typing import Any, Protocol, TypeAlias, TypeVar

from sqlalchemy import Column, ColumnElement, Engine, Table, and_, func, or_, select

from jobs.databases import reading

Filter: TypeAlias = tuple[Any, Callable[[Any, Any], Any], Any]
"""A column, a comparison, and the value to compare with; None does not restrict."""

_Row = TypeVar("_Row")


class PageQuery(Protocol):
    """The part of a query that selects one page."""

    @property
    def limit(self) -> int:
        """The maximum number of rows."""

    @property
    def before_id(self) -> int | None:
        """The id of the last row of the page before, or None for the first page."""


def columns_of(table: Table, row_type: type) -> list[Column[Any]]:
    """Return the columns of a table that a value object has fields for."""
    return [table.c[field.name] for field in fields(row_type)]


def read_page(
    engine: Engine,
    table: Table,
    row_type: type[_Row],
    query: PageQuery,
    filters: Iterable[Filter],
    order: ColumnElement[Any] | None = None,
) -> list[_Row]:
    """Return a page of the rows that pass every filter, by a descending order, then newest first.

    Rows that filters restrict by a time are ordered by it, so that one index serves both.
    """
    conditions = conditions_of(filters)
    if query.before_id is not None:
        conditions.insert(0, _is_after_row(table, query.before_id, order))  # the first bound is that of the index
    orders = [] if order is None else [order.desc()]
    statement = select(*columns_of(table, row_type)).where(*conditions).order_by(*orders, table.c.id.desc())
    with reading(engine) as connection:
        return [row_type(**row) for row in connection.execute(statement.limit(query.limit)).mappings()]


def _is_after_row(table: Table, row_id: int, order: ColumnElement[Any] | None) -> ColumnElement[bool]:
    """Return the condition for the rows that come after a row on the pages."""
    if order is None:
        return table.c.id < row_id
    of_row = select(order).select_from(table).where(table.c.id == row_id).correlate(None).scalar_subquery()
    return and_(order <= of_row, or_(order < of_row, table.c.id < row_id))


def count_rows(engine: Engine, table: Table, filters: Iterable[Filter]) -> int:
    """Return the number of rows that pass every filter, whatever the page."""
    with reading(engine) as connection:
        return connection.scalar(select(func.count()).select_from(table).where(*conditions_of(filters))) or 0


def is_among(column: ColumnElement[Any], values: Collection[Any]) -> ColumnElement[bool]:
    """Return the condition that a column has one of several values; for `Filter`."""
    return column.in_(sorted(values))


def without_index(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return a column as an expression, so that the index of a narrower filter is used, and not one of the column."""
    return func.coalesce(column, column)


def conditions_of(filters: Iterable[Filter]) -> list[ColumnElement[bool]]:
    """Return the conditions of filters; a value that is None does not restrict."""
    return [compare(column, value) for column, compare, value in filters if value is not None]
