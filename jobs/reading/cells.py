"""Records that are the cells of a grid over a watched table.

The rows of an entity in a cell make one record. Its key is the largest key of the rows, so a late row moves the record
past all earlier ones, and the batch that held it changes. Its time is the end of the cell, so a cell is complete when
records of that time are settled. Its past is what the earlier cells held when its last row came: as with records that
are rows, nothing that it is scored by has a larger key than its own.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
from sqlalchemy import ColumnElement, FromClause, Select, and_, case, distinct, false, func, literal, select, true

from jobs.reading.checksums import checksums
from jobs.reading.grid import Grid
from jobs.reading.joint_cells import JointCells
from jobs.reading.past import Past
from jobs.reading.resampling import cells_of, resampled
from jobs.reading.rows import Condition, concatenated, expressions, hundreds, is_normal
from jobs.reading.table import WatchedTable
from jobs.reading.tolerant import LeftOut, TolerantReader
from jobs.reading.typed_columns import abridged, keys_of
from jobs.reading.windows import Window
from schemas.config import MonitorConfig
from schemas.errors import SourceError
from schemas.keys import Key, KeyRange, key_label
from schemas.unreadable import UnreadableRecord

_ENTITY, _START = "plumbline_entity", "plumbline_start"
_IS_SELECTED, _IS_FIT, _IS_PAST = "plumbline_is_selected", "plumbline_is_fit", "plumbline_is_past"
_NUMBER, _TIME = "plumbline_number", "plumbline_time"
_MAX_UNREADABLE_TIMES = 10_000
_MAX_SEARCH_FACTOR = 16  # cells searched at once, per cell that is needed: most may be empty


@dataclass(frozen=True)
class Cells:
    """Reads the records of a table, each a cell of a grid.

    A row without a time or an entity is in no cell.

    Attributes:
        name: The monitor's.
        monitor: Its configuration.
        table: The watched table.
        grid: The grid over its times.
        fetch: Returns the rows of a select, in the driver's types.
        first_row: Returns the first row of a select, or None.
    """

    name: str
    monitor: MonitorConfig
    table: WatchedTable
    grid: Grid
    fetch: Callable[[Select[Any]], pd.DataFrame]
    first_row: Callable[[Select[Any]], Sequence[Any] | None]

    def read(self, key_range: KeyRange, *, with_label: bool, left_out: LeftOut = None) -> pd.DataFrame:
        """Return the records of a key range, in key order."""
        return self._read(key_range, left_out, with_label=with_label)

    def pages(
        self, after: Key | None, upto: Key | None, *, with_label: bool, left_out: LeftOut = None
    ) -> Iterator[pd.DataFrame]:
        """Yield the records past a key in key order, a frame for the cells that end in each `batch_size` rows."""
        size = self.monitor.batch_size
        while True:
            condition = self.table.after(after) if upto is None else self.table.within(KeyRange(after, upto))
            rows = self._keys(condition).order_by(*self.table.order()).limit(size).subquery("page")
            last = self.first_row(select(*rows.c).order_by(*self.table.order(rows, newest_first=True)).limit(1))
            if last is None:
                return
            page = self._read(KeyRange(after, tuple(last)), left_out, with_label=with_label)
            if len(page):
                yield page
            after = tuple(last)

    def among(self, keys: Sequence[Key], left_out: LeftOut = None) -> pd.DataFrame:
        """Return the records that have one of the keys, in key order within each hundred."""
        return concatenated([self._records(self.table.among(portion), left_out) for portion in hundreds(keys)])

    def newest(self, limit: int, after: Key | None = None, left_out: LeftOut = None) -> pd.DataFrame:
        """Return the newest `limit` records past a key, in key order."""
        return _newest((self._read(part, left_out) for part in self._parts(after)), limit)

    def window(self, window: Window, limit: int, *, with_label: bool = False) -> pd.DataFrame:
        """Return the readable records of a window in at most `limit` steps of the grid, in key order."""
        records, grid = self.table.records, self.grid
        conditions = [grid.has_time(records), *window.conditions(self.table, self.monitor)]
        time = records.c[grid.time]
        order = time if window.from_start else time.desc()
        row = self.first_row(select(grid.start(records)).where(*conditions).order_by(order).limit(1))
        if row is None or row[0] is None:
            return self._records(false(), [], with_label=with_label)
        span = (limit - 1) * grid.step
        is_in = grid.is_before(records, int(row[0]) + span + grid.step)
        is_in = is_in if window.from_start else grid.is_from(records, int(row[0]) - span)
        return window.cut(self._records(and_(*conditions, is_in), [], with_label=with_label), self.monitor)

    def newest_normal(
        self, limit: int, after: Key | None = None, *, with_label: bool = False, left_out: LeftOut = None
    ) -> pd.DataFrame:
        """Return the newest `limit` records past a key all of whose rows may be trained on, in key order."""
        normal = is_normal(self.monitor)
        parts = self._parts(after)
        return _newest((self._read(part, left_out, normal, with_label=with_label) for part in parts), limit)

    def newest_anomalies(self, limit: int, left_out: LeftOut = None) -> pd.DataFrame:
        """Return the newest `limit` records that the label marks as anomalies, in key order."""
        label = str(self.monitor.label)
        pages = (self._read(part, left_out, with_label=True) for part in self._parts(None))
        return _newest((page[page[label].fillna(value=False)].drop(columns=label) for page in pages), limit)

    def past(self, key: Key, moments: int) -> pd.DataFrame:
        """Return the newest `moments` earlier cells in which a key's entity had rows with smaller keys, by time."""
        step, end = self.grid.step, self._start_of(key)
        pages, count, width = [], 0, moments
        while True:
            begin = end - width * step
            pages.append(self._before(key, begin, end))
            count += len(pages[-1])
            older = self._newest_start(key, begin) if count < moments else None
            if older is None:
                return concatenated([page for page in pages[::-1] if len(page)] or pages[:1]).tail(moments)
            end, width = older + step, min(2 * width, _MAX_SEARCH_FACTOR * moments)

    def joint_pasts(self) -> JointCells:
        """Return a reader of the pasts of several records at once."""
        return JointCells(self, _START)

    def between(self, first: Key, last: Key, limit: int) -> pd.DataFrame | None:
        """Return the cells between those of two keys that their entity had rows in before both.

        None if there are more than the limit, or if `batch_size` rows or more are in them.
        """
        begin, end, max_rows = self._start_of(first) + self.grid.step, self._start_of(last), self.monitor.batch_size
        rows = self.rows_before(first, begin, end).limit(max_rows).subquery("some")
        count = self.first_row(select(func.count()).select_from(rows))
        if count is None or count[0] == max_rows:
            return None
        records = self._before(first, begin, end)
        return None if len(records) > limit else records

    def is_one_past(self, keys: Sequence[Key], since: datetime | None, *, is_page: bool = True) -> bool:  # noqa: ARG002 - as `Rows` has it
        """Return whether no cell in the past of several records gets a row before the last of them comes.

        If so, the only cells before the last that have a row with a key between the first and the last are the others.
        """
        records, grid = self.table.records, self.grid
        cells = func.count(distinct(grid.start(records)))
        statement = self._past(keys[-1], select(cells)).where(
            self.table.after(keys[0]), grid.is_before(records, self._start_of(keys[-1]))
        )
        if since is not None:
            statement = statement.where(grid.is_from(records, grid.start_at(since) - grid.step))
        count = self.first_row(statement)
        return count is not None and count[0] == len(keys) - 2

    def fingerprint(self, key_range: KeyRange) -> Select[*tuple[Any, ...]]:
        """Return a select of the number of records in a key range and of the checksums of their rows."""
        named = [n.label(f"{_NUMBER}{i}") for i, n in enumerate(checksums(self.table, self.monitor))]
        is_past = case((self.table.after(key_range.upto), 1), else_=0).label(_IS_PAST)
        rows = self._rows_of_cells(self.table.within(key_range), [is_past, *named])
        sums = [func.sum(rows.c[number.name]).label(number.name) for number in named]
        cells = select(func.count().label(_NUMBER), *sums).group_by(rows.c[_ENTITY], rows.c[_START])
        records = cells.having(func.max(rows.c[_IS_PAST]) == 0).subquery("cells")
        return select(func.count(), *(func.sum(number) for number in records.c)).select_from(records)

    def waits(self, page: FromClause, settled_before: datetime) -> ColumnElement[bool]:
        """Return the condition for rows of a page whose cells may be incomplete; an unreadable time has no cell."""
        is_young = and_(self.grid.has_time(page), self.grid.is_from(page, self.grid.start_at(settled_before)))
        return and_(is_young, self.grid.is_readable(page))

    @property
    def reader(self) -> TolerantReader:
        """The reader of rows that leaves out those that cannot be read."""
        return TolerantReader(self.name, self.monitor, self.table, self.fetch)

    def rows_before(self, key: Key, begin: int, end: int) -> Select[Any]:
        """Return the rows and cells in the past of a key, within the cells from `begin` to before `end`."""
        records = self.table.records
        columns = expressions(self.table, self.monitor, with_label=False)
        rows = self._past(key, select(*columns, self.grid.start(records).label(_START)))
        return rows.where(
            self.grid.is_from(records, begin), self.grid.is_before(records, end), self.grid.is_readable(records)
        )

    def _keys(self, *conditions: ColumnElement[bool]) -> Select[Any]:
        return select(*self.table.key_columns()).where(*conditions)

    def _parts(self, after: Key | None) -> Iterator[KeyRange]:
        """Yield key ranges of at most `batch_size` rows, from the newest row back to a key."""
        newest_first = self.table.order(newest_first=True)
        upto = self.first_row(self._keys(self.table.after(after)).order_by(*newest_first).limit(1))
        while upto is not None:
            rest = self._keys(self.table.within(KeyRange(after, tuple(upto)))).order_by(*newest_first)
            last = self.first_row(rest.offset(self.monitor.batch_size).limit(1))
            yield KeyRange(after if last is None else tuple(last), tuple(upto))
            upto = last

    def _read(
        self, key_range: KeyRange, left_out: LeftOut, fit: Condition | None = None, *, with_label: bool = False
    ) -> pd.DataFrame:
        return self._records(self.table.within(key_range), left_out, fit, with_label=with_label)

    def _records(
        self,
        selected: ColumnElement[bool],
        left_out: LeftOut,
        fit: Condition | None = None,
        *,
        with_label: bool = False,
    ) -> pd.DataFrame:
        """Return the records whose last row is selected, and whose rows are all fit."""
        self._leave_out_unreadable_times(selected, left_out)
        is_fit = case((true() if fit is None else fit, 1), else_=0)
        flags = [case((selected, 1), else_=0).label(_IS_SELECTED), is_fit.label(_IS_FIT)]
        columns = expressions(self.table, self.monitor, with_label=with_label)
        rows = self._rows_of_cells(selected, [*columns, *flags])
        read = self.reader.read(select(*rows.c).order_by(*self.table.order(rows)), left_out)
        frame, typed_rows = read.rows, read.records
        starts = frame[_START].to_numpy(dtype=np.int64)
        by_cell = frame[[_IS_SELECTED, _IS_FIT]].astype("int64").groupby(cells_of(typed_rows, starts, self.monitor))
        is_kept = (by_cell[_IS_SELECTED].transform("last") & by_cell[_IS_FIT].transform("min")).to_numpy(dtype=bool)
        return resampled(typed_rows[is_kept], starts[is_kept], self.monitor)

    def _rows_of_cells(self, selected: ColumnElement[bool], columns: list[ColumnElement[Any]]) -> FromClause:
        """Return columns of all rows of the cells that have a selected row, and the cell of each row.

        The index on entity and time serves each cell.
        """
        records, cells = self.table.records, self._cells_of(selected)
        is_in = and_(self.grid.is_in(records, cells.c[_START]), self.grid.is_readable(records))
        if self.monitor.entity is not None:
            is_in = and_(is_in, records.c[self.monitor.entity] == cells.c[_ENTITY])
        return self.table.dialect.rows_of_groups(cells, records, is_in, columns).subquery("plumbline_rows")

    def _cells_of(self, selected: ColumnElement[bool]) -> FromClause:
        """Return entity and start of the cells that have a selected row."""
        records, entity = self.table.records, self.monitor.entity
        start = self.grid.start(records)
        selected = and_(selected, self.grid.is_readable(records))
        has_cell = [start.is_not(None)] if entity is None else [start.is_not(None), records.c[entity].is_not(None)]
        named = (literal(0) if entity is None else records.c[entity]).label(_ENTITY)
        return select(named, start.label(_START)).where(selected, *has_cell).distinct().subquery("plumbline_cells")

    def _past(self, key: Key, rows: Select[Any]) -> Select[Any]:
        """Return the rows that belong to the entity of a key and have a smaller key."""
        return Past.of(self.table, self.monitor, key, rows).select

    def _before(self, key: Key, begin: int, end: int) -> pd.DataFrame:
        """Return the cells in the past of a key from `begin` to before `end`, by time."""
        read = self.reader.read(self.rows_before(key, begin, end).order_by(*self.table.order()), [])
        starts = read.rows[_START].to_numpy(dtype=np.int64)
        return resampled(read.records, starts, self.monitor).sort_values(str(self.monitor.time))

    def _start_of(self, key: Key) -> int:
        """Return the start of the cell of the row with a key."""
        row = self.first_row(select(self.grid.start(self.table.records)).where(self.table.among([key])))
        if row is None or row[0] is None:
            msg = (
                f"The record with the key {key_label(key)} of monitor {self.name!r}, or its time, vanished while its "
                "past was read. The next run reads the table again."
            )
            raise SourceError(msg)
        return int(row[0])

    def _newest_start(self, key: Key, before: int) -> int | None:
        """Return the newest cell in the past of a key that starts before another."""
        records = self.table.records
        rows = self._past(key, select(self.grid.start(records))).where(self.grid.is_before(records, before))
        row = self.first_row(rows.order_by(records.c[self.grid.time].desc()).limit(1))
        return None if row is None or row[0] is None else int(row[0])

    def _leave_out_unreadable_times(self, selected: ColumnElement[bool], left_out: LeftOut) -> None:
        """Report the selected rows whose time has no cell.

        Raises:
            SourceError: If there is one and none is left out, or if there are very many.
        """
        table, is_unreadable = self.table, self.grid.is_unreadable(self.table.records)
        if is_unreadable is None:
            return
        time = table.records.c[self.grid.time].label(_TIME)
        rows = select(*table.key_columns(), time).where(selected, is_unreadable).order_by(*table.order())
        frame = self.fetch(rows.limit(_MAX_UNREADABLE_TIMES + 1))
        expected = f"a time in the form of the others ({self.grid.times.required_form})"
        unreadable = [
            UnreadableRecord(key, self.grid.time, expected, abridged(repr(value)), "convert the column")
            for key, value in zip(keys_of(frame, table.key), frame[_TIME], strict=True)
        ]
        if unreadable and (left_out is None or len(unreadable) > _MAX_UNREADABLE_TIMES):
            raise SourceError(unreadable[0].sentence(self.name))
        if left_out is not None:
            left_out += unreadable


def _newest(pages: Iterator[pd.DataFrame], limit: int) -> pd.DataFrame:
    """Return the newest `limit` records of pages that come newest first, in key order."""
    kept: list[pd.DataFrame] = []
    count = 0
    for page in pages:
        kept.append(page)
        count += len(page)
        if count >= limit:
            break
    filled = [page for page in kept[::-1] if len(page)] or kept[:1]
    return concatenated(filled).tail(limit).reset_index(drop=True)
