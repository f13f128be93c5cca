"""The past of records in the watched table, by which series are scored.

The past of a record are the records of its entity that are earlier in time and have a smaller key; of two of one time
the one with the larger key counts. That does not depend on batches, nor on what comes after the record: a record with
a larger key is past for none that was there before. Of the past, the last `context_rows` moments are read.
Where records are cells of a grid, a cell is past for a record as it was when that came: `jobs.reading.cells`.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, Union

import numpy as np
import pandas as pd

from detector.series.scorer import BoundSeriesScorer, SeriesScorer
from detector.series.segments import Segment, entities_of, joined, picked, positions_of, rising_runs, series_of
from detector.series.series import Series
from detector.series.threshold_tracking import Trackers
from jobs.reading.source import Source, keys_of
from schemas.frames import Features
from schemas.keys import Key

if TYPE_CHECKING:
    from detector.records.scorer import RecordScorer

AnyScorer: TypeAlias = Union["RecordScorer", SeriesScorer]
"""Of single records, or of series."""

_NO_TIME = np.timedelta64(0, "ns")


def context_rows(scorer: AnyScorer) -> int:
    """For how many later records of its entity a record is past; 0 where records are scored alone."""
    return scorer.model.context_rows if isinstance(scorer, SeriesScorer) else 0


def in_context(
    scorer: AnyScorer, records: pd.DataFrame, source: Source, trackers: Trackers | None = None
) -> "RecordScorer | BoundSeriesScorer":
    """What scores these records: the scorer itself, or bound to the past of each.

    Those of an entity that no model knows are left out.

    Args:
        scorer: of the monitor.
        records: a page of the source.
        source: the watched table, which holds their past.
        trackers: of the thresholds of a series; without them these are fixed.

    Raises:
        MissingColumns: where the monitor no longer watches a feature that the model has.
        SourceError: where the table cannot be read.
    """
    if not isinstance(scorer, SeriesScorer):
        return scorer
    segments = stretches_of(records, source, scorer.artifact.features, scorer.model.context_rows)
    return BoundSeriesScorer(scorer, records.index, [one for one in segments if scorer.can_score(one.entity)], trackers)


def stretches_of(records: pd.DataFrame, source: Source, features: Features, moments: int) -> tuple[Segment, ...]:
    """Each of the records in one segment, with the newest moments of its past at least.

    Args:
        records: a page of the source.
        source: the watched table, which holds their past.
        features: the channels of the series.
        moments: how many.
    """
    return tuple(_Page.of(records, source, features).segments(moments))


@dataclass(frozen=True)
class _Page:
    """Records with what is needed to find their past."""

    source: Source
    features: Features
    runs: Sequence[np.ndarray]
    entities: np.ndarray
    keys: Sequence[Key]
    series: Series

    @classmethod
    def of(cls, records: pd.DataFrame, source: Source, features: Features) -> "_Page":
        """The records of a page of the source, some of whose columns are the features."""
        monitor = source.monitor
        entities = entities_of(records, monitor.entity)
        series = series_of(records, str(monitor.time), features)
        keys = keys_of(records, monitor.key)
        return cls(source, features, list(rising_runs(series.times, entities)), entities, keys, series)

    def segments(self, moments: int) -> Iterator[Segment]:
        """The runs of the page with their past; one with much between its records is parted first.

        So no more is read than each record's own past, whatever comes late.
        """
        crowded = dict(self._crowded())
        for entity, rows in crowded.items():
            yield from self._sharing(entity, rows, moments)
        for run in (rows for rows in self.runs if self.entities[rows[0]] not in crowded):
            yield from self._parts(run, moments)

    def _parts(self, run: np.ndarray, moments: int) -> Iterator[Segment]:
        """A run in as few segments as its records have pasts of their own, or little between them."""
        waiting, pasts = [run], dict[int, list[Series]]()
        while waiting:
            rows = waiting.pop()
            first = int(rows[0])
            before = pasts.pop(first) if first in pasts else self._before(rows, moments)
            sharing = self._sharing_one_past(rows, before, moments)
            if sharing < len(rows):
                waiting.append(rows[sharing:])
                rows = rows[:sharing]
            between = self._between(rows, limit=max(len(rows), moments))
            if between is None:
                widest = int(np.argmax(np.diff(self.series.times[rows]))) + 1
                waiting += [rows[widest:], rows[:widest]]
                pasts[first] = before
                continue
            yield Segment(str(self.entities[first]), rows, joined([*before, *between, picked(self.series, rows)]))

    def _crowded(self) -> Iterator[tuple[str, np.ndarray]]:
        """The entities several of whose records share a time, where all come in order of time; with their rows."""
        for entity, rows in positions_of(self.entities).items():
            steps = np.diff(self.series.times[rows])
            is_crowded = (steps >= _NO_TIME).all() and (steps == _NO_TIME).any()
            if is_crowded and self._has_past(rows) and self._between(rows, limit=0) is not None:
                yield entity, rows

    def _sharing(self, entity: str, rows: np.ndarray, moments: int) -> Iterator[Segment]:
        """The runs of an entity's rows, which come in order of time: their past is read once for all."""
        pool = joined([*self._before(rows, moments), picked(self.series, rows)])
        ends = np.flatnonzero(np.append(np.diff(pool.times) > _NO_TIME, True))  # the last records of their moments
        for run in (run for run in self.runs if self.entities[run[0]] == entity):
            own = len(pool) - len(rows) + np.searchsorted(rows, run)
            earlier = np.searchsorted(ends, np.searchsorted(pool.times, pool.times[own[0]]))
            yield Segment(entity, run, pool, np.concatenate([ends[max(0, earlier - moments) : earlier], own]))

    def _has_past(self, rows: np.ndarray) -> bool:
        """Whether the run is of an entity and a time; else its one record stands alone."""
        return bool(self.entities[rows[0]]) and not np.isnat(self.series.times[rows[0]])

    def _before(self, rows: np.ndarray, moments: int) -> list[Series]:
        """The past of a run's first record."""
        if not self._has_past(rows):
            return []
        return self._as_series(self.source.read_past(self.keys[rows[0]], moments))

    def _between(self, rows: np.ndarray, limit: int) -> list[Series] | None:
        """What came before a run, and lies in time between its records; None where that is more than the limit."""
        if len(rows) == 1:
            return []
        found = self.source.read_between(self.keys[rows[0]], self.keys[rows[-1]], limit)
        return None if found is None else self._as_series(found)

    def _sharing_one_past(self, rows: np.ndarray, before: list[Series], moments: int) -> int:
        """How many records from the first of a run on share their past, apart from each other.

        With a record that does not, none after it does; so their number is found by halving.
        """
        is_all = not before or len(before[0]) < moments
        since = None if is_all else pd.Timestamp(before[0].times[0], tz="UTC").to_pydatetime()
        keys = [self.keys[row] for row in rows]

        def has_own(count: int) -> bool:
            return count > 1 and not self.source.is_one_past(keys[:count], since)

        counts = range(1, len(keys) + 1)
        return len(keys) if not has_own(len(keys)) else bisect_left(counts, True, key=has_own)

    def _as_series(self, records: pd.DataFrame) -> list[Series]:
        return [series_of(records, str(self.source.monitor.time), self.features)] if len(records) else []
