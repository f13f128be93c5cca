"""A grid of cells over time, in SQL.

A cell is identified by its start, in whole seconds since 1970. Times of rows are compared with bounds of the kind that
their column holds, so an index on (entity, time) serves.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, FromClause, and_, case, not_, true

from jobs.dialects import Dialect, EpochTimes
from jobs.reading.table import WatchedTable
from schemas.errors import SourceError


@dataclass(frozen=True)
class Grid:
    """A grid over the column of times of a watched table.

    Attributes:
        step: Seconds of a cell.
        time: The column's name.
        times: The column's times as seconds.
        dialect: The database's.
    """

    step: int
    time: str
    times: EpochTimes
    dialect: Dialect

    @classmethod
    def of(cls, connection: Connection, table: WatchedTable, time: str, step: timedelta) -> "Grid":
        """Return the grid over a table; texts are taken to be written as the first of them.

        Raises:
            SourceError: If the database, or the type of the column, has no grid.
        """
        times = table.dialect.epoch_times(connection, table.records, time, table.columns[time].family)
        if times is None:
            raise SourceError(_no_grid(table, time))
        return cls(int(step.total_seconds()), time, times, table.dialect)

    def start(self, records: FromClause) -> ColumnElement[int]:
        """Return the start of the cell of each row; null if a row has no time."""
        return case((self.has_time(records), self.times.cell_start(records.c[self.time], self.step)))

    def has_time(self, records: FromClause) -> ColumnElement[bool]:
        """Return the condition that a row has a valid time."""
        return self.dialect.is_valid_time(records.c[self.time])

    def is_from(self, records: FromClause, start: Any) -> ColumnElement[bool]:
        """Return the condition that the time of a row is the start of a cell, or later."""
        return records.c[self.time] >= self.times.moment(start)

    def is_before(self, records: FromClause, start: Any) -> ColumnElement[bool]:
        """Return the condition that the time of a row is before the start of a cell."""
        return records.c[self.time] < self.times.moment(start)

    def is_in(self, records: FromClause, start: Any) -> ColumnElement[bool]:
        """Return the condition that a row is in the cell with that start."""
        return and_(self.is_from(records, start), self.is_before(records, start + self.step))

    def is_readable(self, records: FromClause) -> ColumnElement[bool]:
        """Return the condition for rows whose time has a cell, or that have no time."""
        is_unreadable = self.is_unreadable(records)
        return true() if is_unreadable is None else not_(is_unreadable)

    def is_unreadable(self, records: FromClause) -> ColumnElement[bool] | None:
        """Return the condition for rows whose time has no cell; None if every time has one."""
        return self.times.is_unreadable(records.c[self.time])

    def start_at(self, moment: datetime) -> int:
        """Return the start of the cell that holds a moment."""
        return int(moment.timestamp() // self.step) * self.step


def _no_grid(table: WatchedTable, time: str) -> str:
    if not table.dialect.has_grid_of_time:
        return f"`resample` does not work with {table.dialect.title}. Remove it from config.toml."
    return (
        f"Column {time!r} is of type {table.columns[time].type.lower()}; `resample` needs a timestamp. "
        "Convert it in a query, or remove `resample` from config.toml."
    )
