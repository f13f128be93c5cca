"""Scores the records of a monitor without writing anything, here or in other processes."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import pandas as pd

from detector.core.scorer import BoundScorer, Scorer
from jobs.reading.context import in_context
from jobs.reading.source import Source
from jobs.scoring.incident_starts import incident_starts
from jobs.scoring.learned_features import learned_features
from jobs.scoring.thresholds import new_trackers
from jobs.store import Champion, Store
from schemas.config import MonitorConfig
from schemas.frames import ANOMALY_SCORE
from schemas.keys import Key, KeyRange
from schemas.unreadable import UnreadableRecord


@dataclass(frozen=True)
class RangeToScore:
    """A key range whose records are to be scored, with or without their label."""

    key_range: KeyRange
    with_label: bool = False


@dataclass(frozen=True)
class ScoredRange:
    """The records of a key range with their scores, and those that cannot be read."""

    records: pd.DataFrame
    scored: pd.DataFrame
    unreadable: Sequence[UnreadableRecord] = ()


@dataclass(frozen=True)
class ScoredPage:
    """A page of records with their scores.

    Attributes:
        records: of the page.
        scored: a row for each record.
        bind: returns a scorer that explains records of the page.
    """

    records: pd.DataFrame
    scored: pd.DataFrame
    bind: Callable[[], BoundScorer]


HistoryElsewhere: TypeAlias = Callable[[Champion, Iterator[RangeToScore]], Iterator[ScoredRange]]
"""Has key ranges scored by a champion in other processes; yields them in their order."""


@dataclass(frozen=True)
class History:
    """The records of a monitor, scored by its champion.

    Attributes:
        source: the watched table.
        champion: as the store names it.
        scorer: the loaded champion.
        elsewhere: scores key ranges in other processes; by default this process scores.
    """

    source: Source
    champion: Champion
    scorer: Scorer
    elsewhere: HistoryElsewhere | None = None

    def past(
        self, after: Key | None, left_out: list[UnreadableRecord], *, with_label: bool = False
    ) -> Iterator[ScoredPage]:
        """Yield the records past a key in key order; `left_out` gets those that cannot be read."""
        if self.elsewhere is None or not _can_be_cut(self.source.monitor):
            yield from self.score(self.source.pages(after, with_label=with_label, left_out=left_out))
            return
        for part in self.elsewhere(self.champion, self._ranges(after, with_label=with_label)):
            left_out.extend(part.unreadable)
            if len(part.records):
                bind = partial(in_context, self.scorer, part.records, self.source)  # reads their past once more
                yield ScoredPage(part.records, part.scored, bind)

    def score(self, pages: Iterable[pd.DataFrame], *, is_page: bool = True) -> Iterator[ScoredPage]:
        """Yield pages of records, which are scored in this process; `is_page` as for `in_context`."""
        trackers = new_trackers(self.scorer, self.source.monitor)
        starts = incident_starts(self.source.monitor, self.scorer, trackers, lambda _entity: None)
        for page in pages:
            bound = in_context(self.scorer, page, self.source, trackers, is_page=is_page)
            bound = bound if starts is None else starts.bound(bound)
            yield ScoredPage(page, bound.score(page), lambda bound=bound: bound)  # type: ignore[misc]

    def _ranges(self, after: Key | None, *, with_label: bool) -> Iterator[RangeToScore]:
        while (key_range := self.source.next_range(after, self.source.monitor.batch_size, None)) is not None:
            yield RangeToScore(key_range, with_label)
            after = key_range.upto


def score_range(source: Source, store: Store, model_id: int, scorer: Scorer, part: RangeToScore) -> ScoredRange:
    """Score the records of a key range."""
    source.watch(learned_features(store, model_id, source.monitor))
    unreadable: list[UnreadableRecord] = []
    records = source.read(part.key_range, with_label=part.with_label, left_out=unreadable)
    return ScoredRange(records, in_context(scorer, records, source).score(records), unreadable)


def readable_pages(
    pages: Iterable[ScoredPage],
    progress: Callable[[int], None] | None,
    observe: Callable[[ScoredPage], None] | None = None,
) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
    """Yield the records of each page with their scores, without records that no model can score.

    `observe` is called with each page.
    """
    count = 0
    for page in pages:
        if observe is not None:
            observe(page)
        count += len(page.records)
        if progress:
            progress(count)
        is_scored = page.scored[ANOMALY_SCORE].notna()
        yield page.records[is_scored], page.scored[is_scored]


def _can_be_cut(monitor: MonitorConfig) -> bool:
    """Return whether key ranges can be scored in any order, and are the pages of the table."""
    return not monitor.is_in_order and monitor.resample is None
