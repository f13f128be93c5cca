"""A claimed batch that is scored, and its result, which is written afterwards."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Self

from detector.core.scorer import Scorer
from detector.series.segments import entities_of
from jobs.incident_rule import incident_rule
from jobs.look_alikes import NO_LOOK_ALIKES, LookAlikes, look_alikes_of
from jobs.reading.context import in_context
from jobs.reading.source import Source
from jobs.scoring.batch_reading import BatchReading
from jobs.scoring.batch_results import merge_pages, score_page
from jobs.scoring.incident_starts import incident_starts
from jobs.scoring.new_entities import report_new_entities
from jobs.scoring.thresholds import threshold_changes, trackers_of
from jobs.scoring.turn import Turn
from jobs.store import BatchResult, Store


@dataclass(frozen=True)
class ScoredBatch:
    """A claimed batch that is scored, but not written.

    Attributes:
        reading: of the batch, which keeps its lease.
        result: of the batch.
        scorer: the batch's model.
        look_alikes: the labelled records that its flagged ones were compared with.
    """

    reading: BatchReading
    result: BatchResult
    scorer: Scorer
    look_alikes: LookAlikes

    @classmethod
    def of(cls, reading: BatchReading, scorer: Scorer, should_stop: Callable[[], bool]) -> Self:
        """Score one claimed batch; a batch in order waits for its turn before it decides.

        Raises:
            GaveWay: If an earlier batch has to be scored first, or the worker is to stop.
        """
        batch, source, store, clock = reading.batch, reading.source, reading.store, reading.clock
        monitor = source.monitor
        records = reading.records()
        turn = Turn(batch, store, clock, should_stop)
        stored = cache(turn.stored_threshold)
        trackers = trackers_of(scorer, monitor, stored)
        trained_upto = scorer.about.training.last
        look_alikes = read_look_alikes(source, store)
        starts = incident_starts(monitor, scorer, trackers, stored)
        results = []
        for page in records.pages:
            if trackers is not None:
                turn.expect(entities_of(page, monitor.entity).tolist())
            bound = in_context(scorer, page, source, trackers)
            bound = bound if starts is None else starts.bound(bound)
            results.append(score_page(page, monitor, bound, batch.planned_at, trained_upto, look_alikes))
        result = merge_pages(results, records.fingerprint, threshold_changes(trackers, starts), records.unreadable)
        return cls(reading, result, scorer, look_alikes)

    def write(self) -> None:
        """Write the result.

        Raises:
            LostLease: If another worker has taken the batch over; nothing is written then.
        """
        reading, scorer = self.reading, self.scorer
        batch, store, clock = reading.batch, reading.store, reading.clock
        rule = incident_rule(reading.source.monitor, self.look_alikes, scorer.about.pace)
        store.ledger.finish(batch, self.result, clock(), rule, context_rows=scorer.context_rows)
        report_new_entities(batch, self.result, scorer, store, clock())


def read_look_alikes(source: Source, store: Store) -> LookAlikes:
    """Return the labelled records or incidents of a monitor; none if it compares nothing with them."""
    if not source.monitor.alert.look_alike_radius:
        return NO_LOOK_ALIKES
    return look_alikes_of(source.monitor, store.labelled_examples.read(source.name))
