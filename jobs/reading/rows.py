"""Records that are the rows of a watched table."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

import pandas as pd
from sqlalchemy import (
    ColumnElement,
    FromClause,
    Numeric,
    Select,
    TextClause,
    and_,
    cast,
    func,
    literal_column,
    select,
    true,
)

from jobs.reading.checksums import checksums
from jobs.reading.past import Past
from jobs.reading.table import WatchedTable, raw_sql
from jobs.reading.typed_columns import keys_of, typed
from schemas.config import MonitorConfig
from schemas.keys import Key, KeyRange

Condition: TypeAlias = ColumnElement[bool] | TextClause
_KEYS_PER_STATEMENT = 100


@dataclass(frozen=True)
class Rows:
    """Reads the records of a table, each a row.

    Attributes:
        name: The monitor's.
        monitor: Its configuration.
        table: The watched table.
        fetch: Returns the rows of a select, in the driver's types.
    """

    name: str
    monitor: MonitorConfig
    table: WatchedTable
    fetch: Callable[[Select[Any]], pd.DataFrame]

    def read(self, key_range: KeyRange, *, with_label: bool) -> pd.DataFrame:
        """Return the records of a key range, in key order."""
        statement = self._select(with_label=with_label).where(self.table.within(key_range))
        return self._frame(statement.order_by(*self.table.order()))

    def pages(self, after: Key | None, upto: Key | None, *, with_label: bool) -> Iterator[pd.DataFrame]:
        """Yield the records past a key in frames of at most `batch_size`, in key order."""
        table, size = self.table, self.monitor.batch_size
        statement = self._select(with_label=with_label).order_by(*table.order()).limit(size)
        while True:
            condition = table.after(after) if upto is None else table.within(KeyRange(after, upto))
            page = self._frame(statement.where(condition))
            if len(page):
                yield page
                after = keys_of(page.tail(1), self.monitor.key)[0]
            if len(page) < size or after == upto:
                return

    def among(self, keys: Sequence[Key]) -> pd.DataFrame:
        """Return the records that have one of the keys, in key order within each hundred."""
        statement = self._select(with_label=False).order_by(*self.table.order())
        return concatenated([self._frame(statement.where(self.table.among(portion))) for portion in hundreds(keys)])

    def newest(self, limit: int, after: Key | None = None) -> pd.DataFrame:
        """Return the newest `limit` records past a key, in key order."""
        return self._newest(limit, true(), after, with_label=False)

    def newest_normal(self, limit: int, after: Key | None = None, *, with_label: bool = False) -> pd.DataFrame:
        """Return the newest `limit` records past a key that may be trained on, in key order."""
        return self._newest(limit, is_normal(self.monitor), after, with_label=with_label)

    def newest_anomalies(self, limit: int) -> pd.DataFrame:
        """Return the newest `limit` records that the label marks as anomalies, in key order."""
        return self._newest(limit, is_labelled(self.table, self.monitor), None, with_label=False)

    def past(self, key: Key, moments: int) -> pd.DataFrame:
        """Return the last record of each of the newest moments in the past of a key, in order of time."""
        past, time = self._past(key), str(self.monitor.time)
        statement = past.select.where(past.time < past.time_of(key)).order_by(*past.order(newest_first=True))
        kept, page = None, self._frame(statement.limit(moments))
        while True:
            kept = page if kept is None else concatenated([kept, page])
            kept = kept[~kept[time].duplicated()]
            if len(page) < moments or len(kept) >= moments:
                return kept.head(moments).iloc[::-1]
            oldest = keys_of(page.tail(1), self.monitor.key)[0]
            page = self._frame(statement.where(past.time < past.time_of(oldest)).limit(moments))

    def between(self, first: Key, last: Key, limit: int) -> pd.DataFrame | None:
        """Return the past of two records of an entity that lies between them; None if it exceeds the limit."""
        past = self._past(first)
        is_between = and_(past.time > past.time_of(first), past.time < past.time_of(last))
        records = self._frame(past.select.where(is_between).order_by(*past.order()).limit(limit + 1))
        return None if len(records) > limit else records

    def is_one_past(self, keys: Sequence[Key], since: datetime | None) -> bool:  # noqa: ARG002 - as `Cells` has it
        """Return True: a row that is past for a record is past for every later one."""
        return True

    def fingerprint(self, key_range: KeyRange) -> Select[*tuple[Any, ...]]:
        """Return a select of the number of records in a key range and of their checksums."""
        sums = [func.sum(number) for number in checksums(self.table, self.monitor)]
        return select(func.count(), *sums).select_from(self.table.records).where(self.table.within(key_range))

    def waits(self, page: FromClause, settled_before: datetime) -> ColumnElement[bool]:
        """Return the condition for rows of a page that are too young to be read."""
        return self.table.is_later(page.c[str(self.monitor.time)], settled_before)

    def _select(self, *, with_label: bool) -> Select[Any]:
        return select(*expressions(self.table, self.monitor, with_label=with_label))

    def _frame(self, statement: Select[Any]) -> pd.DataFrame:
        return typed(self.fetch(statement), self.name, self.monitor)

    def _past(self, key: Key) -> Past:
        return Past.of(self.table, self.monitor, key, self._select(with_label=False))

    def _newest(self, limit: int, condition: Condition, after: Key | None, *, with_label: bool) -> pd.DataFrame:
        table = self.table
        statement = self._select(with_label=with_label).order_by(*table.order(newest_first=True))
        pages: list[pd.DataFrame] = []
        count, older, newer = 0, table.after(None), table.after(after)
        while count < limit:
            size = min(self.monitor.batch_size, limit - count)
            page = self._frame(statement.where(condition, older, newer).limit(size))
            pages.append(page.iloc[::-1])
            count += len(page)
            if len(page) < size:
                break
            older = table.before(keys_of(page.tail(1), self.monitor.key)[0])
        return concatenated(pages[::-1])


def is_normal(monitor: MonitorConfig) -> Condition:
    """Return the condition for rows that may be trained on."""
    return true() if monitor.normal is None else raw_sql(f"({monitor.normal}\n)")


def is_labelled(table: WatchedTable, monitor: MonitorConfig) -> ColumnElement[bool]:
    """Return the condition for rows that the label marks as anomalies."""
    label = table.records.c[str(monitor.label)]
    family = table.columns[str(monitor.label)].family
    if table.dialect.has_dynamic_types or family == "text":
        return cast(label, Numeric()) != 0
    if family == "boolean":
        return label
    is_number = label != literal_column("'NaN'") if family in {"float", "decimal"} else true()
    return and_(label != 0, is_number)


def hundreds(keys: Sequence[Key]) -> list[Sequence[Key]]:
    """Return keys in portions that a statement can name; one empty portion if there are no keys."""
    return [keys[i : i + _KEYS_PER_STATEMENT] for i in range(0, max(len(keys), 1), _KEYS_PER_STATEMENT)]


def expressions(table: WatchedTable, monitor: MonitorConfig, *, with_label: bool) -> list[ColumnElement[Any]]:
    """Return the columns of a record: key, time, entity, features, and on demand the label."""
    names = (*monitor.key, monitor.time, monitor.entity, *monitor.features.names, monitor.label if with_label else None)
    return [_expression(table, monitor, name) for name in dict.fromkeys(names) if name is not None]


def concatenated(pages: list[pd.DataFrame]) -> pd.DataFrame:
    """Concatenate frames; a column of integers stays one if it is all missing in a frame."""
    frame = pd.concat(pages, ignore_index=pages[0].index.nlevels == 1 and pages[0].index.names == [None])
    nullable = [name for name in frame if frame[name].dtype == "Float64"]
    return frame.astype(dict.fromkeys(nullable, "float64"))


def _expression(table: WatchedTable, monitor: MonitorConfig, name: str) -> ColumnElement[Any]:
    """Return a column in a type that the dialect's reader supports; keys stay exact."""
    column, family = table.records.c[name], table.columns[name].family
    if name in monitor.key:
        return column
    if name == monitor.label or name in monitor.features.holding("number", "truth"):
        return table.dialect.number_to_read(column, family)
    if name in {monitor.entity, *monitor.features.holding("text")}:
        return table.dialect.text_to_read(column, family)
    return column
