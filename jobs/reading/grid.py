"""A grid of cells over time, in the SQL of the databases that have one.

A cell is known by its start, in whole seconds since 1970. Times of rows are compared with bounds of the kind that their
column holds, so an index on (entity, time) serves.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    FromClause,
    Integer,
    and_,
    case,
    cast,
    extract,
    func,
    or_,
    select,
)

from jobs.reading.table import WatchedTable
from jobs.reading.valid_times import counts
from schemas.errors import SourceError

_SECONDS_LENGTH = len("2026-03-01 12:30:00")
_ZONES = ("Z", "+00:00")


@dataclass(frozen=True)
class Grid:
    """A grid over the column of times of a watched table.

    Attributes:
        step: seconds of a cell.
        time: the column's name.
        is_text: whether it holds texts, as in SQLite.
        is_zoned: whether it holds instants; else UTC.
        separator: between date and time in texts.
    """

    step: int
    time: str
    is_text: bool = False
    is_zoned: bool = False
    separator: str = " "

    @classmethod
    def of(cls, connection: Connection, watched: WatchedTable, time: str, step: timedelta) -> "Grid":
        """The grid over a table, whose first time says what its texts look like.

        Raises:
            SourceError: where the database, or the type of the column, has no grid.
        """
        seconds, family = int(step.total_seconds()), watched.columns[time].family
        if watched.dialect == "postgresql" and family in {"instant", "timestamp"}:
            return cls(seconds, time, is_zoned=family == "instant")
        if watched.dialect == "sqlite":
            column = watched.records.c[time]
            first = connection.scalar(select(func.substr(column, 11, 1)).where(column.is_not(None)).limit(1))
            return cls(seconds, time, is_text=True, separator="T" if first == "T" else " ")
        raise SourceError(_no_grid(watched, time))

    def start(self, records: FromClause) -> ColumnElement[int]:
        """The start of the cell of each row; null where a row has no time."""
        time = records.c[self.time]
        if self.is_text:
            seconds = cast(func.strftime("%s", func.substr(time, 1, _SECONDS_LENGTH)), Integer)
            cells = seconds - (seconds % self.step + self.step) % self.step  # a remainder there may be negative
        else:
            cells = cast(func.floor(extract("epoch", time).op("/")(self.step)), BigInteger) * self.step
        return case((self.has_time(records), cells))

    def has_time(self, records: FromClause) -> ColumnElement[bool]:
        """The condition that the time of a row counts."""
        return counts(records.c[self.time], "sqlite" if self.is_text else "postgresql")

    def is_from(self, records: FromClause, start: Any) -> ColumnElement[bool]:
        """The condition that the time of a row is that of the start of a cell, or later."""
        return records.c[self.time] >= self._moment(start)

    def is_before(self, records: FromClause, start: Any) -> ColumnElement[bool]:
        """The condition that the time of a row is before the start of a cell."""
        return records.c[self.time] < self._moment(start)

    def is_in(self, records: FromClause, start: Any) -> ColumnElement[bool]:
        """The condition that a row is in the cell that starts then."""
        return and_(self.is_from(records, start), self.is_before(records, start + self.step))

    def is_unfit(self, records: FromClause) -> ColumnElement[bool] | None:
        """The condition for rows whose time cannot be placed; None where every time can."""
        if not self.is_text:
            return None
        time = records.c[self.time]
        seconds = func.substr(time, 1, _SECONDS_LENGTH)
        rest = func.substr(time, _SECONDS_LENGTH + 1)
        for zone in _ZONES:
            rest = func.replace(rest, zone, "")
        # Without a modifier some versions give a day that does not exist back as it came.
        is_other = func.strftime(self._form, seconds, "+0 days").is_distinct_from(seconds)
        return and_(time.is_not(None), or_(is_other, rest.op("GLOB")("*[^0-9.]*")))

    def start_at(self, moment: datetime) -> int:
        """The start of the cell that a moment is in."""
        return int(moment.timestamp() // self.step) * self.step

    @property
    def _form(self) -> str:
        """Of texts, as far as whole seconds."""
        return f"%Y-%m-%d{self.separator}%H:%M:%S"

    def _moment(self, start: Any) -> ColumnElement[Any]:
        """The start of a cell as the column would hold it."""
        if self.is_text:
            return func.strftime(self._form, start, "unixepoch")
        instant = func.to_timestamp(start)
        return instant if self.is_zoned else func.timezone("UTC", instant)


def _no_grid(watched: WatchedTable, time: str) -> str:
    if watched.dialect != "postgresql":
        return f"`resample` works in PostgreSQL and SQLite, not in {watched.dialect}. Remove it from config.toml."
    return (
        f"Column {time!r} is of type {watched.columns[time].type.lower()}; `resample` needs a timestamp. "
        "Convert it in a query, or remove `resample` from config.toml."
    )
