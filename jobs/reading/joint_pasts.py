"""The pasts of records of several entities, read in one statement.

The statement is a UNION ALL of those that read the past of one record, so it returns the same rows, and the same index
serves each part. What a statement of its own is needed for is left to `Source.read_past`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sqlalchemy import ColumnElement, Integer, Select, func, literal_column, select, union_all

from jobs.reading.past import Past
from jobs.reading.table import WatchedTable
from jobs.reading.typed_columns import keys_of, typed
from schemas.config import MonitorConfig
from schemas.errors import SourceAway, SourceError
from schemas.keys import Key
from schemas.unreadable import UnreadableRecord

PLACE, _COUNT = "plumbline_place", "plumbline_count"
MAX_PARTS = 100  # SQLite unites 500 at most
_MAX_COLUMNS = 5_000  # of all parts, as some databases limit the text of a statement to a megabyte
_MIN_ROWS = 20_000  # that a statement may return, however small batches are


@dataclass(frozen=True)
class JointPast:
    """The pasts of several records in one frame.

    Attributes:
        records: those of each past in order of time, one after another.
        slices: the rows of each past that was read, by the place of its key among the keys.
    """

    records: pd.DataFrame
    slices: dict[int, slice]


@dataclass(frozen=True)
class JointPasts:
    """Reads the pasts of records, each of another entity.

    Attributes:
        name: the monitor's.
        monitor: its configuration.
        table: the watched table.
        fetch: returns the rows of a select, in the driver's types.
        columns: selects the columns of a record.
    """

    name: str
    monitor: MonitorConfig
    table: WatchedTable
    fetch: Callable[[Select[Any]], pd.DataFrame]
    columns: Select[Any]

    def read(self, keys: Sequence[Key], moments: int) -> Iterator[JointPast]:
        """Yield the newest `moments` moments in the pasts of records, a frame for each statement.

        Left out are pasts that take more than one statement, as records share a moment or cannot be read.
        """
        rows = max(_MIN_ROWS, self.monitor.batch_size)
        limits = (MAX_PARTS, _MAX_COLUMNS // len(self.columns.selected_columns), rows // moments)
        size = max(1, min(limits))
        for start in range(0, len(keys), size):
            part = keys[start : start + size]
            try:
                past = self._joint(self._rows(part, moments), range(start, start + len(part)), moments)
            except SourceAway:  # a past by itself may take less than the limit of a statement
                return
            except SourceError:  # each past is read by itself, without the records that cannot be read
                continue
            yield past

    def have_between(self, pairs: Sequence[tuple[Key, Key]]) -> list[bool]:
        """Return for each pair of keys whether the past of both may hold a record that lies between them."""
        found: list[bool] = []
        for start in range(0, len(pairs), MAX_PARTS):
            parts = (self._between(place, *pair) for place, pair in enumerate(pairs[start : start + MAX_PARTS]))
            united = union_all(*parts).subquery("plumbline_counts")
            try:
                counts = self.fetch(select(united.c[_COUNT]).order_by(united.c[PLACE]))[_COUNT]
            except SourceError:  # each pair is tried by itself
                return found + [True] * (len(pairs) - len(found))
            found += [bool(count) for count in counts]
        return found

    def _joint(self, rows: pd.DataFrame, places: range, moments: int) -> JointPast:
        """Return the pasts in some rows, in order of place and time.

        Raises:
            SourceError: If very many of them cannot be read.
        """
        unreadable: list[UnreadableRecord] = []
        records = typed(rows, self.name, self.monitor, unreadable)
        all_places = rows[PLACE].to_numpy(dtype=np.int64)
        left_out = {record.key for record in unreadable}
        is_read = [key not in left_out for key in keys_of(rows, self.monitor.key)] if left_out else slice(None)
        own, times = all_places[is_read], records[str(self.monitor.time)].reset_index(drop=True)
        kept = ~pd.DataFrame({"place": own, "time": times}).duplicated(keep="last").to_numpy()
        counts, kept_counts = (np.bincount(of, minlength=len(places)) for of in (all_places, own[kept]))
        ends = np.cumsum(kept_counts)
        is_whole = (counts < moments) | (kept_counts == moments)
        found = zip(places, is_whole, ends - kept_counts, ends, strict=True)
        return JointPast(records[kept], {place: slice(first, end) for place, is_found, first, end in found if is_found})

    def _rows(self, keys: Sequence[Key], moments: int) -> pd.DataFrame:
        """Return the newest rows in each past, in order of place and time."""
        parts = (self._newest(place, key, moments) for place, key in enumerate(keys))
        united = union_all(*parts).subquery("plumbline_pasts")
        order = [united.c[name] for name in (PLACE, str(self.monitor.time))]
        return self.fetch(select(united).order_by(*order, *self.table.order(united)))

    def _newest(self, place: int, key: Key, moments: int) -> Select[Any]:
        past = Past.of(self.table, self.monitor, key, self.columns.add_columns(place_literal(place)))
        newest = past.select.where(past.time < past.time_of(key)).order_by(*past.order(newest_first=True))
        return select(newest.limit(moments).subquery())

    def _between(self, place: int, first: Key, last: Key) -> Select[int, int]:
        past = Past.of(self.table, self.monitor, first, select(place_literal(place)).select_from(self.table.records))
        between = past.select.where(past.time > past.time_of(first), past.time < past.time_of(last))
        return select(place_literal(place), func.count().label(_COUNT)).select_from(between.limit(1).subquery())


def place_literal(place: int) -> ColumnElement[int]:
    """Return a place within a statement as SQL text, so that statements of one size are compiled once."""
    return literal_column(str(place), Integer).label(PLACE)
