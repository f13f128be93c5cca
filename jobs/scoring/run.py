"""Scores new records in batches: plan, claim, read, compute, write.

No transaction is open while the model runs. The result of a batch and its row in the ledger are written
together, guarded by the claim's token; so each record is scored once in effect, whichever process dies.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property, partial

from detector.core.scorer import Scorer
from jobs.champions import load_scorer
from jobs.incident_gap import pace_of_model
from jobs.incident_rule import incident_rule
from jobs.reading.source import Source
from jobs.runs import RunOrigin, recorded_run
from jobs.scoring.batch_reading import BatchReading
from jobs.scoring.batch_writing import BatchWriting
from jobs.scoring.incident_starts import incidents_that_go_on
from jobs.scoring.learned_features import learned_features, watch_learned_features
from jobs.scoring.liveness import watch_entities
from jobs.scoring.outcomes import NO_WORK, BatchCounts, BatchOutcome, Elsewhere, Failures
from jobs.scoring.recounting import recount_batches, watch_for_gap
from jobs.scoring.restarted_keys import watch_for_restart
from jobs.scoring.scored_batch import ScoredBatch, read_look_alikes
from jobs.scoring.turn import GaveWay
from jobs.scoring.unannounced import sum_up_unannounced
from jobs.scoring.unreadable import reopen_corrected
from jobs.store import Batch, Champion, Store
from jobs.store.alert_rule import IncidentRule
from jobs.store.ledger import Choice
from schemas.config import MonitorConfig
from schemas.errors import LostLease, RecordsError, SourceError, StoreError


@dataclass(frozen=True)
class Progress:
    """The progress of a scoring run."""

    batches_done: int
    batches_planned: int
    records: int
    anomalies: int


@dataclass(frozen=True)
class ScoringReport:
    """The outcome of a scoring run."""

    monitor: str
    model_id: int
    batches: int
    records: int
    anomalies: int
    rescored: int
    """Batches that had been scored before."""
    late_records: int
    """Records that came late into batches, which are rescored."""
    too_late_records: int
    """Records that came later than `late_after`; they are not scored."""
    unreadable_records: int
    """Records that cannot be read; each is scored once it is corrected."""
    suppressed: int = 0
    """Flagged records that resemble one labelled false_positive, and so open no incident."""
    causes: Mapping[str, int] = field(default_factory=dict)
    """Flagged records by the feature that contributes most to their score."""


def score_monitor(  # noqa: PLR0913 - each is a seam of its own, and named by who fills it
    source: Source,
    store: Store,
    clock: Callable[[], datetime],
    *,
    progress: Callable[[Progress], None] | None = None,
    load: Callable[[Store, Champion, MonitorConfig], Scorer] = load_scorer,
    should_stop: Callable[[], bool] = lambda: False,
    run: RunOrigin | None = None,
    elsewhere: Elsewhere | None = None,
) -> ScoringReport:
    """Score every settled record past the watermark with the champion, and batches that changed or were left undone.

    Args:
        source: the watched table.
        store: the service's own database.
        clock: the time now.
        progress: called after each batch.
        load: loads the champion; called once, and only if there is a batch to score.
        should_stop: called before each batch; if it returns true, the run ends with the batches done so far.
        run: what started the run.
        elsewhere: has the batches scored by other processes; by default this process scores them.

    Raises:
        NoChampion: If no model has been trained.
        SourceError: If the watched table, or a batch of it, cannot be read. Finished batches stay finished; up to
            three failing batches do not keep the others waiting, unless batches go in order.
        RecordsError: If the model cannot score the records of a batch; likewise.
        StoreError: If the store cannot be used; unfinished batches are scored by a later run.
    """
    champion, started_at = store.models.require_champion(source.name), clock()
    with recorded_run(store, source.name, "score", clock, run) as counts:
        counts |= {"model_id": champion.model_id, **NO_WORK}
        watch_learned_features(source, store, champion.model_id, clock())
        store.ledger.fix_key(source.name, source.monitor.key)
        plan_batches(source, store, clock, should_stop, champion.model_id)
        watch_for_restart(source, store, clock())
        late = recount_batches(source, store, clock, should_stop)
        reopen_corrected(source, store, clock())
        counts |= {"late_records": late.late_records, "too_late_records": late.too_late_records}
        planned = store.ledger.count_pending(source.name)
        causes: Counter[str] = Counter()
        work = _ClaimedWork(source, store, champion, clock, load, should_stop)
        failures = work.failures
        with closing(work):
            for outcome in work.scored() if elsewhere is None else elsewhere(source.name, failures, should_stop):
                if outcome.counts is not None:
                    outcome.counts.add_to(counts)
                    causes.update(outcome.counts.causes)
                if progress:
                    progress(Progress(counts["batches"], planned, counts["records"], counts["anomalies"]))
        watch_for_gap(source.monitor, source.name, store, clock())
        if not failures.by_batch:  # records of a failed batch are no silence
            watch_entities(source.monitor, source.name, store, clock())
        sum_up_unannounced(source.monitor, source.name, store, clock())
        goes_on = partial(incidents_that_go_on, store, source.monitor, champion.model_id)
        store.incidents.follow_up(source.name, _rule_at(source, store, champion), clock(), goes_on, started_at)
        failures.raise_first()
    return ScoringReport(monitor=source.name, **counts, causes=dict(causes.most_common()))


def _rule_at(source: Source, store: Store, champion: Champion) -> IncidentRule:
    """Return the rule of a monitor's incidents at the pace that its champion recorded."""
    pace = pace_of_model(store, source.monitor, champion.model_id)
    return incident_rule(source.monitor, read_look_alikes(source, store), pace)


