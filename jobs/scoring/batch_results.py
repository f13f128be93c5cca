"""Turns scored records into a batch result: anomalies with their causes, and the counts of each hour."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType

import numpy as np
import pandas as pd

from detector.core.scorer import BoundScorer
from detector.series.segments import entities_of
from jobs.alert_filter import held_back_by
from jobs.look_alikes import NO_LOOK_ALIKES, LookAlikes
from jobs.maintenance import Maintenance
from jobs.reading.typed_columns import keys_of
from jobs.scoring.entity_places import EntityPlaces, joined_places
from jobs.scoring.rhythms import rhythms_of
from jobs.store.batch_result import Anomaly, BatchResult, HourCount, ThresholdChange, summed
from jobs.store.rhythm import BatchRhythms
from schemas.config import MonitorConfig
from schemas.fingerprint import Fingerprint
from schemas.frames import ANOMALY_SCORE, IS_ANOMALY, P_VALUE, VAE_COLUMNS, Explanation
from schemas.keys import Key, key_label
from schemas.unreadable import UnreadableRecord


def score_page(
    records: pd.DataFrame,
    monitor: MonitorConfig,
    scorer: BoundScorer,
    at: datetime,
    trained_upto: Key | None = None,
    look_alikes: LookAlikes = NO_LOOK_ALIKES,
) -> BatchResult:
    """Score a page of records: anomalies with their causes, the counts of each hour, and the records' profile.

    Records that the scorer leaves out count as read only.

    Args:
        records: to score.
        monitor: of the records.
        scorer: of the page.
        at: the time of a record that has none.
        trained_upto: the last key of the model's training records, which do not enter the profile; None if it has none.
        look_alikes: recognises flagged records that resemble labelled ones.
    """
    scored = scorer.score(records, "all" if monitor.store_scores == "all" else "anomalies")
    profile = scorer.profile
    times = record_times(records, monitor)
    is_scored = scored[ANOMALY_SCORE].notna()
    new_p_values = _new_p_values(records, scored, monitor, trained_upto)
    flagged, scored_flagged = records[scored[IS_ANOMALY]], scored[scored[IS_ANOMALY]]
    anomalies = anomalies_of(flagged, scored_flagged, monitor, scorer, at, look_alikes)
    places = EntityPlaces.of(records, monitor)
    return BatchResult(
        records=len(records),
        anomalies=anomalies if places is None else places.put_on(anomalies, scored[IS_ANOMALY].to_numpy(dtype=bool)),
        hours=_hours(times.fillna(pd.Timestamp(at))[is_scored], scored[is_scored]),
        scores=_all_scores(records[is_scored], scored[is_scored], monitor) if monitor.store_scores == "all" else None,
        newest_time=times.max().to_pydatetime() if times.notna().any() else None,
        profile=None if profile is None else profile.counts(records, new_p_values),
        entities=Counter(entities_of(records, monitor.entity).tolist()) if scorer.context_rows else None,
        entity_counts=None if places is None else places.counts,
        rhythms=rhythms_of(records, monitor),
    )


def _new_p_values(
    records: pd.DataFrame, scored: pd.DataFrame, monitor: MonitorConfig, trained_upto: Key | None
) -> np.ndarray:
    """Return the p-values (n,), NaN for records up to the last training record; records are in key order."""
    p_values = scored[P_VALUE].to_numpy(np.float64).copy()
    if trained_upto is not None:
        p_values[: count_records_upto(records, monitor.key, trained_upto)] = np.nan
    return p_values


def count_records_upto(records: pd.DataFrame, key_columns: Sequence[str], last: Key) -> int:
    """Return how many records, in key order, are no later than a key; along vectors if the keys are whole numbers."""
    numbers = records[key_columns[0]].to_numpy() if len(key_columns) == 1 else np.array([])
    is_whole = np.issubdtype(numbers.dtype, np.integer) and isinstance(last[0], int)
    if not is_whole or isinstance(records.index, pd.MultiIndex):
        return count_upto(keys_of(records, key_columns), last)
    places = np.flatnonzero(numbers == last[0])
    return int(places[0]) + 1 if len(places) else int(np.count_nonzero(numbers <= last[0]))


def count_upto(keys: Sequence[Key], last: Key) -> int:
    """Return how many of the keys, in the order of the database, are no later than another key.

    >>> count_upto([(1,), (2,), (5,)], (2,)), count_upto([(1,), (2,), (5,)], (9,))
    (2, 3)
    """
    if last in keys:  # a database may order texts in another way than Python
        return keys.index(last) + 1
    with suppress(TypeError):  # the key is of another type now: all records are new
        return sum(key <= last for key in keys)
    return 0


def count_top_features(explanations: Iterable[Explanation]) -> Counter[str]:
    """Count explanations by the feature that contributes most to the score."""
    return Counter(item.top_feature for item in explanations if item.top_feature is not None)


def merge_pages(
    pages: Sequence[BatchResult],
    fingerprint: Fingerprint,
    threshold_changes: Mapping[str, ThresholdChange] = MappingProxyType({}),
    unreadable: Sequence[UnreadableRecord] = (),
) -> BatchResult:
    """Merge the results of the pages of a batch into the result of the batch.

    Args:
        pages: the result of each page.
        fingerprint: of the batch, taken before the first page was read.
        threshold_changes: of the tracked thresholds over the batch.
        unreadable: records that are on no page.
    """
    hours: dict[datetime, list[int]] = defaultdict(lambda: [0, 0])
    for count in (count for page in pages for count in page.hours):
        hours[count.hour][0] += count.records
        hours[count.hour][1] += count.anomalies
    frames = [page.scores for page in pages if page.scores is not None]
    profiles = [page.profile for page in pages if page.profile is not None]
    entities = [page.entities for page in pages if page.entities is not None]
    anomalies, entity_counts = joined_places(pages)
    return BatchResult(
        records=sum(page.records for page in pages),
        anomalies=anomalies,
        hours=tuple(HourCount(hour, *counts) for hour, counts in sorted(hours.items())),
        scores=pd.concat(frames, ignore_index=True) if frames else None,
        newest_time=max((page.newest_time for page in pages if page.newest_time is not None), default=None),
        fingerprint=fingerprint,
        profile=summed(profiles) if profiles else None,
        entities=sum(map(Counter, entities), Counter()) if entities or not pages else None,  # all may have vanished
        unreadable=tuple(unreadable),
        threshold_changes=threshold_changes,
        entity_counts=entity_counts,
        rhythms=_joined_rhythms(pages),
    )


def _joined_rhythms(pages: Sequence[BatchResult]) -> BatchRhythms | None:
    joined, position = None, 0
    for page in pages:
        if page.rhythms is not None:
            first = BatchRhythms({}, page.rhythms.first_at, page.rhythms.first_at) if joined is None else joined
            joined = first.followed_by(page.rhythms, position)
        position += page.records
    return joined


def record_times(records: pd.DataFrame, monitor: MonitorConfig) -> "pd.Series[pd.Timestamp]":
    """Return the time of each record; NaT if it has none."""
    if monitor.time is not None:
        return records[monitor.time]
    return pd.Series(pd.NaT, index=records.index, dtype="datetime64[us, UTC]")


def anomalies_of(
    flagged: pd.DataFrame,
    scored: pd.DataFrame,
    monitor: MonitorConfig,
    scorer: BoundScorer,
    at: datetime,
    look_alikes: LookAlikes = NO_LOOK_ALIKES,
) -> tuple[Anomaly, ...]:
    """Return flagged records with their scores as they are stored, with their causes and what mutes them.

    Args:
        flagged: the records.
        scored: of the records.
        monitor: of the records.
        scorer: of the page that they are on.
        at: the time of a record that has none.
        look_alikes: recognises flagged records that resemble labelled ones.
    """
    causes = scorer.explain(flagged, scored[ANOMALY_SCORE].to_numpy(), monitor.top_features)
    numbers = [scored.drop(columns=[IS_ANOMALY, *VAE_COLUMNS]), vae_scores_of(scored)]
    columns = pd.concat([identity_of(flagged, monitor), *(part.reset_index(drop=True) for part in numbers)], axis=1)
    maintenance = Maintenance.of(monitor)
    anomalies = (
        Anomaly(
            **{str(name): value for name, value in row.items()},
            explanation=cause,
            is_muted=maintenance.mutes(row["entity"], row["record_time"] or at),
            held_back=held_back_by(monitor.alert, cause),
        )
        for row, cause in zip(columns.to_dict("records"), causes, strict=True)
    )
    return tuple(_compared(anomaly, look_alikes) for anomaly in anomalies)


def _compared(anomaly: Anomaly, look_alikes: LookAlikes) -> Anomaly:
    """Return a flagged record with the labelled one that it resembles, if there is one."""
    found = look_alikes.resembled(anomaly.entity, anomaly.explanation, anomaly.record_time)
    if found is None:
        return anomaly
    if found.label == "confirmed":
        return replace(anomaly, raised_by=found.anomaly_id, raised_distance=found.distance)
    return replace(anomaly, suppressed_by=found.anomaly_id, suppressed_distance=found.distance)


def identity_of(records: pd.DataFrame, monitor: MonitorConfig) -> pd.DataFrame:
    """Return key, time and entity of each record as the store keeps them, None if missing."""
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
    numbers = [scored[[ANOMALY_SCORE, P_VALUE, IS_ANOMALY]], vae_scores_of(scored)]
    return pd.concat([identity_of(records, monitor), *(part.reset_index(drop=True) for part in numbers)], axis=1)


def vae_scores_of(scored: pd.DataFrame) -> pd.DataFrame:
    """Return the VAE scores of scored records as the store keeps them: None if missing or beyond all numbers."""
    numbers = scored[list(VAE_COLUMNS)]
    return numbers.astype("object").where(np.isfinite(numbers), None)


def _hours(times: "pd.Series[pd.Timestamp]", scored: pd.DataFrame) -> tuple[HourCount, ...]:
    """Count records and anomalies by hour."""
    counted = scored[IS_ANOMALY].groupby(pd.Index(times.dt.floor("h"))).agg(["size", "sum"])
    return tuple(
        HourCount(pd.Timestamp(hour).to_pydatetime(), int(size), int(flagged))
        for hour, size, flagged in counted.itertuples()
    )
