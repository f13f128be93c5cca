"""Scores new records in batches: plan, claim, read, compute, write.

No transaction is open while the model runs. What a batch found and its row in the ledger are written
together, guarded by the claim's token; so each record is scored once in effect, whoever dies when.
"""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from detector.records.artifact import load_artifact
from detector.series.artifact import load_series
from detector.series.scorer import SeriesScorer
from jobs.heartbeat import heartbeat
from jobs.reading.context import AnyScorer, context_rows, in_context
from jobs.reading.source import Source
from jobs.runs import RunOrigin, recorded_run
from jobs.scoring.batch_results import combined, score_page
from jobs.scoring.new_entities import report_new_entities
from jobs.scoring.recounting import recount_batches, watch_for_gap
from jobs.scoring.thresholds import threshold_changes, trackers_of
from jobs.store import Batch, BatchResult, Champion, Store
from jobs.store.incident_grouping import incident_rule
from schemas.config import MonitorConfig
from schemas.errors import ArtifactError, LostLease, RecordsError, SourceError, StoreError

if TYPE_CHECKING:
    from detector.records.scorer import RecordScorer

MOST_FAILURES = 3  # batches that a run sets apart, before it takes the failure for one of the table or the model


@dataclass(frozen=True)
class Progress:
    """Where a scoring run stands."""

    batches_done: int
    batches_planned: int
    records: int
    anomalies: int


@dataclass(frozen=True)
class ScoringReport:
    """What a scoring run did."""

    monitor: str
    model_id: int
    batches: int
    records: int
    anomalies: int
    rescored: int
    """Batches that had been scored before."""
    late_records: int
    """Records that came late into batches; these are scored again."""
    too_late_records: int
    """Records that came later than `late_after`; they are not scored."""


def load_scorer(store: Store, champion: Champion, monitor: MonitorConfig) -> AnyScorer:
    """The champion, ready to score at the rates that the monitor asks for now: series where it has them.

    Raises:
        ArtifactError: where the stored model is not the one that was trained.
        RateTooSmall: where its calibration records cannot resolve the rate.
    """
    if monitor.series is not None:
        return load_series_scorer(store, champion, monitor)
    return load_record_scorer(store, champion, monitor)


def load_series_scorer(store: Store, champion: Champion, monitor: MonitorConfig) -> SeriesScorer:
    """The champion of a monitor of series, as `load_scorer`.

    Raises:
        ArtifactError: also where it learned records of another grid of time.
    """
    artifact = load_series(store.models.blob(champion.model_id), champion.sha256)
    learned = artifact.about.get("grid")
    if learned != monitor.grid:
        msg = (
            f"Model {champion.model_id} of monitor {champion.monitor!r} learned records {_on_grid(learned)}, and the "
            f"monitor now has them {_on_grid(monitor.grid)}. Train it again, or take the change of `resample` back."
        )
        raise ArtifactError(msg)
    return SeriesScorer(artifact, monitor.false_positive_rate)


def load_record_scorer(store: Store, champion: Champion, monitor: MonitorConfig) -> "RecordScorer":
    """The champion of a monitor without series, as `load_scorer`."""
    from detector.records.scorer import RecordScorer

    artifact = load_artifact(store.models.blob(champion.model_id), champion.sha256)
    discovery_rate = monitor.false_discovery_rate if monitor.flag == "fdr" else None
    return RecordScorer(artifact, monitor.false_positive_rate, false_discovery_rate=discovery_rate)


def score_monitor(  # noqa: PLR0913 - each is a seam of its own, and named by who fills it
    source: Source,
    store: Store,
    clock: Callable[[], datetime],
    *,
    progress: Callable[[Progress], None] | None = None,
    load: Callable[[Store, Champion, MonitorConfig], AnyScorer] = load_scorer,
    should_stop: Callable[[], bool] = lambda: False,
    run: RunOrigin | None = None,
) -> ScoringReport:
    """Score every settled record past the watermark with the champion, and what is late, changed or left undone.

    Args:
        source: the watched table.
        store: the service's own database.
        clock: the time now.
        progress: called after each batch.
        load: makes the champion ready; called once, and only where there is something to score.
        should_stop: asked before each batch; once it says so, the run ends with what is done.
        run: what started the run.

    Raises:
        NoChampion: where no model has been trained.
        SourceError: where the watched table, or a batch of it, cannot be read; finished batches stay finished, and
            up to three batches that fail keep no other waiting, unless batches go in order.
        RecordsError: where the model cannot score the records of a batch; likewise.
        StoreError: where the store cannot be used; what is not finished is scored by a later run.
    """
    champion = store.models.require_champion(source.name)
    with recorded_run(store, source.name, "score", clock, run) as counts:
        counts |= {"model_id": champion.model_id, "batches": 0, "records": 0, "anomalies": 0, "rescored": 0}
        store.ledger.hold_key(source.name, source.monitor.key)
        plan_batches(source, store, clock, should_stop)
        late = recount_batches(source, store, clock, should_stop)
        counts |= {"late_records": late.late_records, "too_late_records": late.too_late_records}
        planned = store.ledger.pending(source.name)
        scorer: AnyScorer | None = None
        failed: dict[int, RecordsError | SourceError] = {}
        for batch in _claimed(source, store, champion.model_id, clock, should_stop, failed.keys()):
            with _given_back_on_failure(batch, store):
                scorer = scorer or load(store, champion, source.monitor)
            most = 1 if source.monitor.is_in_order else MOST_FAILURES
            with suppress(LostLease), _set_apart(batch, failed, most), _given_back_on_failure(batch, store):
                _add(counts, batch, score_batch(batch, source, store, scorer, clock))
            if progress:
                progress(Progress(counts["batches"], planned, counts["records"], counts["anomalies"]))
        watch_for_gap(source.monitor, source.name, store, clock())
        store.incidents.end_quiet(source.name, clock() - source.monitor.incident_gap)
        for failure in failed.values():
            raise failure
    return ScoringReport(monitor=source.name, **counts)


