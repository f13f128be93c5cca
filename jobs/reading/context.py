"""The past of records in the watched table, by which series are scored.

The past of a record are the records of its entity that are earlier in time and have a smaller key; of two of one time
the one with the larger key counts. That does not depend on batches, nor on what comes after the record: a record with
a larger key is past for none that was there before. Of the past, the last `context_rows` moments are read.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, Union

import numpy as np
import pandas as pd

from detector.series.records import Series
from detector.series.scorer import InContext, SeriesScorer
from detector.series.stretches import Stretch, entities_of, joined, picked, rising_runs, series_of
from jobs.reading.source import Source, keys_of
from schemas.frames import Features
from schemas.keys import Key

if TYPE_CHECKING:
    from detector.scorer import Scorer

AnyScorer: TypeAlias = Union["Scorer", SeriesScorer]
"""Of single records, or of series."""


def in_context(scorer: AnyScorer, records: pd.DataFrame, source: Source) -> "Scorer | InContext":
    """What scores these records: the scorer itself, or bound to the past of each.

    Args:
        scorer: of the monitor.
        records: a page of the source.
        source: the watched table, which holds their past.

    Raises:
        MissingColumns: where the monitor no longer watches a feature that the model has.
        SourceError: where the table cannot be read.
    """
    if not isinstance(scorer, SeriesScorer):
        return scorer
    stretches = stretches_of(records, source, scorer.artifact.features, scorer.model.context_rows)
    return InContext(scorer, records.index, stretches)


def stretches_of(records: pd.DataFrame, source: Source, features: Features, moments: int) -> tuple[Stretch, ...]:
    """Each of the records in one stretch, with the newest moments of its past at least.

    Args:
        records: a page of the source.
        source: the watched table, which holds their past.
        features: the channels of the series.
        moments: how many.
    """
    return tuple(_Page.of(records, source, features).stretches(moments))


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

    def stretches(self, moments: int) -> Iterator[Stretch]:
        """The runs of the page with their past; one with much between its records is parted first.

        So no more is read than each record's own past, whatever comes late.
        """
        waiting = list(self.runs)
        while waiting:
            rows = waiting.pop()
            between = self._between(rows, limit=max(len(rows), moments))
            if between is None:
                widest = int(np.argmax(np.diff(self.series.times[rows]))) + 1
                waiting += [rows[:widest], rows[widest:]]
                continue
            parts = [*self._before(rows, moments), *between]
            yield Stretch(str(self.entities[rows[0]]), rows, joined([*parts, picked(self.series, rows)]))

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
        found = self.source.read_between(self.keys[rows[0]], self.keys[rows[-1]], limit + 1)
        return None if len(found) > limit else self._as_series(found)

    def _as_series(self, records: pd.DataFrame) -> list[Series]:
        return [series_of(records, str(self.source.monitor.time), self.features)] if len(records) else []
