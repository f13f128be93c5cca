"""Reads records from PostgreSQL as Arrow, in binary: the only module that imports ADBC."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from adbc_driver_postgresql import dbapi
from sqlalchemy import URL, Select
from sqlalchemy.dialects import postgresql

from schemas.errors import SourceError

_DIALECT = postgresql.dialect(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]

_NULLABLE = {
    pa.int16(): pd.Int16Dtype(),
    pa.int32(): pd.Int32Dtype(),
    pa.int64(): pd.Int64Dtype(),
    pa.bool_(): pd.BooleanDtype(),
}


class ArrowReader:
    """One read-only connection to a PostgreSQL database, opened when needed.

    Opening a connection takes tens of milliseconds, as long as reading ten thousand records, so it is kept; if it
    breaks, the next read opens a new one. It serves one thread at a time.

    Args:
        url: The database's address, for SQLAlchemy.
        failure: Returns the sentence for an error text of the driver.
    """

    def __init__(self, url: URL, failure: Callable[[URL, str], str]) -> None:
        self._url, self._failure = url, failure
        self._connection: dbapi.Connection | None = None

    def fetch(self, statement: Select[Any]) -> pd.DataFrame:
        """Return the rows of a select, each column in the type that Arrow gives it."""
        sql, parameters = _compiled(statement)
        with self._transaction() as cursor:
            cursor.execute(sql, parameters or None)
            table = cursor.fetch_arrow_table()
        # Columns are converted one by one, so that Arrow's copy is freed with the last.
        return pd.DataFrame({name: _series(table.column(index)) for index, name in enumerate(table.column_names)})

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @contextmanager
    def _transaction(self) -> Iterator[dbapi.Cursor]:
        try:
            with self._cursor() as cursor:
                yield cursor
                cursor.connection.rollback()
        except dbapi.Error as exc:
            self._end_transaction()
            raise SourceError(self._failure(self._url, str(exc))) from exc

    def _end_transaction(self) -> None:
        """Roll back after an error, or close the connection if it is broken."""
        try:
            if self._connection is not None:
                self._connection.rollback()
        except dbapi.Error:
            self.close()

    def _cursor(self) -> dbapi.Cursor:
        """Open a cursor in a transaction that cannot write; a connection that broke while idle is opened again."""
        if self._connection is not None:
            try:
                return _read_only(self._connection)
            except dbapi.Error:
                self.close()
        self._connection = dbapi.connect(_libpq_address(self._url))
        return _read_only(self._connection)


def _read_only(connection: dbapi.Connection) -> dbapi.Cursor:
    cursor = connection.cursor()
    cursor.execute("SET TRANSACTION READ ONLY")
    return cursor


def _compiled(statement: Select[Any]) -> tuple[str, tuple[Any, ...]]:
    """Return the statement and its parameters.

    Without parameters ADBC streams the result by COPY, which takes two thirds of the time. Integers have no quotes to
    escape, so a statement whose parameters are all integers is written out.
    """
    compiled = statement.compile(dialect=_DIALECT)
    parameters = tuple(compiled.params[name] for name in compiled.positiontup or ())
    if all(isinstance(value, int) for value in parameters):
        return str(statement.compile(dialect=_DIALECT, compile_kwargs={"literal_binds": True})), ()
    return str(compiled), parameters


def _libpq_address(url: URL) -> str:
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


def _series(column: pa.ChunkedArray) -> "pd.Series[Any]":
    kind = column.type
    if isinstance(kind, pa.OpaqueType) and kind.type_name == "numeric":
        return pd.Series([None if text is None else Decimal(text) for text in column.to_pylist()], dtype="object")
    if isinstance(kind, pa.BaseExtensionType):
        return pd.Series(column.to_pylist(), dtype="object")
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        column = _within_calendar(column)
    # Integers with nulls among them do not pass through float: they stay exact.
    series: pd.Series[Any] = column.to_pandas(types_mapper=_NULLABLE.get if column.null_count else None)
    return series


def _within_calendar(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return dates or times, null if they are infinite or of a year that Python lacks."""
    calendar = date if pa.types.is_date(column.type) else datetime
    first, last = pa.scalar(calendar.min, column.type), pa.scalar(calendar.max, column.type)
    is_within = pc.and_(pc.greater_equal(column, first), pc.less_equal(column, last))
    return pc.if_else(is_within, column, pa.scalar(None, column.type))