def plan_batches(
    source: Source,
    store: Store,
    clock: Callable[[], datetime],
    should_stop: Callable[[], bool] = lambda: False,
) -> None:
    """Enter the settled records past the watermark into the ledger, as key ranges."""
    monitor = source.monitor
    settled_before = clock() - monitor.settle if monitor.has_to_settle else None
    watermark = store.ledger.watermark(source.name)
    while (
        not should_stop()
        and (key_range := source.next_range(watermark, monitor.batch_size, settled_before)) is not None
    ):
        store.ledger.plan(source.name, key_range, clock())
        watermark = store.ledger.watermark(source.name)


def score_batch(
    batch: Batch, source: Source, store: Store, scorer: AnyScorer, clock: Callable[[], datetime]
) -> BatchResult:
    """Score one claimed batch and write what it found.

    Raises:
        LostLease: where another worker has taken it over; nothing is written then.
    """
    monitor = source.monitor
    with heartbeat(lambda: store.ledger.renew(batch, clock(), monitor.lease), monitor.lease / 3):
        tally = source.tally(batch.key_range)
        trackers = trackers_of(batch, store, scorer, monitor)
        # One page, unless records that came late have made the batch larger than it was planned.
        pages = source.pages(batch.key_range.after, batch.key_range.upto)
        found = [
            score_page(page, monitor, in_context(scorer, page, source, trackers), batch.planned_at) for page in pages
        ]
        result = combined(found, tally, threshold_changes(trackers))
    store.ledger.finish(batch, result, clock(), incident_rule(monitor), context_rows=context_rows(scorer))
    report_new_entities(batch, result, scorer, store, clock())
    return result


def _on_grid(grid: str | None) -> str:
    return "as they come" if grid is None else f"on a grid of {grid}"


def _claimed(
    source: Source,
    store: Store,
    model_id: int,
    clock: Callable[[], datetime],
    should_stop: Callable[[], bool],
    failed: Collection[int],
) -> Iterator[Batch]:
    """Batches to score, one after another, until none is left but those that failed, or the run is to stop."""
    lease, in_order = source.monitor.lease, source.monitor.is_in_order
    while not should_stop():
        batch = store.ledger.claim(source.name, model_id, clock(), lease, in_order=in_order, besides=tuple(failed))
        if batch is None:
            return
        yield batch


def _add(counts: dict[str, Any], batch: Batch, result: BatchResult) -> None:
    counts["batches"] += 1
    counts["records"] += result.records
    counts["anomalies"] += len(result.anomalies)
    counts["rescored"] += batch.scored_before is not None


@contextmanager
def _set_apart(batch: Batch, failed: dict[int, RecordsError | SourceError], most: int) -> Iterator[None]:
    """Go on after a batch whose records cannot be read or scored: the others shall not wait for it.

    Raises:
        RecordsError: where it is the last that a run sets apart.
        SourceError: likewise.
    """
    try:
        yield
    except (RecordsError, SourceError) as exc:
        failed[batch.id] = exc
        if len(failed) >= most:
            raise


@contextmanager
def _given_back_on_failure(batch: Batch, store: Store) -> Iterator[None]:
    """Return a batch whose work failed to the ledger, so that the next run need not wait for its lease to run out."""
    try:
        yield
    except LostLease:
        raise
    except BaseException as exc:
        with suppress(StoreError):  # a store that is away learns from the lease; what failed is what counts
            store.ledger.release(batch, str(exc) or type(exc).__name__)
        raise