def score_planned(
    source: Source,
    store: Store,
    clock: Callable[[], datetime],
    *,
    load: Callable[[Store, Champion, MonitorConfig], Scorer] = load_scorer,
    should_stop: Callable[[], bool] = lambda: False,
) -> Mapping[str, int]:
    """Score the batches that other processes planned or left undone; return the numbers of batches and records.

    It plans no batch, detects no change and records no run: that is up to the process that runs the schedule.
    Without a champion no batch is scored.

    Raises:
        SourceError: As `score_monitor` does.
        RecordsError: As `score_monitor` does.
        StoreError: As `score_monitor` does.
    """
    champion = store.models.champion(source.name)
    counts = dict(NO_WORK)
    if champion is None:
        return counts
    source.watch(learned_features(store, champion.model_id, source.monitor))
    work = _ClaimedWork(source, store, champion, clock, load, should_stop)
    with closing(work):
        for outcome in work.scored():
            if outcome.counts is not None:
                outcome.counts.add_to(counts)
    work.failures.raise_first()
    return counts


def score_next(
    source: Source,
    store: Store,
    clock: Callable[[], datetime],
    choice: Choice,
    *,
    load: Callable[[Store, Champion, MonitorConfig], Scorer] = load_scorer,
    should_stop: Callable[[], bool] = lambda: False,
) -> BatchOutcome | None:
    """Claim one batch and score it; return None if there is none, or no champion.

    Args:
        source: the watched table.
        store: the service's own database.
        clock: the time now.
        choice: which batch is claimed. A process that replaces a killed one has its token, and so takes up its batch.
        load: loads the champion.
        should_stop: called while the batch waits for its turn.

    Raises:
        StoreError: As `score_monitor` does.
    """
    champion = store.models.champion(source.name)
    if champion is None:
        return None
    source.watch(learned_features(store, champion.model_id, source.monitor))
    return _ClaimedWork(source, store, champion, clock, load, should_stop).score_next(choice)


def plan_batches(
    source: Source,
    store: Store,
    clock: Callable[[], datetime],
    should_stop: Callable[[], bool] = lambda: False,
    model_id: int | None = None,
) -> None:
    """Enter the settled records past the watermark into the ledger, as key ranges.

    Raises:
        NoChampion: If the model is not one of the monitor any longer, as the monitor was renamed or deleted.
    """
    monitor = source.monitor
    settled_before = clock() - monitor.settle if monitor.has_to_settle else None
    watermark = store.ledger.watermark(source.name)
    while (
        not should_stop()
        and (key_range := source.next_range(watermark, monitor.batch_size, settled_before)) is not None
    ):
        store.ledger.plan(source.name, key_range, clock(), model_id)
        watermark = store.ledger.watermark(source.name)


