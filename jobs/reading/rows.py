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
from jobs.reading.joint_pasts import JointPasts
from jobs.reading.past import Past
from jobs.reading.table import WatchedTable, raw_sql
from jobs.reading.tolerant import LeftOut, ReadRows, TolerantReader
from jobs.reading.typed_columns import keys_of
from jobs.reading.windows import Window
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

    def read(self, key_range: KeyRange, *, with_label: bool, left_out: LeftOut = None) -> pd.DataFrame:
        """Return the records of a key range, in key order."""
        statement = self._select(with_label=with_label).where(self.table.within(key_range))
        return self._frame(statement.order_by(*self.table.order()), left_out)

    def pages(
        self, after: Key | None, upto: Key | None, *, with_label: bool, left_out: LeftOut = None
    ) -> Iterator[pd.DataFrame]:
        """Yield the records past a key in frames of at most `batch_size`, in key order."""
        table, size = self.table, self.monitor.batch_size
        statement = self._select(with_label=with_label).order_by(*table.order()).limit(size)
        while True:
            condition = table.after(after) if upto is None else table.within(KeyRange(after, upto))
            page = self._read(statement.where(condition), left_out)
            records, after, is_last = page.records, page.last or after, page.count < size
            del page  # frees the rows in the driver's types
            if len(records):
                yield records
            if is_last or after == upto:
                return

    def among(self, keys: Sequence[Key], left_out: LeftOut = None) -> pd.DataFrame:
        """Return the records that have one of the keys, in key order within each hundred."""
        statement = self._select(with_label=False).order_by(*self.table.order())
        portions = hundreds(keys)
        return concatenated([self._frame(statement.where(self.table.among(keys)), left_out) for keys in portions])

    def newest(self, limit: int, after: Key | None = None, left_out: LeftOut = None) -> pd.DataFrame:
        """Return the newest `limit` records past a key, in key order."""
        return self._newest(limit, true(), after, left_out=left_out)

    def window(self, window: Window, limit: int, *, with_label: bool = False) -> pd.DataFrame:
        """Return at most `limit` readable records of a window, in key order."""
        if self.monitor.time is None or not window.is_by_time:
            condition = and_(true(), *window.conditions(self.table, self.monitor))
            newest = self._newest(limit, condition, None, with_label=with_label, left_out=[])
            return window.cut(newest, self.monitor)
        time, newest_first = self.table.records.c[self.monitor.time], not window.from_start
        order = [time.desc() if newest_first else time, *self.table.order(newest_first=newest_first)]
        statement = self._select(with_label=with_label).where(*window.conditions(self.table, self.monitor))
        return in_key_order(
            window.cut(self._frame(statement.order_by(*order).limit(limit), []), self.monitor), self.monitor
        )

    def newest_normal(
        self, limit: int, after: Key | None = None, *, with_label: bool = False, left_out: LeftOut = None
    ) -> pd.DataFrame:
        """Return the newest `limit` records past a key that may be trained on, in key order."""
        return self._newest(limit, is_normal(self.monitor), after, with_label=with_label, left_out=left_out)

    def newest_anomalies(self, limit: int, left_out: LeftOut = None) -> pd.DataFrame:
        """Return the newest `limit` records that the label marks as anomalies, in key order."""
        return self._newest(limit, is_labelled(self.table, self.monitor), None, left_out=left_out)

    def past(self, key: Key, moments: int) -> pd.DataFrame:
        """Return the last record of each of the newest moments in the past of a key, in order of time.

        Records that cannot be read are no past.
        """
        past, time = self._past(key), str(self.monitor.time)
        statement = past.select.where(past.time < past.time_of(key)).order_by(*past.order(newest_first=True))
        kept, page = None, self._read(statement.limit(moments), [])
        while True:
            kept = page.records if kept is None else concatenated([kept, page.records])
            kept = kept[~kept[time].duplicated()]
            if page.count < moments or page.last is None or len(kept) >= moments:
                return kept.head(moments).iloc[::-1]
            page = self._read(statement.where(past.time < past.time_of(page.last)).limit(moments), [])

    def joint_pasts(self) -> JointPasts:
        """Return a reader of the pasts of several records at once."""
        return JointPasts(self.name, self.monitor, self.table, self.fetch, self._select(with_label=False))

    def between(self, first: Key, last: Key, limit: int) -> pd.DataFrame | None:
        """Return the past of two records of an entity that lies between them; None if it exceeds the limit."""
        past = self._past(first)
        is_between = and_(past.time > past.time_of(first), past.time < past.time_of(last))
        page = self._read(past.select.where(is_between).order_by(*past.order()).limit(limit + 1), [])
        return None if page.count > limit else page.records

    def is_one_past(self, keys: Sequence[Key], since: datetime | None, *, is_page: bool = True) -> bool:  # noqa: ARG002 - as `Cells` has it
        """Return whether a row that is past for a record is past for every later one, as on a page it is.

        Among other records it is if the entity has no other row with a key between the first and the last.
        """
        if is_page:
            return True
        rows = select(func.count()).select_from(self.table.records).where(self.table.after(keys[0]))
        count = self.fetch(Past.of(self.table, self.monitor, keys[-1], rows).select).to_numpy()
        return int(count[0, 0]) == len(keys) - 2

    def fingerprint(self, key_range: KeyRange) -> Select[*tuple[Any, ...]]:
        """Return a select of the number of records in a key range and of their checksums."""
        sums = [func.sum(number) for number in checksums(self.table, self.monitor)]
        return select(func.count(), *sums).select_from(self.table.records).where(self.table.within(key_range))

    def waits(self, page: FromClause, settled_before: datetime) -> ColumnElement[bool]:
        """Return the condition for rows of a page that are too young to be read."""
        return self.table.is_later(page.c[str(self.monitor.time)], settled_before)

    def _select(self, *, with_label: bool) -> Select[Any]:
        return select(*expressions(self.table, self.monitor, with_label=with_label))

    def _read(self, statement: Select[Any], left_out: LeftOut) -> ReadRows:
        return TolerantReader(self.name, self.monitor, self.table, self.fetch).read(statement, left_out)

    def _frame(self, statement: Select[Any], left_out: LeftOut) -> pd.DataFrame:
        return self._read(statement, left_out).records

    def _past(self, key: Key) -> Past:
        return Past.of(self.table, self.monitor, key, self._select(with_label=False))

    def _newest(
        self,
        limit: int,
        condition: Condition,
        after: Key | None,
        *,
        with_label: bool = False,
        left_out: LeftOut = None,
    ) -> pd.DataFrame:
        table = self.table
        statement = self._select(with_label=with_label).order_by(*table.order(newest_first=True))
        pages: list[pd.DataFrame] = []
        count, older, newer = 0, table.after(None), table.after(after)
        while count < limit:
            size = min(self.monitor.batch_size, limit - count)
            page = self._read(statement.where(condition, older, newer).limit(size), left_out)
            pages.append(page.records.iloc[::-1])
            count += page.count
            if page.count < size or page.last is None:
                break
            older = table.before(page.last)
        return concatenated(pages[::-1])


