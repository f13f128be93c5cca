"""Checks that each search for records has an index."""

import time
from collections.abc import Iterator

import pandas as pd
from sqlalchemy import Column, Connection, MetaData, Table
from sqlalchemy import Index as SqlIndex
from sqlalchemy.schema import CreateIndex

from jobs.checks.finding import Finding
from jobs.databases import reading
from jobs.kinds import kind_of
from jobs.reading.source import Source, keys_of
from jobs.reading.table import WatchedTable
from schemas.config import MonitorConfig
from schemas.errors import SourceError

_MOMENTS_OF_PAST = 64  # about as many as a series is scored with


def check_key_index(connection: Connection, monitor: MonitorConfig, watched: WatchedTable) -> Iterator[Finding]:
    """Report a key that no index begins with."""
    if not _has_index(watched, monitor.key):
        yield Finding(
            "warning",
            f"No index begins with the key ({', '.join(monitor.key)}), so that every batch reads the whole table. "
            f"Create one: {_create_index(connection, watched, monitor.key)}",
            is_about_speed=True,
        )


def check_past_index(source: Source, monitor: MonitorConfig, watched: WatchedTable) -> Iterator[Finding]:
    """Warn if the past of a series is searched for without an index, and measure how long that takes."""
    columns = kind_of(monitor).past_columns(monitor)
    if not columns or _has_index(watched, columns):
        return
    newest = source.read_newest(1)
    cost = "" if newest.empty else f", which took {_seconds_to_read_past(source, newest):.2g} s for one record just now"
    with reading(source.engine, SourceError) as connection:
        statement = _create_index(connection, watched, columns)
    yield Finding(
        "warning",
        f"No index begins with ({', '.join(columns)}), so that the past of every series is searched for in the "
        f"whole table{cost}; each batch does so for each of its entities. Create one: {statement}",
        is_about_speed=True,
    )


def _seconds_to_read_past(source: Source, newest: pd.DataFrame) -> float:
    """Return how long it takes to read the past of the newest record."""
    (key,) = keys_of(newest, source.monitor.key)
    start = time.perf_counter()
    source.read_past(key, _MOMENTS_OF_PAST)
    return time.perf_counter() - start


def _has_index(watched: WatchedTable, columns: tuple[str, ...]) -> bool:
    """Return whether an index begins with the columns; True for a view or a query, whose indexes are not visible."""
    indexes = watched.indexes
    return indexes is None or any(index.columns[: len(columns)] == columns for index in indexes)


def _create_index(connection: Connection, watched: WatchedTable, columns: tuple[str, ...]) -> str:
    name = str(getattr(watched.records, "name", ""))
    schema = getattr(watched.records, "schema", None)
    copy = Table(name, MetaData(), *(Column(column) for column in columns), schema=schema)
    options = watched.dialect.index_options({column: watched.columns[column].type for column in columns})
    index = SqlIndex(f"ix_{name}_{'_'.join(columns)}"[:60], *copy.c, **options)
    # SQLAlchemy doubles each % in a name, for statements with parameters.
    return f"{CreateIndex(index).compile(dialect=connection.dialect)};".replace("%%", "%")
