"""Scores new records in batches: plan, claim, read, compute, write.

No transaction is open while the model runs. What a batch found and its row in the ledger are written
together, guarded by the claim's token; so each record is scored once in effect, whoever dies when.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import pandas as pd

from detector.artifact import load_artifact
from jobs.recording import recorded_run
from jobs.source import Source, keys_of
from jobs.store import Anomaly, Batch, BatchResult, Champion, HourCount, Store
from schemas.config import MonitorConfig
from schemas.errors import LostLease, NoChampion
from schemas.frames import ANOMALY_SCORE, IS_ANOMALY, P_VALUE
from schemas.keys import key_label

if TYPE_CHECKING:
    from detector.scorer import Scorer


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


def load_scorer(store: Store, champion: Champion, monitor: MonitorConfig) -> "Scorer":
    """The champion, ready to score at the rates that the monitor asks for now.

    Raises:
        ArtifactError: where the stored model is not the one that was trained.
        RateTooSmall: where its calibration records cannot resolve the rate.
    """
    from detector.scorer import Scorer

    artifact = load_artifact(store.model_blob(champion.model_id), champion.sha256)
    discovery_rate = monitor.false_discovery_rate if monitor.flag == "fdr" else None
    return Scorer(artifact, monitor.false_positive_rate, false_discovery_rate=discovery_rate)


def score_monitor(
    source: Source,
    store: Store,
    clock: Callable[[], datetime],
    progress: Callable[[Progress], None] | None = None,
    load: Callable[[Store, Champion, MonitorConfig], "Scorer"] = load_scorer,
) -> ScoringReport:
    """Score every settled record past the watermark with the champion, and what earlier runs left undone.

    Args:
        source: the watched table.
        store: the service's own database.
        clock: the time now.
        progress: called after each batch.
        load: makes the champion ready; called once, and only where there is something to score.

    Raises:
        NoChampion: where no model has been trained.
        SourceError: where the watched table cannot be read; finished batches stay finished.
    """
    champion = store.champion(source.name)
    if champion is None:
        raise NoChampion(source.name)
    with recorded_run(store, source.name, "score", clock) as counts:
        counts |= {"model_id": champion.model_id, "batches": 0, "records": 0, "anomalies": 0}
        plan_batches(source, store, clock)
        planned = store.monitor_status(source.name).pending_batches
        scorer: Scorer | None = None
        while (batch := store.claim_batch(source.name, champion.model_id, clock(), source.monitor.lease)) is not None:
            with suppress(LostLease), _given_back_on_failure(batch, store):
                scorer = scorer or load(store, champion, source.monitor)
                result = score_batch(batch, source, store, scorer, clock)
                counts["batches"] += 1
                counts["records"] += result.records
                counts["anomalies"] += len(result.anomalies)
            if progress:
                progress(Progress(counts["batches"], planned, counts["records"], counts["anomalies"]))
    return ScoringReport(monitor=source.name, **counts)


def plan_batches(source: Source, store: Store, clock: Callable[[], datetime]) -> None:
    """Enter the settled records past the watermark into the ledger, as key ranges."""
    monitor = source.monitor
    settled_before = clock() - monitor.settle if monitor.settle else None
    watermark = store.watermark(source.name)
    while (key_range := source.next_range(watermark, monitor.batch_size, settled_before)) is not None:
        store.plan_batch(source.name, key_range, clock())
        watermark = store.watermark(source.name)


def score_batch(
    batch: Batch, source: Source, store: Store, scorer: "Scorer", clock: Callable[[], datetime]
) -> BatchResult:
    """Score one claimed batch and write what it found.

    Raises:
        LostLease: where another worker has taken it over; nothing is written then.
    """
    records = source.read(batch.key_range)
    result = find_anomalies(records, source.monitor, scorer, clock())
    store.finish_batch(batch, result, clock())
    return result


def find_anomalies(records: pd.DataFrame, monitor: MonitorConfig, scorer: "Scorer", now: datetime) -> BatchResult:
    """The anomalies among n records, with their causes, and the counts of each hour."""
    if records.empty:
        return BatchResult(records=0)
    scored = scorer.score(records)
    flagged = records[scored[IS_ANOMALY]]
    found = scored[scored[IS_ANOMALY]]
    causes = scorer.explain(flagged, found[ANOMALY_SCORE].to_numpy(), monitor.top_features)
    columns = pd.concat([_identity(flagged, monitor), found.drop(columns=IS_ANOMALY).reset_index(drop=True)], axis=1)
    anomalies = tuple(
        Anomaly(**{str(name): value for name, value in row.items()}, explanation=cause)
        for row, cause in zip(columns.to_dict("records"), causes, strict=True)
    )
    everything = _all_scores(records, scored, monitor) if monitor.store_scores == "all" else None
    return BatchResult(len(records), anomalies, _hours(records, scored, monitor, now), everything)


def _identity(records: pd.DataFrame, monitor: MonitorConfig) -> pd.DataFrame:
    """Key, time and entity of each record as the store keeps them, missing ones None."""
    keys = keys_of(records, monitor.key)
    is_integer = len(monitor.key) == 1 and all(isinstance(key[0], int) for key in keys)
    nothing = [None] * len(records)
    times = records[monitor.time] if monitor.time else nothing
    entities = records[monitor.entity].astype("str") if monitor.entity else nothing
    columns = {
        "record_key": [key_label(key) for key in keys],
        "record_key_int": [key[0] for key in keys] if is_integer else nothing,
        "record_time": [None if pd.isna(time) else time.to_pydatetime() for time in times] if monitor.time else nothing,
        "entity": [None if pd.isna(entity) else entity for entity in entities] if monitor.entity else nothing,
    }
    return pd.DataFrame({name: pd.Series(values, dtype="object") for name, values in columns.items()})


def _all_scores(records: pd.DataFrame, scored: pd.DataFrame, monitor: MonitorConfig) -> pd.DataFrame:
    kept = scored[[ANOMALY_SCORE, P_VALUE, IS_ANOMALY]].reset_index(drop=True)
    return pd.concat([_identity(records, monitor), kept], axis=1)


def _hours(records: pd.DataFrame, scored: pd.DataFrame, monitor: MonitorConfig, now: datetime) -> tuple[HourCount, ...]:
    """Records and anomalies by hour of record time; a record without a time counts for the hour it was scored in."""
    this_hour = pd.Timestamp(now).floor("h")
    times = records[monitor.time].dt.floor("h").fillna(this_hour) if monitor.time else [this_hour] * len(records)
    counted = scored[IS_ANOMALY].groupby(pd.Index(times)).agg(["size", "sum"])
    return tuple(
        HourCount(pd.Timestamp(hour).to_pydatetime(), int(size), int(flagged))
        for hour, size, flagged in counted.itertuples()
    )


@contextmanager
def _given_back_on_failure(batch: Batch, store: Store) -> Iterator[None]:
    """Return a batch whose work failed to the ledger, so that the next run need not wait for its lease to run out."""
    try:
        yield
    except LostLease:
        raise
    except BaseException as exc:
        with suppress(LostLease):
            store.release_batch(batch, str(exc) or type(exc).__name__)
        raise