@dataclass(frozen=True)
class _ClaimedWork:
    """The batches of a monitor: those that can be claimed, are claimed, are being written, or have failed."""

    source: Source
    store: Store
    champion: Champion
    clock: Callable[[], datetime]
    load: Callable[[Store, Champion, MonitorConfig], Scorer]
    should_stop: Callable[[], bool] = lambda: False
    claimed: deque[BatchReading] = field(default_factory=deque)
    writing: deque[BatchWriting] = field(default_factory=deque)

    @cached_property
    def failures(self) -> Failures:
        """The batches that failed, and are not claimed again."""
        return Failures(1) if self.source.monitor.is_in_order else Failures()

    @cached_property
    def _scorer(self) -> Scorer:
        return self.load(self.store, self.champion, self.source.monitor)

    def scored(self) -> Iterator[BatchOutcome]:
        """Claim and score batches until only failed ones are left or the run is to stop; yield their outcomes.

        While a batch is scored, the records of the next one are read, and the result of the one before is written.
        """
        try:
            yield from self._scored_until_stopped()
        except Exception:  # a batch that was written before the failure counts
            yield from self._written(wait=True)
            raise
        yield from self._written(wait=True)

    def _scored_until_stopped(self) -> Iterator[BatchOutcome]:
        while not self.should_stop():
            self._claim_next()
            is_last = not self.claimed
            if is_last and not self.writing:
                return
            if not is_last:
                self.writing.append(self._scored(self.claimed.popleft(), in_thread=self._writes_behind))
            yield from self._written(wait=is_last)

    def _written(self, *, wait: bool) -> Iterator[BatchOutcome]:
        """Yield the outcomes of batches that are written, and wait for all of them or for all but the last."""
        while self.writing and (wait or len(self.writing) > 1 or not self.writing[0].is_in_thread):
            outcome = self.writing[0].outcome()
            self.writing.popleft()
            self.failures.add(outcome)
            if outcome.is_lost:  # another batch may come first by now
                self._give_back()
            yield outcome

    def score_next(self, choice: Choice) -> BatchOutcome | None:
        """Claim and score the next batch; return None if none can be claimed."""
        reading = self._claim(choice)
        return None if reading is None else self._scored(reading).outcome()

    def close(self) -> None:
        """Give back the batches that are claimed and not scored, and end the writing of others."""
        self._give_back()
        while self.writing:
            self.writing.popleft().close()

    def _give_back(self) -> None:
        while self.claimed:
            reading = self.claimed.popleft()
            with suppress(StoreError), closing(reading):  # if the store is away, the lease runs out
                self.store.ledger.give_back(reading.batch)

    def _claim_next(self) -> None:
        """Claim the next batch, and one ahead if the source can be read at the same time.

        The records of a series are past for later ones, so they are read when they are scored.
        """
        excluded = (*self.failures.by_batch, *(item.batch_id for item in self.writing))
        while not self.claimed or (len(self.claimed) == 1 and self._reads_ahead):
            current = self.claimed[0].batch if self.claimed else None
            choice = Choice(self.source.monitor.is_in_order, excluded, ahead_of=current)
            reading = self._claim(choice)
            if reading is None:
                return
            self.claimed.append(reading)

    @property
    def _reads_ahead(self) -> bool:
        return self.source.serves_threads and self.source.monitor.series is None

    @property
    def _writes_behind(self) -> bool:
        """Whether a batch is scored while the one before is written; in order, it needs what is written."""
        return self._reads_ahead and self.store.serves_threads and not self.source.monitor.is_in_order

    def _claim(self, choice: Choice) -> BatchReading | None:
        lease = self.source.monitor.lease
        batch = self.store.ledger.claim(self.source.name, self.champion.model_id, self.clock(), lease, choice)
        if batch is None:
            return None
        return BatchReading(batch, self.source, self.store, self.clock, is_ahead=choice.ahead_of is not None)

    def _scored(self, reading: BatchReading, *, in_thread: bool = False) -> BatchWriting:
        """Score a claimed batch, and write its result."""
        batch = reading.batch
        with ExitStack() as failed:
            failed.enter_context(closing(reading))
            with _released_on_failure(batch, self.store):
                scorer = self._scorer
            try:
                with _released_on_failure(batch, self.store):
                    scored = ScoredBatch.of(reading, scorer, self.should_stop)
            except (LostLease, GaveWay):
                return BatchWriting(batch.id, lambda: BatchOutcome(batch.id))
            except (RecordsError, SourceError) as exc:
                failure = BatchOutcome(batch.id, failure=exc)
                return BatchWriting(batch.id, lambda: failure)
            failed.pop_all()
        before = self.writing[-1] if self.writing else None
        return BatchWriting(batch.id, partial(self._write, scored), before, in_thread=in_thread)

    def _write(self, scored: ScoredBatch) -> BatchOutcome:
        batch = scored.reading.batch
        with closing(scored.reading):
            try:
                with _released_on_failure(batch, self.store):
                    scored.write()
            except LostLease:
                return BatchOutcome(batch.id)
        return BatchOutcome(batch.id, BatchCounts.of(batch, scored.result))


@contextmanager
def _released_on_failure(batch: Batch, store: Store) -> Iterator[None]:
    """Release a batch whose work failed, so that the next run need not wait for its lease to run out."""
    try:
        yield
    except LostLease:
        raise
    except BaseException as exc:
        error = None if isinstance(exc, GaveWay) else str(exc) or type(exc).__name__
        with suppress(StoreError):  # if the store is away, the lease runs out; the first failure is what counts
            store.ledger.release(batch, error)
        raise
