"""The newest scored records of a monitor, scored once more in memory, so that each setting is tried without scoring."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache, partial
from typing import Any

import numpy as np
import pandas as pd

from detector.core.scorer import BoundScorer, Scorer
from detector.series.segments import entities_of
from jobs.reading.context import in_context
from jobs.reading.source import Source
from jobs.scoring.incident_starts import incident_starts
from jobs.scoring.learned_features import learned_features
from jobs.scoring.thresholds import new_trackers, trackers_of
from jobs.store import Store
from jobs.store.history import ScoredBatch
from schemas.config import MonitorConfig
from schemas.errors import RecordsError, UsageError
from schemas.frames import ANOMALY_SCORE
from schemas.keys import KeyRange

MAX_RECORDS = 20_000  # of the history; older ones are left out


@dataclass(frozen=True)
class ScoredPage:
    """Records in key order with their scores, and the scorer that explains them."""

    records: pd.DataFrame
    scored: pd.DataFrame
    bound: BoundScorer
    entities: np.ndarray
    labels: np.ndarray | None
    """Whether each record is a known fault, by the label column; None without one."""
    is_counted: np.ndarray
    """Whether each record is scored and lies in the span; earlier ones of the first batch only move thresholds."""


@dataclass(frozen=True)
class ScoredHistory:
    """The newest scored records of a monitor.

    Attributes:
        monitor: the settings at which they were scored.
        scorer: at the rate of these settings.
        pages: the records in key order.
        first_batch: the batch that they start with, at which tracked thresholds start.
        model_id: of the scorer.
        is_cut: whether older records of the span were left out; tracked thresholds then start at an earlier state.
    """

    name: str
    monitor: MonitorConfig
    scorer: Scorer
    pages: Sequence[ScoredPage]
    first_batch: int
    model_id: int
    is_cut: bool

    @property
    def records(self) -> int:
        """The number of records."""
        return sum(int(page.is_counted.sum()) for page in self.pages)

    def span(self, now: datetime) -> tuple[datetime, datetime] | None:
        """Return the first and the last time of the records up to now; None if they have none."""
        time = self.monitor.time
        columns = [page.records[time][page.is_counted] for page in self.pages] if time else []
        times = [column[column <= pd.Timestamp(now)] for column in columns]
        known = [part for part in times if len(part)]
        if not known:
            return None
        return min(part.min() for part in known).to_pydatetime(), max(part.max() for part in known).to_pydatetime()

    def judged(self, monitor: MonitorConfig, store: Store) -> Iterator[tuple[pd.DataFrame, pd.DataFrame, BoundScorer]]:
        """Yield the records of each page as they are judged at the rate of other settings, and what explains them.

        Raises:
            RateTooSmall: If the calibration records cannot resolve the rate.
        """
        scorer, rate = self.scorer, monitor.asked_rate
        if rate is not None and rate != self.monitor.asked_rate:
            scorer = scorer.at_rate(rate)
        states = store.threshold_states
        before = cache(partial(states.before, self.first_batch, self.model_id))
        trackers = trackers_of(scorer, monitor, before)
        starts = incident_starts(monitor, scorer, trackers, before)
        for page in self.pages:
            is_scored = page.scored[ANOMALY_SCORE].notna().to_numpy()
            judged = scorer.judged(page.scored[is_scored], page.entities[is_scored], trackers)
            judged = judged if starts is None else starts.marked(page.records[is_scored], judged)
            yield page.records[page.is_counted], judged[page.is_counted[is_scored]], page.bound


def read_history(source: Source, store: Store, scorer: Scorer, model_id: int, days: float) -> ScoredHistory:
    """Read and score the newest scored records of a monitor, up to twenty thousand.

    Args:
        source: the watched table, with the settings in force.
        store: the service's own database.
        scorer: the champion.
        model_id: of the champion.
        days: length of the history, up to the newest scored record.

    Raises:
        UsageError: If no record was scored.
        RecordsError: If the records no longer exist.
        SourceError: If the table cannot be read.
    """
    newest = store.history.newest_hour(source.name)
    if newest is None:
        msg = f"No record of monitor {source.name!r} was scored. Score some first: plumbline score {source.name}"
        raise UsageError(msg)
    since = newest + timedelta(hours=1) - timedelta(days=days)
    batches = store.history.newest_batches(source.name, since, MAX_RECORDS)
    source.watch(learned_features(store, model_id, source.monitor))
    ranges = _ranges(batches, source)
    pages = [_scored_page(page, source, scorer, since) for page in _pages(ranges, source)]
    if not any(page.is_counted.any() for page in pages):
        msg = f"The newest scored records of monitor {source.name!r} no longer exist in its table."
        raise RecordsError(msg)
    first = store.history.first_batch(source.name, since)
    is_cut = batches[0].id != first or ranges[0].after != batches[0].key_range.after
    return ScoredHistory(source.name, source.monitor, scorer, pages, batches[0].id, model_id, is_cut)


def _ranges(batches: Sequence[ScoredBatch], source: Source) -> list[KeyRange]:
    """Return the key ranges of batches, up to the limit; if records of a batch are judged together, of each batch."""
    if sum(batch.records for batch in batches) > MAX_RECORDS:  # then it is one batch
        return [source.newest_part(batch.key_range, MAX_RECORDS) for batch in batches]
    if source.monitor.flag == "fdr":
        return [batch.key_range for batch in batches]
    return [KeyRange(batches[0].key_range.after, batches[-1].key_range.upto)] if batches else []


def _pages(ranges: Sequence[KeyRange], source: Source) -> Iterator[pd.DataFrame]:
    left_out: list[Any] = []
    with_label = source.monitor.label is not None
    for key_range in ranges:
        yield from source.pages(key_range.after, key_range.upto, with_label=with_label, left_out=left_out)


def _scored_page(page: pd.DataFrame, source: Source, scorer: Scorer, since: datetime) -> ScoredPage:
    monitor = source.monitor
    trackers = new_trackers(scorer, monitor)  # they move thresholds alone, which are judged later
    bound = in_context(scorer, page, source, trackers)
    scored = bound.score(page)
    labels = None if monitor.label is None else page[monitor.label].fillna(value=False).to_numpy(dtype=bool)
    is_counted = scored[ANOMALY_SCORE].notna().to_numpy()
    if monitor.time is not None:
        is_counted = is_counted & (page[monitor.time] >= pd.Timestamp(since)).to_numpy(dtype=bool)
    return ScoredPage(page, scored, bound, entities_of(page, monitor.entity), labels, is_counted)
