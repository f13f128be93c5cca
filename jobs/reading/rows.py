"""Records as the rows of a watched table: which are read, in SQL."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

import pandas as pd
from sqlalchemy import (
    ColumnElement,
    Double,
    FromClause,
    Numeric,
    Select,
    Text,
    TextClause,
    and_,
    cast,
    func,
    literal_column,
    select,
    true,
)

from jobs.reading.checksums import numbers
from jobs.reading.history import Past
from jobs.reading.records import keys_of, typed
from jobs.reading.table import WatchedTable, raw_sql
from schemas.config import MonitorConfig
from schemas.keys import Key, KeyRange

Condition: TypeAlias = ColumnElement[bool] | TextClause
_KEYS_AT_ONCE = 100


@dataclass(frozen=True)
class Rows:
    """Reads the records of a table, each a row of it.

    Attributes:
        name: the monitor's.
        monitor: what it watches.
        watched: the table.
        fetch: the rows of a select, in the driver's types.
    """

    name: str
    monitor: MonitorConfig
    watched: WatchedTable
    fetch: Callable[[Select[Any]], pd.DataFrame]

    def read(self, key_range: KeyRange, *, with_label: bool) -> pd.DataFrame:
        """The records of a key range, in key order."""
        wanted = self._select(with_label=with_label).where(self.watched.within(key_range))
        return self._frame(wanted.order_by(*self.watched.order()))

    def pages(self, after: Key | None, upto: Key | None, *, with_label: bool) -> Iterator[pd.DataFrame]:
        """The records past a key in frames of at most `batch_size`, in key order."""
        watched, size = self.watched, self.monitor.batch_size
        statement = self._select(with_label=with_label).order_by(*watched.order()).limit(size)
        while True:
            condition = watched.after(after) if upto is None else watched.within(KeyRange(after, upto))
            page = self._frame(statement.where(condition))
            if len(page):
                yield page
                after = keys_of(page.tail(1), self.monitor.key)[0]
            if len(page) < size or after == upto:
                return

    def among(self, keys: Sequence[Key]) -> pd.DataFrame:
        """The records that have one of these keys, in key order within each hundred."""
        statement = self._select(with_label=False).order_by(*self.watched.order())
        return joined([self._frame(statement.where(self.watched.among(some))) for some in hundreds(keys)])

    def newest(self, limit: int, after: Key | None = None) -> pd.DataFrame:
        """The newest `limit` records past a key, in key order."""
        return self._newest(limit, true(), after, with_label=False)

    def newest_normal(self, limit: int, after: Key | None = None, *, with_label: bool = False) -> pd.DataFrame:
        """The newest `limit` of them that may be trained on."""
        return self._newest(limit, is_normal(self.monitor), after, with_label=with_label)

    def newest_anomalies(self, limit: int) -> pd.DataFrame:
        """The newest `limit` records that the label calls anomalies, in key order."""
        return self._newest(limit, is_labelled(self.watched, self.monitor), None, with_label=False)

    def past(self, key: Key, moments: int) -> pd.DataFrame:
        """The past of the record with a key, in order of time: the last record of each of the newest moments."""
        past, time = self._past(key), str(self.monitor.time)
        statement = past.select.where(past.time < past.time_of(key)).order_by(*past.order(newest_first=True))
        kept, page = None, self._frame(statement.limit(moments))
        while True:
            kept = page if kept is None else joined([kept, page])
            kept = kept[~kept[time].duplicated()]
            if len(page) < moments or len(kept) >= moments:
                return kept.head(moments).iloc[::-1]
            oldest = keys_of(page.tail(1), self.monitor.key)[0]
            page = self._frame(statement.where(past.time < past.time_of(oldest)).limit(moments))

    def between(self, first: Key, last: Key, limit: int) -> pd.DataFrame | None:
        """What lies in time between two records of an entity, and came before both; None where more than the limit."""
        past = self._past(first)
        is_between = and_(past.time > past.time_of(first), past.time < past.time_of(last))
        found = self._frame(past.select.where(is_between).order_by(*past.order()).limit(limit + 1))
        return None if len(found) > limit else found

    def is_one_past(self, keys: Sequence[Key], since: datetime | None) -> bool:  # noqa: ARG002 - as `Cells` has it
        """Whether what is past for one of several records of an entity is the same for those after it: a row is."""
        return True

    def tally(self, key_range: KeyRange) -> Select[*tuple[Any, ...]]:
        """Selects the number of records in a key range, and sums that change as they do."""
        sums = [func.sum(number) for number in numbers(self.watched, checked_columns(self.monitor))]
        return select(func.count(), *sums).select_from(self.watched.records).where(self.watched.within(key_range))

    def waits(self, page: FromClause, settled_before: datetime) -> ColumnElement[bool]:
        """The condition for rows of a page that are too young to be read."""
        return self.watched.is_later(page.c[str(self.monitor.time)], settled_before)

    def _select(self, *, with_label: bool) -> Select[Any]:
        return select(*expressions(self.watched, self.monitor, with_label=with_label))

    def _frame(self, statement: Select[Any]) -> pd.DataFrame:
        return typed(self.fetch(statement), self.name, self.monitor)

    def _past(self, key: Key) -> Past:
        return Past.of(self.watched, self.monitor, key, self._select(with_label=False))

    def _newest(self, limit: int, condition: Condition, after: Key | None, *, with_label: bool) -> pd.DataFrame:
        watched = self.watched
        statement = self._select(with_label=with_label).order_by(*watched.order(newest_first=True))
        pages: list[pd.DataFrame] = []
        found, older, newer = 0, watched.after(None), watched.after(after)
        while found < limit:
            size = min(self.monitor.batch_size, limit - found)
            page = self._frame(statement.where(condition, older, newer).limit(size))
            pages.append(page.iloc[::-1])
            found += len(page)
            if len(page) < size:
                break
            older = watched.before(keys_of(page.tail(1), self.monitor.key)[0])
        return joined(pages[::-1])


def is_normal(monitor: MonitorConfig) -> Condition:
    """The condition for rows that may be trained on."""
    return true() if monitor.normal is None else raw_sql(f"({monitor.normal}\n)")


def is_labelled(watched: WatchedTable, monitor: MonitorConfig) -> ColumnElement[bool]:
    """The condition for rows that the label calls anomalies."""
    label = watched.records.c[str(monitor.label)]
    family = watched.columns[str(monitor.label)].family
    if watched.dialect == "sqlite" or family == "text":  # there, a column may hold numbers as texts
        return cast(label, Numeric()) != 0
    if family == "boolean":
        return label
    is_number = label != literal_column("'NaN'") if family in {"float", "decimal"} else true()
    return and_(label != 0, is_number)


def checked_columns(monitor: MonitorConfig) -> tuple[str, ...]:
    """The columns by which a change of a batch is noticed."""
    return (*monitor.key, *([monitor.updated] if monitor.updated else []))


def hundreds(keys: Sequence[Key]) -> list[Sequence[Key]]:
    """Keys in portions that a statement can name; one empty portion where there are none."""
    return [keys[i : i + _KEYS_AT_ONCE] for i in range(0, max(len(keys), 1), _KEYS_AT_ONCE)]


def expressions(watched: WatchedTable, monitor: MonitorConfig, *, with_label: bool) -> list[ColumnElement[Any]]:
    """The columns of a record: key, time, entity, features, and on demand the label."""
    names = (*monitor.key, monitor.time, monitor.entity, *monitor.features.names, monitor.label if with_label else None)
    return [_expression(watched, monitor, name) for name in dict.fromkeys(names) if name is not None]


def joined(pages: list[pd.DataFrame]) -> pd.DataFrame:
    """One frame of several; a column of integers stays one where a page of it is all missing."""
    frame = pd.concat(pages, ignore_index=pages[0].index.nlevels == 1 and pages[0].index.names == [None])
    nullable = [name for name in frame if frame[name].dtype == "Float64"]
    return frame.astype(dict.fromkeys(nullable, "float64"))


def _expression(watched: WatchedTable, monitor: MonitorConfig, name: str) -> ColumnElement[Any]:
    """A column to read; PostgreSQL casts those whose binary form Arrow has no type for."""
    column, family = watched.records.c[name], watched.columns[name].family
    if watched.dialect != "postgresql" or name in monitor.key:
        return column
    if name in monitor.features.holding("number", "truth") and family == "decimal":
        return cast(cast(column, Numeric()), Double()).label(name)  # money casts to numeric alone
    if name in {monitor.entity, *monitor.features.holding("text")} and family != "text":
        return cast(column, Text()).label(name)
    return column
