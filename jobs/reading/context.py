"""The past of records in the watched table, by which series are scored.

The past of a record consists of the records of its entity that are earlier in time and have a smaller key; of two
records of one time, the one with the larger key counts. So it depends neither on batches nor on later records: a record
is never past for a record with a smaller key. Of the past, the last `context_rows` moments are read.
If records are cells of a grid, a cell is past for a record as the cell was when that record came: `jobs.reading.cells`.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from detector.core.scorer import BoundScorer, Scorer
from detector.core.threshold_tracking import Trackers
from detector.series.segments import Segment, concatenate, entities_of, rising_runs, series_of, take_rows
from detector.series.series import Series
from jobs.reading.source import Source, keys_of
from schemas.frames import Features
from schemas.keys import Key

_MIN_RUNS = 2  # which one statement reads rather than two


def in_context(
    scorer: Scorer, records: pd.DataFrame, source: Source, trackers: Trackers | None = None, *, is_page: bool = True
) -> BoundScorer:
    """Bind a scorer to records and to their past, if it scores records with their past.

    Args:
        scorer: of the monitor.
        records: of the source, in key order.
        source: the watched table, which holds the past.
        trackers: of the thresholds; without them thresholds are fixed.
        is_page: whether the records leave out no record of their entity between them. If they may, the table is read
            more often.

    Raises:
        MissingColumns: If the monitor no longer watches a feature of the model.
        SourceError: If the table cannot be read.
    """

    def read_past(page: pd.DataFrame, features: Features, moments: int) -> tuple[Segment, ...]:
        return stretches_of(page, source, features, moments, is_page=is_page)

    return scorer.bind(records, read_past, trackers)


def stretches_of(
    records: pd.DataFrame, source: Source, features: Features, moments: int, *, is_page: bool = True
) -> tuple[Segment, ...]:
    """Return segments of the records, each record in one of them, with at least the newest moments of its past.

    Args:
        records: of the source, in key order.
        source: the watched table, which holds the past.
        features: the channels of the series.
        moments: how many moments of the past.
        is_page: as for `in_context`.
    """
    return tuple(_Page.of(records, source, features, is_page=is_page).segments(moments))


@dataclass(frozen=True)
class _Ahead:
    """What was read for several runs at once.

    Attributes:
        pasts: before a run, by the row of its first record.
        uninterrupted: the first rows of runs between whose records lies nothing of their past.
    """

    pasts: dict[int, list[Series]] = field(default_factory=dict)
    uninterrupted: set[int] = field(default_factory=set)


@dataclass(frozen=True)
class _Page:
    """A page of records with everything needed to find their past."""

    source: Source
    features: Features
    runs: Sequence[np.ndarray]
    entities: np.ndarray
    keys: Sequence[Key]
    series: Series
    is_page: bool = True
    """False for records that may leave out others between them."""

    @classmethod
    def of(cls, records: pd.DataFrame, source: Source, features: Features, *, is_page: bool) -> "_Page":
        """Prepare a page of the source, some of whose columns are the features."""
        monitor = source.monitor
        entities = entities_of(records, monitor.entity)
        series = series_of(records, str(monitor.time), features)
        keys = keys_of(records, monitor.key)
        return cls(source, features, list(rising_runs(series.times, entities)), entities, keys, series, is_page)

    def segments(self, moments: int) -> Iterator[Segment]:
        """Yield the runs of the page with their past; a run with much between its records is split first.

        So no more is read than each record's own past, however late records come.
        """
        ahead = self._read_ahead(moments)
        for run in self.runs:
            yield from self._parts(run, moments, ahead)

    def _parts(self, run: np.ndarray, moments: int, ahead: "_Ahead") -> Iterator[Segment]:
        """Split a run into as few segments as its records have separate pasts, or little between them."""
        waiting, pasts = [run], ahead.pasts
        while waiting:
            rows = waiting.pop()
            first = int(rows[0])
            before = pasts.pop(first) if first in pasts else self._before(rows, moments)
            sharing = self._sharing_one_past(rows, before, moments)
            if sharing < len(rows):
                waiting.append(rows[sharing:])
                rows = rows[:sharing]
            limit = max(len(rows), moments)
            between = [] if first in ahead.uninterrupted else self._between(rows, limit)
            if between is None:
                widest = int(np.argmax(np.diff(self.series.times[rows]))) + 1
                waiting += [rows[widest:], rows[:widest]]
                pasts[first] = before
                continue
            series = concatenate([*before, *between, take_rows(self.series, rows)])
            has_siblings = bool((self.series.times[rows[1:]] == self.series.times[rows[:-1]]).any())
            yield Segment(str(self.entities[first]), rows, replace(series, keeps_siblings=has_siblings))

    def _read_ahead(self, moments: int) -> "_Ahead":
        """Read what comes before the first run of each entity, all in few statements."""
        ahead = _Ahead()
        runs = {str(self.entities[run[0]]): run for run in reversed(self.runs) if self._has_past(run)}
        if len(runs) < _MIN_RUNS:
            return ahead
        reader = self.source.joint_pasts()
        firsts = [int(run[0]) for run in runs.values()]
        for past in reader.read([self.keys[first] for first in firsts], moments):
            series = series_of(past.records, str(self.source.monitor.time), self.features)
            for place, rows in past.slices.items():
                ahead.pasts[firsts[place]] = [take_rows(series, rows)] if rows.start < rows.stop else []
        if not ahead.pasts:
            return ahead
        long = [run for run in runs.values() if len(run) > 1]
        found = reader.have_between([(self.keys[run[0]], self.keys[run[-1]]) for run in long])
        ahead.uninterrupted.update(int(run[0]) for run, has_between in zip(long, found, strict=True) if not has_between)
        return ahead

    def _has_past(self, rows: np.ndarray) -> bool:
        """Return whether the run has an entity and a time; otherwise its one record stands alone."""
        return bool(self.entities[rows[0]]) and not np.isnat(self.series.times[rows[0]])

    def _before(self, rows: np.ndarray, moments: int) -> list[Series]:
        """Return the past of a run's first record."""
        if not self._has_past(rows):
            return []
        return self._as_series(self.source.read_past(self.keys[rows[0]], moments))

    def _between(self, rows: np.ndarray, limit: int) -> list[Series] | None:
        """Return the records before a run that lie in time between its records; None if they exceed the limit."""
        if len(rows) == 1:
            return []
        records = self.source.read_between(self.keys[rows[0]], self.keys[rows[-1]], limit)
        return None if records is None else self._as_series(records)

    def _sharing_one_past(self, rows: np.ndarray, before: list[Series], moments: int) -> int:
        """Return how many records of a run, from its first, share the past before the run.

        After the first record that does not share it, none does; so bisection finds the number.
        """
        is_all = not before or len(before[0]) < moments
        since = None if is_all else pd.Timestamp(before[0].times[0], tz="UTC").to_pydatetime()
        keys = [self.keys[row] for row in rows]

        def has_own(count: int) -> bool:
            return count > 1 and not self.source.is_one_past(keys[:count], since, is_page=self.is_page)

        counts = range(1, len(keys) + 1)
        return len(keys) if not has_own(len(keys)) else bisect_left(counts, True, key=has_own)

    def _as_series(self, records: pd.DataFrame) -> list[Series]:
        return [series_of(records, str(self.source.monitor.time), self.features)] if len(records) else []
