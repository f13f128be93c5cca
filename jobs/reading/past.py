"""The past of a record in a watched table, in SQL.

Times and entities are compared as the database holds them, with those of the record that has a key: no value passes
through Python, so an index on (entity, time) serves, whatever types these columns have.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, ScalarSelect, Select, select

from jobs.reading.table import WatchedTable
from schemas.config import MonitorConfig
from schemas.keys import Key


@dataclass(frozen=True)
class Past:
    """The records of an entity that came before one of its records.

    Attributes:
        table: The watched table.
        time: Its column of times.
        select: The records of the same entity with a valid time and a smaller key.
    """

    table: WatchedTable
    time: ColumnElement[Any]
    select: Select[Any]

    @classmethod
    def of(cls, table: WatchedTable, monitor: MonitorConfig, key: Key, records: Select[Any]) -> "Past":
        """Return the past of the record with a key, among the records of a select."""
        time = table.records.c[str(monitor.time)]
        past = records.where(table.before(key), table.dialect.is_valid_time(time))
        if monitor.entity is not None:
            entity = table.records.c[monitor.entity]
            past = past.where(_is_same(entity, _value_at(key, entity, table), table))
        return cls(table, time, past)

    def time_of(self, key: Key) -> ScalarSelect[Any]:
        """Return the time of the record with a key."""
        return _value_at(key, self.time, self.table)

    def order(self, *, newest_first: bool = False) -> list[ColumnElement[Any]]:
        """Return an ORDER BY time and key."""
        time = self.time.desc() if newest_first else self.time
        return [time, *self.table.order(newest_first=newest_first)]


def _is_same(column: ColumnElement[Any], value: ColumnElement[Any], table: WatchedTable) -> ColumnElement[bool]:
    is_text = table.columns[column.key or ""].family == "text"
    return table.dialect.is_same_text(column, value) if is_text else column == value


def _value_at(key: Key, column: ColumnElement[Any], table: WatchedTable) -> ScalarSelect[Any]:
    """Return a column of the record with a key, as a subquery of its own."""
    return select(column).where(table.among([key])).correlate(None).scalar_subquery()
