"""A bounded sample of a table: its oldest and its newest records, read by an index."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import pandas as pd
from sqlalchemy import ColumnElement, Connection, Engine, Select, func, literal, select

from jobs.dialects import Family
from jobs.reading.source import CoreReader
from jobs.reading.table import WatchedColumn, WatchedTable
from jobs.reading.tolerant import are_few
from jobs.reading.typed_columns import categorical, typed
from schemas.config import MonitorConfig
from schemas.errors import SourceError
from schemas.unreadable import UnreadableRecord

RECORDS_PER_END = 5_000  # read from either end of the table
MAX_RECORDS_COUNTED = 100_000

Role: TypeAlias = Literal["numeric", "boolean", "categorical"]

TIMES: frozenset[Family] = frozenset({"instant", "timestamp", "date"})
_TEXTS: frozenset[Family] = frozenset({"text", "unknown"})
_ROW = "plumbline_row"
_FIRST_RECORDS = 20


@dataclass(frozen=True)
class Sample:
    """Records of a table, as the driver returns them.

    Attributes:
        table: the table; its key is the primary key.
        records: the oldest and the newest records in the order of the key, or any records if no index serves.
        count: the number of records of the table, counted up to `MAX_RECORDS_COUNTED`.
    """

    table: WatchedTable
    records: pd.DataFrame
    count: int

    @property
    def is_counted(self) -> bool:
        """Whether `count` is the number of all records."""
        return self.count < MAX_RECORDS_COUNTED

    def columns(self, *taken: str | None) -> Iterator[WatchedColumn]:
        """Yield the columns that are not taken."""
        return (column for column in self.table.columns.values() if column.name not in taken)

    def is_read(self, name: str) -> bool:
        """Return whether the sample has the values of a column."""
        return name in self.records

    def present(self, name: str) -> "pd.Series[Any]":
        """Return the values of a column that are not null."""
        return self.records[name].dropna()

    def null_share(self, name: str) -> float:
        """Return the share of records in which a column is null; 1 for an empty table."""
        return float(self.records[name].isna().mean()) if len(self.records) else 1.0

    def is_text(self, name: str) -> bool:
        """Return whether a column holds texts, by its type and its values."""
        return self.table.columns[name].family in _TEXTS and all(isinstance(v, str) for v in self.present(name))

    def holds(self, role: Role | Literal["timestamp"], name: str) -> bool:
        """Return whether the records of a column, except for a few, can be read in a role."""
        settings: dict[str, Any] = {"key": (_ROW,), role: (name,)}
        frame = self.records[[name]].assign(**{_ROW: range(len(self.records))})
        try:
            for part in (frame.head(_FIRST_RECORDS), frame):  # of a column that does not fit, few are converted
                left_out: list[UnreadableRecord] = []
                records = typed(part, name, MonitorConfig.model_construct(**settings), left_out)
                if left_out and not are_few(left_out, len(records)):
                    return False
        except SourceError:
            return False
        return True

    def times(self, name: str) -> "pd.Series[Any]":
        """Return the times of a column in UTC, missing if they cannot be read."""
        times = pd.to_datetime(self.records[name], utc=True, errors="coerce", format="ISO8601")
        return times.astype("datetime64[us, UTC]")

    def texts(self, name: str) -> "pd.Series[Any]":
        """Return the values of a column as texts; a missing one is NA."""
        return categorical(self.records[name])

    def holds_times(self, name: str) -> bool:
        """Return whether a column can be the time of records or a time of change."""
        column = self.table.columns[name]
        is_dynamic = self.table.dialect.has_dynamic_types and column.family in _TEXTS  # SQLite keeps times as texts
        if column.family not in TIMES and not is_dynamic:
            return False
        return self.is_read(name) and not self.present(name).empty and self.holds("timestamp", name)


def read_sample(engine: Engine, connection: Connection, table: WatchedTable) -> Sample:
    """Read the oldest and the newest records of a table, or its first records if no index serves.

    Raises:
        SourceError: If the table cannot be read.
    """
    columns = [
        _expression(table, column)
        for column in table.columns.values()
        if column.family != "other" or column.name in table.key
    ]
    records = _distinct(_fetched(engine, table, columns), table.key)
    return Sample(table, records, _count(connection, table))


def _fetched(engine: Engine, table: WatchedTable, columns: Sequence[ColumnElement[Any]]) -> pd.DataFrame:
    reader = table.dialect.open_reader(engine) or CoreReader(engine)
    pages: list[pd.DataFrame] = []
    try:
        for part in _parts(table, columns):
            pages.append(reader.fetch(part))
            if len(pages[-1]) < RECORDS_PER_END:  # the whole table
                break
    finally:
        reader.close()
    return pd.concat(pages, ignore_index=True)


def _expression(table: WatchedTable, column: WatchedColumn) -> ColumnElement[Any]:
    expression = table.records.c[column.name]
    if column.name in table.key:
        return expression
    if column.family == "enum":
        return table.dialect.text_to_read(expression, column.family)
    if column.family == "boolean":
        return table.dialect.number_to_read(expression, column.family)
    exact = table.dialect.exact_number(expression, column.family)
    return expression if exact is None else exact


def _parts(table: WatchedTable, columns: Sequence[ColumnElement[Any]]) -> Iterator[Select[Any]]:
    """Yield the selects of a sample; without an index on the key an order would sort the whole table."""
    has_index = any(index.columns[: len(table.key)] == table.key for index in table.indexes or ())
    if not table.key or not has_index:
        yield select(*columns).limit(2 * RECORDS_PER_END)
        return
    yield select(*columns).order_by(*table.order()).limit(RECORDS_PER_END)
    newest = select(*columns).order_by(*table.order(newest_first=True)).limit(RECORDS_PER_END).subquery("newest")
    yield select(*newest.c).order_by(*table.order(newest))


def _distinct(records: pd.DataFrame, key: Sequence[str]) -> pd.DataFrame:
    """Return records without those that were read from both ends."""
    if not key or len(records) <= RECORDS_PER_END:
        return records
    keys = pd.Series(list(zip(*(records[name].map(str) for name in key), strict=True)), dtype="object")
    return records[~keys.duplicated()].reset_index(drop=True)


def _count(connection: Connection, table: WatchedTable) -> int:
    first = select(literal(1)).select_from(table.records).limit(MAX_RECORDS_COUNTED).subquery("first_records")
    return int(connection.scalar(select(func.count()).select_from(first)) or 0)
