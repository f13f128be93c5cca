"""Records as the cells of a grid over a watched table: which rows make them, in SQL.

The rows of an entity in a cell make one record. Its key is the largest of theirs, so a row that comes late into a cell
moves the record past all that were there, and the batch that it was in changes. Its time is the end of the cell, so the
delay by which records settle tells when a cell is complete. Its past is what the cells before held when its last row
came: nothing that a record is scored by has a larger key than its own, as with records that are rows.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
from sqlalchemy import ColumnElement, FromClause, Select, and_, case, distinct, func, literal, not_, select, true

from jobs.reading.checksums import numbers
from jobs.reading.grid import Grid
from jobs.reading.history import Past
from jobs.reading.records import typed
from jobs.reading.resampling import cells_of, resampled
from jobs.reading.rows import Condition, checked_columns, expressions, hundreds, is_normal, joined
from jobs.reading.table import WatchedTable
from schemas.config import MonitorConfig
from schemas.errors import SourceError
from schemas.keys import Key, KeyRange, key_label

_ENTITY, _START = "plumbline_entity", "plumbline_start"
_IS_WANTED, _IS_FIT, _IS_PAST = "plumbline_is_wanted", "plumbline_is_fit", "plumbline_is_past"
_NUMBER = "plumbline_number"
_WIDEST = 16  # times as many cells as are wanted, looked through at once where most hold nothing


@dataclass(frozen=True)
class Cells:
    """Reads the records of a table, each a cell of a grid.

    A row without a time or an entity is in no cell.

    Attributes:
        name: the monitor's.
        monitor: what it watches.
        watched: the table.
        grid: over its times.
        fetch: the rows of a select, in the driver's types.
        ask: the first row of a select.
    """

    name: str
    monitor: MonitorConfig
    watched: WatchedTable
    grid: Grid
    fetch: Callable[[Select[Any]], pd.DataFrame]
    ask: Callable[[Select[Any]], Sequence[Any] | None]

    def read(self, key_range: KeyRange, *, with_label: bool) -> pd.DataFrame:
        """The records of a key range, in key order."""
        return self._read(key_range, with_label=with_label)

    def pages(self, after: Key | None, upto: Key | None, *, with_label: bool) -> Iterator[pd.DataFrame]:
        """The records past a key in frames, each made of the cells that end in `batch_size` rows; in key order."""
        size = self.monitor.batch_size
        while True:
            wanted = self.watched.after(after) if upto is None else self.watched.within(KeyRange(after, upto))
            rows = self._keys(wanted).order_by(*self.watched.order()).limit(size).subquery("page")
            last = self.ask(select(*rows.c).order_by(*self.watched.order(rows, newest_first=True)).limit(1))
            if last is None:
                return
            page = self._read(KeyRange(after, tuple(last)), with_label=with_label)
            if len(page):
                yield page
            after = tuple(last)

    def among(self, keys: Sequence[Key]) -> pd.DataFrame:
        """The records that have one of these keys, in key order within each hundred."""
        return joined([self._made_of(self.watched.among(some)) for some in hundreds(keys)])

    def newest(self, limit: int, after: Key | None = None) -> pd.DataFrame:
        """The newest `limit` records past a key, in key order."""
        return _newest((self._read(part) for part in self._parts(after)), limit)

    def newest_normal(self, limit: int, after: Key | None = None, *, with_label: bool = False) -> pd.DataFrame:
        """The newest `limit` of them that may be trained on: whose rows all may."""
        normal = is_normal(self.monitor)
        return _newest((self._read(part, normal, with_label=with_label) for part in self._parts(after)), limit)

    def newest_anomalies(self, limit: int) -> pd.DataFrame:
        """The newest `limit` records that the label calls anomalies, in key order."""
        label = str(self.monitor.label)
        pages = (self._read(part, with_label=True) for part in self._parts(None))
        return _newest((page[page[label].fillna(value=False)].drop(columns=label) for page in pages), limit)

    def past(self, key: Key, moments: int) -> pd.DataFrame:
        """The newest `moments` cells before that of a key in which its entity had rows with smaller keys, by time."""
        step, end = self.grid.step, self._start_of(key)
        pages, found, width = [], 0, moments
        while True:
            begin = end - width * step
            pages.append(self._before(key, begin, end))
            found += len(pages[-1])
            older = self._newest_start(key, begin) if found < moments else None
            if older is None:
                return joined([page for page in pages[::-1] if len(page)] or pages[:1]).tail(moments)
            end, width = older + step, min(2 * width, _WIDEST * moments)

    def between(self, first: Key, last: Key, limit: int) -> pd.DataFrame | None:
        """The cells between those of two keys in which the entity had rows before both; None where more than the limit.

        Where more rows than `batch_size` make them, that is more than the limit, too.
        """
        begin, end, most = self._start_of(first) + self.grid.step, self._start_of(last), self.monitor.batch_size
        rows = self._rows_before(first, begin, end).limit(most).subquery("some")
        counted = self.ask(select(func.count()).select_from(rows))
        if counted is None or counted[0] == most:
            return None
        found = self._before(first, begin, end)
        return None if len(found) > limit else found

    def is_one_past(self, keys: Sequence[Key], since: datetime | None) -> bool:
        """Whether the cells that are past for one of several records get no row before the last of them comes.

        Then the cells before the last, which have a row with a key between the first and the last, are the others.
        """
        records, grid = self.watched.records, self.grid
        cells = func.count(distinct(grid.start(records)))
        wanted = self._past(keys[-1], select(cells)).where(
            self.watched.after(keys[0]), grid.is_before(records, self._start_of(keys[-1]))
        )
        if since is not None:
            wanted = wanted.where(grid.is_from(records, grid.start_at(since) - grid.step))
        counted = self.ask(wanted)
        return counted is not None and counted[0] == len(keys) - 2

    def tally(self, key_range: KeyRange) -> Select[*tuple[Any, ...]]:
        """Selects the number of records in a key range, and sums over their rows that change as these do."""
        named = [n.label(f"{_NUMBER}{i}") for i, n in enumerate(numbers(self.watched, checked_columns(self.monitor)))]
        is_past = case((self.watched.after(key_range.upto), 1), else_=0).label(_IS_PAST)
        rows = self._rows_of_cells(self.watched.within(key_range), [is_past, *named])
        sums = [func.sum(rows.c[number.name]).label(number.name) for number in named]
        cells = select(func.count().label(_NUMBER), *sums).group_by(rows.c[_ENTITY], rows.c[_START])
        records = cells.having(func.max(rows.c[_IS_PAST]) == 0).subquery("cells")
        return select(func.count(), *(func.sum(number) for number in records.c)).select_from(records)

    def waits(self, page: FromClause, settled_before: datetime) -> ColumnElement[bool]:
        """The condition for rows of a page whose cells may not be complete; one that is unfit stops the run instead."""
        is_young = and_(self.grid.has_time(page), self.grid.is_from(page, self.grid.start_at(settled_before)))
        unfit = self.grid.is_unfit(page)
        return is_young if unfit is None else and_(is_young, not_(unfit))

    def _keys(self, *conditions: ColumnElement[bool]) -> Select[Any]:
        return select(*self.watched.key_columns()).where(*conditions)

    def _parts(self, after: Key | None) -> Iterator[KeyRange]:
        """Key ranges of at most `batch_size` rows, from the newest row to a key."""
        newest_first = self.watched.order(newest_first=True)
        upto = self.ask(self._keys(self.watched.after(after)).order_by(*newest_first).limit(1))
        while upto is not None:
            rest = self._keys(self.watched.within(KeyRange(after, tuple(upto)))).order_by(*newest_first)
            last = self.ask(rest.offset(self.monitor.batch_size).limit(1))
            yield KeyRange(after if last is None else tuple(last), tuple(upto))
            upto = last

    def _read(self, key_range: KeyRange, fit: Condition | None = None, *, with_label: bool = False) -> pd.DataFrame:
        self._refuse_unfit(key_range)
        return self._made_of(self.watched.within(key_range), fit, with_label=with_label)

    def _made_of(
        self, wanted: ColumnElement[bool], fit: Condition | None = None, *, with_label: bool = False
    ) -> pd.DataFrame:
        """The records whose last row is wanted, and whose rows are all fit."""
        is_fit = case((true() if fit is None else fit, 1), else_=0)
        flags = [case((wanted, 1), else_=0).label(_IS_WANTED), is_fit.label(_IS_FIT)]
        columns = expressions(self.watched, self.monitor, with_label=with_label)
        rows = self._rows_of_cells(wanted, [*columns, *flags])
        found = self.fetch(select(*rows.c).order_by(*self.watched.order(rows)))
        records, starts = typed(found, self.name, self.monitor), found[_START].to_numpy(dtype=np.int64)
        by_cell = found[[_IS_WANTED, _IS_FIT]].astype("int64").groupby(cells_of(records, starts, self.monitor))
        is_kept = (by_cell[_IS_WANTED].transform("last") & by_cell[_IS_FIT].transform("min")).to_numpy(dtype=bool)
        return resampled(records[is_kept], starts[is_kept], self.monitor)

    def _rows_of_cells(self, wanted: ColumnElement[bool], columns: list[ColumnElement[Any]]) -> FromClause:
        """All rows of the cells that have a wanted one, with columns of them, and what cell each is in.

        Each cell is looked up by itself, through the index on entity and time: PostgreSQL, which cannot tell how few
        rows a cell has, would rather compare every cell with every row; OFFSET keeps it from that.
        """
        records, cells = self.watched.records, self._cells_of(wanted)
        is_in = self.grid.is_in(records, cells.c[_START])
        if self.monitor.entity is not None:
            is_in = and_(is_in, records.c[self.monitor.entity] == cells.c[_ENTITY])
        if self.watched.dialect == "sqlite":  # where the right side of a join is looked up for each row of the left
            return select(*columns, *cells.c).select_from(cells.outerjoin(records, is_in)).subquery("plumbline_rows")
        rows = select(*columns).where(is_in).offset(0).lateral("plumbline_row")
        return select(*rows.c, *cells.c).select_from(cells.join(rows, true())).subquery("plumbline_rows")

    def _cells_of(self, wanted: ColumnElement[bool]) -> FromClause:
        """The cells that have a wanted row."""
        records, entity = self.watched.records, self.monitor.entity
        start = self.grid.start(records)
        has_cell = [start.is_not(None)] if entity is None else [start.is_not(None), records.c[entity].is_not(None)]
        named = (literal(0) if entity is None else records.c[entity]).label(_ENTITY)
        return select(named, start.label(_START)).where(wanted, *has_cell).distinct().subquery("plumbline_cells")

    def _past(self, key: Key, rows: Select[Any]) -> Select[Any]:
        """Those rows that are of the entity of a key, and have a smaller one."""
        return Past.of(self.watched, self.monitor, key, rows).select

    def _rows_before(self, key: Key, begin: int, end: int) -> Select[Any]:
        """The rows of the past of a key in the cells from one to before another, with the start of the cell of each."""
        records = self.watched.records
        columns = expressions(self.watched, self.monitor, with_label=False)
        rows = self._past(key, select(*columns, self.grid.start(records).label(_START)))
        return rows.where(self.grid.is_from(records, begin), self.grid.is_before(records, end))

    def _before(self, key: Key, begin: int, end: int) -> pd.DataFrame:
        """The cells that these rows make, by time."""
        found = self.fetch(self._rows_before(key, begin, end).order_by(*self.watched.order()))
        rows = typed(found, self.name, self.monitor)
        return resampled(rows, found[_START].to_numpy(dtype=np.int64), self.monitor).sort_values(str(self.monitor.time))

    def _start_of(self, key: Key) -> int:
        """The start of the cell of the row with a key."""
        found = self.ask(select(self.grid.start(self.watched.records)).where(self.watched.among([key])))
        if found is None or found[0] is None:
            msg = (
                f"Monitor {self.name!r} no longer finds the record with the key {key_label(key)}, or its time, while "
                "it reads the past of it. The next run reads the table as it is now."
            )
            raise SourceError(msg)
        return int(found[0])

    def _newest_start(self, key: Key, before: int) -> int | None:
        """The newest cell before another that is past for a key."""
        records = self.watched.records
        rows = self._past(key, select(self.grid.start(records))).where(self.grid.is_before(records, before))
        found = self.ask(rows.order_by(records.c[self.grid.time].desc()).limit(1))
        return None if found is None or found[0] is None else int(found[0])

    def _refuse_unfit(self, key_range: KeyRange) -> None:
        unfit = self.grid.is_unfit(self.watched.records)
        if unfit is None:
            return
        time = self.watched.records.c[self.grid.time]
        found = self.ask(
            select(time, *self.watched.key_columns()).where(self.watched.within(key_range), unfit).limit(1)
        )
        if found is not None:
            msg = (
                f"Column {time.key!r} of monitor {self.name!r} holds {found[0]!r} in the record with the key "
                f"{key_label(tuple(found[1:]))}. In SQLite, `resample` needs times as texts in UTC, all written like "
                f"'2026-03-01{self.grid.separator}12:30:00'. Correct the record, or convert the column."
            )
            raise SourceError(msg)


def _newest(pages: Iterator[pd.DataFrame], limit: int) -> pd.DataFrame:
    """The newest `limit` records of pages that come newest first, in key order."""
    kept: list[pd.DataFrame] = []
    found = 0
    for page in pages:
        kept.append(page)
        found += len(page)
        if found >= limit:
            break
    filled = [page for page in kept[::-1] if len(page)] or kept[:1]
    return joined(filled).tail(limit).reset_index(drop=True)
