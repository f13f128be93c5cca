"""The pasts of cells of several entities, read in two statements."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sqlalchemy import Select, select, union_all

from jobs.reading.joint_pasts import MAX_PARTS, PLACE, JointPast, place_literal
from jobs.reading.resampling import resampled
from jobs.reading.tolerant import ReadRows
from jobs.reading.typed_columns import keys_of
from schemas.errors import SourceAway, SourceError
from schemas.keys import Key

if TYPE_CHECKING:
    from jobs.reading.cells import Cells


@dataclass(frozen=True)
class JointCells:
    """Reads the pasts of records that are cells, each of another entity.

    Attributes:
        cells: reads the past of one record.
        start: the name of the column with the start of a row's cell.
    """

    cells: "Cells"
    start: str

    def read(self, keys: Sequence[Key], moments: int) -> Iterator[JointPast]:
        """Yield the newest `moments` cells in the pasts of records, a frame for each statement.

        Left out are pasts with gaps, and those that cannot be read. Cells may hold many rows, so pasts of more than
        `batch_size` rows together are read in halves.
        """
        max_rows, first = self.cells.monitor.batch_size, 0
        size = max(1, min(MAX_PARTS, max_rows // moments))
        while first < len(keys):
            part = keys[first : first + size]
            try:
                read = self._rows(part, moments, max_rows)
            except SourceAway:  # a past by itself may take less than the limit of a statement
                return
            except SourceError:  # each past is read by itself
                read = None
            if read is not None and read.count > max_rows and len(part) > 1:
                size = len(part) // 2
                continue
            if read is not None:
                yield self._joint(read, len(part), first, moments)
            first += len(part)

    def have_between(self, pairs: Sequence[tuple[Key, Key]]) -> list[bool]:
        """Return for each pair of keys that cells may lie between them."""
        return [True] * len(pairs)

    def _rows(self, keys: Sequence[Key], moments: int, max_rows: int) -> ReadRows | None:
        """Return the rows in the pasts of keys, of several at most one more than `max_rows`; None if they have none."""
        parts = [self._newest(place, keys[place], end, moments) for place, end in self._starts(keys)]
        if not parts:
            return None
        rows = union_all(*parts).subquery("plumbline_pasts")
        statement = select(rows).order_by(rows.c[PLACE], *self.cells.table.order(rows))
        return self.cells.reader.read(statement.limit(max_rows + 1) if len(keys) > 1 else statement, [])

    def _joint(self, read: ReadRows, count: int, first: int, moments: int) -> JointPast:
        """Return the pasts in rows of a number of keys, of which the first has a place."""
        monitor = self.cells.monitor
        places = dict(zip(read.records[monitor.entity], read.rows[PLACE], strict=True))
        records = resampled(read.records, read.rows[self.start].to_numpy(dtype=np.int64), monitor)
        own = records[monitor.entity].map(places).to_numpy(dtype=np.int64)
        order = np.lexsort((records[str(monitor.time)].to_numpy(dtype="datetime64[us]"), own))
        counts = np.bincount(own, minlength=count)
        ends = np.cumsum(counts)
        whole = np.flatnonzero(counts == moments).tolist()
        return JointPast(
            records.iloc[order], {first + place: slice(ends[place] - moments, ends[place]) for place in whole}
        )

    def _starts(self, keys: Sequence[Key]) -> Iterator[tuple[int, int]]:
        """Yield the place and the start of the cell of each key that has one."""
        table, grid = self.cells.table, self.cells.grid
        start = grid.start(table.records).label(self.start)
        rows = self.cells.fetch(select(*table.key_columns(), start).where(table.among(keys)))
        starts = dict(zip(keys_of(rows, table.key), rows[self.start], strict=True))
        for place, key in enumerate(keys):
            if not pd.isna(starts.get(key)):
                yield place, int(starts[key])

    def _newest(self, place: int, key: Key, end: int, moments: int) -> Select[Any]:
        rows = self.cells.rows_before(key, end - moments * self.cells.grid.step, end)
        return rows.add_columns(place_literal(place))
