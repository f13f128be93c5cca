"""Times that a table keeps as numbers, since 1970 or as spreadsheets do; a query has them as times."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pandas as pd
from sqlalchemy import Connection, TableClause

from jobs.dialects.families import NUMBERS
from jobs.reading.table import WatchedTable
from jobs.starter.labels import quoted
from jobs.starter.sample import Sample
from jobs.starter.source_query import SourceQuery, described_query, place_of
from schemas.texts import is_number

_PER_SECOND = (1, 1_000, 1_000_000, 1_000_000_000)
_FIRST, _LAST = 946_684_800, 4_102_444_800  # seconds to the years 2000 and 2100
_SHEET_EPOCH = 25_569  # days of a spreadsheet up to 1970
_MIN_RISING_SHARE = 0.9  # of the steps from record to record, by which a number of days is a date
_NUMBERS = NUMBERS | {"unknown"}
_NAME = re.compile(r"(^|_)(ts|t|at|on|dt|epoch|unix)($|_)|time|date|stamp|[a-z]At$|zeit|datum", re.IGNORECASE)


@dataclass(frozen=True)
class EpochColumn:
    """A column of numbers since 1970, or of days of a spreadsheet.

    Attributes:
        name: of the column.
        per_second: its units in a second: 1 or 1,000 for seconds or milliseconds; 0 for days of a spreadsheet.
        is_whole: whether all of them are whole.
        time_name: of the column of the query that has them as times.
    """

    name: str
    per_second: int
    is_whole: bool
    time_name: str

    def time(self, connection: Connection, table: WatchedTable) -> str | None:
        """Return SQL for the time; None if this is unknown."""
        number = quoted(connection, self.name)
        if self.per_second:
            return table.dialect.time_of_epoch(number, self.per_second, is_whole=self.is_whole)
        seconds = f"round(({number} - {_SHEET_EPOCH}) * 86400)"
        return table.dialect.time_of_epoch(seconds, 1, is_whole=True)


def query_of_times(connection: Connection, sample: Sample) -> SourceQuery | None:
    """Return a query that has the numbers since 1970 of a table as times; None if there are none."""
    table, columns = sample.table, tuple(_epoch_columns(sample))
    if not columns or not isinstance(table.records, TableClause):
        return None
    times = [column.time(connection, table) for column in columns]
    named = [f"{sql} AS {quoted(connection, c.time_name)}" for sql, c in zip(times, columns, strict=True) if sql]
    if len(named) < len(columns):
        return None
    numbers = "numbers since 1970" if all(c.per_second for c in columns) else "days as spreadsheets count them"
    sql = f"SELECT *, {', '.join(named)} FROM {place_of(connection, table.records)}"
    return SourceQuery(
        sql,
        replace(described_query(connection, sql, table), key=table.key, indexes=table.indexes),
        f"The query has {numbers} as times.",
        {column.time_name: column.name for column in columns},
        {column.name: f"a time as a number: {column.time_name} of the query has it" for column in columns},
    )


def _epoch_columns(sample: Sample) -> Iterator[EpochColumn]:
    for column in sample.columns():
        if column.family in _NUMBERS and _NAME.search(column.name) and sample.is_read(column.name):
            per_second = _units_per_second(sample, column.name)
            time_name = f"{column.name}_utc"
            if per_second is not None and time_name not in sample.table.columns:
                is_whole = bool((pd.to_numeric(sample.present(column.name)) % 1 == 0).all())
                yield EpochColumn(column.name, per_second, is_whole, time_name)


def _units_per_second(sample: Sample, name: str) -> int | None:
    """Return the units in a second by which all numbers of a column lie in this century; None if there are none."""
    present = sample.present(name)
    if present.empty or not all(map(is_number, present)):
        return None
    numbers = pd.to_numeric(present)
    units = (unit for unit in _PER_SECOND if _FIRST * unit <= numbers.min() and numbers.max() < _LAST * unit)
    return next(units, 0 if _are_days_of_sheet(numbers) else None)


def _are_days_of_sheet(numbers: "pd.Series[float]") -> bool:
    """Return whether numbers are days since 1899, as spreadsheets count them, of this century and in order."""
    first, last = (seconds / 86_400 + _SHEET_EPOCH for seconds in (_FIRST, _LAST))
    steps = numbers.diff().dropna()
    is_in_order = len(steps) > 0 and float((steps >= 0).mean()) >= _MIN_RISING_SHARE and numbers.nunique() > 1
    return is_in_order and bool(first <= numbers.min() and numbers.max() < last)