def in_key_order(records: pd.DataFrame, monitor: MonitorConfig) -> pd.DataFrame:
    """Return records in the order of their keys."""
    keys = keys_of(records, monitor.key)
    return records.iloc[sorted(range(len(keys)), key=keys.__getitem__)]


def is_normal(monitor: MonitorConfig) -> Condition:
    """Return the condition for rows that may be trained on."""
    return true() if monitor.normal is None else raw_sql(f"({monitor.normal}\n)")


def is_labelled(table: WatchedTable, monitor: MonitorConfig) -> ColumnElement[bool]:
    """Return the condition for rows that the label marks as anomalies."""
    label: ColumnElement[Any] = table.records.c[str(monitor.label)]
    family = table.columns[str(monitor.label)].family
    if table.dialect.has_dynamic_types or family == "text":
        return cast(label, Numeric()) != 0
    if family == "boolean":
        return label
    if family == "decimal":  # money compares with no number
        label = cast(label, Numeric())
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
    frame = pd.concat(pages, ignore_index=not isinstance(pages[0].index, pd.MultiIndex))
    nullable = [name for name in frame if frame[name].dtype == "Float64"]
    return frame.astype(dict.fromkeys(nullable, "float64"))


def _expression(table: WatchedTable, monitor: MonitorConfig, name: str) -> ColumnElement[Any]:
    """Return a column in a type that the dialect's reader supports; keys stay exact."""
    column, family = table.records.c[name], table.columns[name].family
    if name in monitor.key:
        return column
    if name in {monitor.label, *monitor.features.holding("number", "truth")}:
        return table.dialect.number_to_read(column, family)
    if name in monitor.features.holding("text"):
        return table.dialect.category_to_read(column, family)
    if name == monitor.entity:
        return table.dialect.text_to_read(column, family)
    return column
