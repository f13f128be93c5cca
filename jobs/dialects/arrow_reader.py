"""Reads records from PostgreSQL as Arrow, in binary: the only module that imports ADBC."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future, InvalidStateError
from contextlib import contextmanager, suppress
from datetime import date, datetime
from decimal import Decimal
from functools import partial
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from adbc_driver_postgresql import dbapi
from sqlalchemy import URL, Select
from sqlalchemy.dialects import postgresql

from jobs.addresses import display_name
from jobs.database_calls import CALLS, in_background
from jobs.dialects import name_lengths, postgresql_waits
from jobs.dialects.base import Dialect
from schemas.errors import SourceAway, SourceError, SourceTimeout
from schemas.service import Timeouts

_DIALECT = postgresql.dialect(  # type: ignore[no-untyped-call]
    paramstyle="numeric_dollar", **name_lengths.POSTGRESQL
)

_CHUNK_BYTES = 64 << 20  # of a result; columns in one chunk become those of the frame without a copy

_NULLABLE = {
    pa.int16(): pd.Int16Dtype(),
    pa.int32(): pd.Int32Dtype(),
    pa.int64(): pd.Int64Dtype(),
    pa.bool_(): pd.BooleanDtype(),
}


class ArrowReader:
    """One read-only connection to a PostgreSQL database, opened when needed.

    Opening a connection takes tens of milliseconds, as long as reading ten thousand records, so it is kept; if it
    breaks, the next read opens a new one. Reads of several threads follow one another.

    A server that hangs cannot be interrupted, as ADBC hides its sockets. So each read has a thread of its own, which
    is abandoned with its connection if it has to end.

    Args:
        url: The database's address, for SQLAlchemy.
        dialect: That of the database, for the errors.
        timeouts: How long a read may wait.
    """

    def __init__(self, url: URL, dialect: Dialect, timeouts: Timeouts) -> None:
        self._url, self._dialect, self._timeouts = url, dialect, timeouts
        self._session = _Session(url, timeouts)
        self._in_use = threading.Lock()

    def fetch(self, statement: Select[Any]) -> pd.DataFrame:
        """Return the rows of a select, each column in the type that Arrow gives it."""
        with self._in_use:
            table = self._read(*_compiled(statement))
        # Without copies, numbers stay in the memory that Arrow read them into; pandas copies what is written to.
        columns = {name: _series(table.column(index)) for index, name in enumerate(table.column_names)}
        return pd.DataFrame(columns, copy=False)

    def close(self) -> None:
        """Close the connection; one that another thread reads from is left to it."""
        if self._in_use.acquire(blocking=False):
            self._session.close()
            self._in_use.release()
        else:
            self._session.abandon()

    def _read(self, sql: str, parameters: tuple[Any, ...]) -> pa.Table:
        result: Future[pa.Table] = Future()
        arguments = (sql, parameters, result)
        thread = threading.Thread(target=self._session.read, args=arguments, name="read", daemon=True)
        with CALLS.in_progress(self._timeouts.statement.total_seconds(), display_name(self._url)) as call:
            call.cancel, call.sever = self._session.cancel, partial(_give_up, result)
            thread.start()
            try:
                return result.result()
            except (dbapi.Error, TimeoutError) as exc:
                raise self._error_class(exc)(self._dialect.failure(self._url, str(exc))) from exc
            finally:
                if thread.is_alive() and _is_unfinished(result):
                    self._session.abandon()
                    self._session = _Session(self._url, self._timeouts)

    def _error_class(self, cause: Exception) -> type[SourceError]:
        if self._dialect.is_wait(str(cause)):
            return SourceTimeout
        return SourceAway if isinstance(cause, dbapi.OperationalError | dbapi.InterfaceError) else SourceError


class _Session:
    """A connection and the thread that reads from it."""

    def __init__(self, url: URL, timeouts: Timeouts) -> None:
        self._url, self._timeouts = url, timeouts
        self._connection: dbapi.Connection | None = None
        self._is_abandoned = False
        self._cancelling = threading.Lock()  # closing a connection frees what a request to cancel uses

    def read(self, sql: str, parameters: tuple[Any, ...], result: "Future[pa.Table]") -> None:
        """Run a statement in a transaction that cannot write, and pass its rows or its error on."""
        try:
            with self._transaction() as cursor:
                cursor.execute(sql, parameters or None)
                table = cursor.fetch_arrow_table()
        except BaseException as exc:  # noqa: BLE001 - it is raised in the thread that waits for the result
            with suppress(InvalidStateError):  # nobody waits any longer
                result.set_exception(exc)
        else:
            with suppress(InvalidStateError):
                result.set_result(table)
        if self._is_abandoned:
            self.close()

    def cancel(self) -> None:
        """Request that the server cancel the read; on a network that drops packets this takes minutes."""
        connection = self._connection
        if connection is not None:
            with self._cancelling:
                connection.adbc_cancel()

    def abandon(self) -> None:
        """Leave the connection to its thread, which closes it at the end of its read."""
        self._is_abandoned = True
        in_background(self.cancel)

    def close(self) -> None:
        """Close the connection, after a request to cancel that is under way."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if self._cancelling.locked():
            in_background(partial(self._close, connection))
        else:
            self._close(connection)

    def _close(self, connection: dbapi.Connection) -> None:
        with self._cancelling, suppress(dbapi.Error):
            connection.close()

    @contextmanager
    def _transaction(self) -> Iterator[dbapi.Cursor]:
        try:
            with self._cursor() as cursor:
                yield cursor
                cursor.connection.rollback()
        except dbapi.Error:
            self._end_transaction()
            raise

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
        self._connection = _connected(self._url, self._timeouts)
        return _read_only(self._connection)


def _give_up(result: "Future[pa.Table]") -> None:
    """End the wait for a result that a hanging server will not return."""
    with suppress(InvalidStateError):
        result.set_exception(TimeoutError("the server does not respond, so the read timed out"))


def _is_unfinished(result: "Future[pa.Table]") -> bool:
    """Return whether the thread of a read has not passed on its own result."""
    return not result.done() or isinstance(result.exception(), TimeoutError)


def _connected(url: URL, timeouts: Timeouts) -> dbapi.Connection:
    """Return a new connection, whose session is limited."""
    parameters = {name: str(value) for name, value in postgresql_waits.connect_arguments(url, timeouts).items()}
    address = url.set(drivername="postgresql").update_query_dict(parameters)
    connection = dbapi.connect(address.render_as_string(hide_password=False))
    try:
        with connection.cursor() as cursor:
            cursor.execute(postgresql_waits.session_limits(timeouts))
            cursor.fetchall()
        connection.commit()  # a rollback would lift the limits
    except dbapi.Error:
        connection.close()
        raise
    return connection


def _read_only(connection: dbapi.Connection) -> dbapi.Cursor:
    cursor = connection.cursor()
    cursor.execute("SET TRANSACTION READ ONLY")
    cursor.adbc_statement.set_options(**{"adbc.postgresql.batch_size_hint_bytes": str(_CHUNK_BYTES)})
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
