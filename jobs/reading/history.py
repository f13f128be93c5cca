"""Which records of a watched table are past for one of them, in SQL.

Times and entities are compared as the database holds them, by the key of a record that has them: no value takes a
detour through Python, so an index on (entity, time) serves, whatever types these columns have.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, ScalarSelect, Select, select

from jobs.reading.table import WatchedTable
from jobs.reading.valid_times import counts
from schemas.config import MonitorConfig
from schemas.keys import Key


@dataclass(frozen=True)
class Past:
    """What came before a record, of its entity.

    Attributes:
        watched: the table.
        time: its column of times.
        select: the records of the same entity with a time and a smaller key.
    """

    watched: WatchedTable
    time: ColumnElement[Any]
    select: Select[Any]

    @classmethod
    def of(cls, watched: WatchedTable, monitor: MonitorConfig, key: Key, records: Select[Any]) -> "Past":
        """The past of the record with a key, among the records of a select."""
        time = watched.records.c[str(monitor.time)]
        past = records.where(watched.before(key), counts(time, watched.dialect))
        if monitor.entity is not None:
            entity = watched.records.c[monitor.entity]
            past = past.where(entity == _value_of(entity, watched, key))
        return cls(watched, time, past)

    def time_of(self, key: Key) -> ScalarSelect[Any]:
        """The time of the record with a key."""
        return _value_of(self.time, self.watched, key)

    def order(self, *, newest_first: bool = False) -> list[ColumnElement[Any]]:
        """By time and then by key."""
        time = self.time.desc() if newest_first else self.time
        return [time, *self.watched.order(newest_first=newest_first)]


def _value_of(column: ColumnElement[Any], watched: WatchedTable, key: Key) -> ScalarSelect[Any]:
    """A column of the record with a key; not of the records that it is compared with."""
    return select(column).where(watched.among([key])).correlate(None).scalar_subquery()
