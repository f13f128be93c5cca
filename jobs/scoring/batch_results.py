"""Records in, what is to be kept of them out: anomalies with their causes, and the counts of each hour."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING

import pandas as pd

from detector.series.segments import entities_of
from jobs.maintenance import Maintenance
from jobs.reading.records import keys_of
from jobs.store.batch_result import Anomaly, BatchResult, Fingerprint, HourCount, ThresholdChange, summed
from schemas.config import MonitorConfig
from schemas.frames import ANOMALY_SCORE, IS_ANOMALY, P_VALUE
from schemas.keys import key_label

if TYPE_CHECKING:
    from detector.records.scorer import RecordScorer
    from detector.series.scorer import BoundSeriesScorer


def score_page(
    records: pd.DataFrame, monitor: MonitorConfig, scorer: "RecordScorer | BoundSeriesScorer", at: datetime
) -> BatchResult:
    """The anomalies among n records, with their causes, the counts of each hour, and the records' profile.

    Records that the scorer leaves out are read, and no more.

    Args:
        records: to score.
        monitor: what is watched.
        scorer: scores them.
        at: the time of a record that has none.
    """
    scored = scorer.score(records)
    profile = scorer.profile
    times = record_times(records, monitor)
    is_scored = scored[ANOMALY_SCORE].notna()
    return BatchResult(
        records=len(records),
        anomalies=_anomalies(records[scored[IS_ANOMALY]], scored[scored[IS_ANOMALY]], monitor, scorer, at),
        hours=_hours(times.fillna(pd.Timestamp(at))[is_scored], scored[is_scored]),
        scores=_all_scores(records[is_scored], scored[is_scored], monitor) if monitor.store_scores == "all" else None,
        newest_time=times.max().to_pydatetime() if times.notna().any() else None,
        profile=None if profile is None else profile.counts(records, scored[P_VALUE].to_numpy()),
        entities=None if monitor.series is None else Counter(entities_of(records, monitor.entity).tolist()),
    )


def combined(
    parts: Sequence[BatchResult],
    tally: Fingerprint,
    threshold_changes: Mapping[str, ThresholdChange] = MappingProxyType({}),
) -> BatchResult:
    """The results of the pages of a batch as that of the whole.

    Args:
        parts: of each page.
        tally: of the whole, taken before the first page was read.
        threshold_changes: of the tracked thresholds over the whole.
    """
    hours: dict[datetime, list[int]] = defaultdict(lambda: [0, 0])
    for count in (count for part in parts for count in part.hours):
        hours[count.hour][0] += count.records
        hours[count.hour][1] += count.anomalies
    frames = [part.scores for part in parts if part.scores is not None]
    profiles = [part.profile for part in parts if part.profile is not None]
    entities = [part.entities for part in parts if part.entities is not None]
    return BatchResult(
        records=sum(part.records for part in parts),
        anomalies=tuple(item for part in parts for item in part.anomalies),
        hours=tuple(HourCount(hour, *counts) for hour, counts in sorted(hours.items())),
        scores=pd.concat(frames, ignore_index=True) if frames else None,
        newest_time=max((part.newest_time for part in parts if part.newest_time is not None), default=None),
        tally=tally,
        profile=summed(profiles) if profiles else None,
        entities=sum(map(Counter, entities), Counter()) if entities or not parts else None,  # all may have vanished
        threshold_changes=threshold_changes,
    )


def record_times(records: pd.DataFrame, monitor: MonitorConfig) -> "pd.Series[pd.Timestamp]":
    """The time of each record, missing where it has none."""
    if monitor.time is not None:
        return records[monitor.time]
    return pd.Series(pd.NaT, index=records.index, dtype="datetime64[us, UTC]")


def _anomalies(
    flagged: pd.DataFrame,
    found: pd.DataFrame,
    monitor: MonitorConfig,
    scorer: "RecordScorer | BoundSeriesScorer",
    at: datetime,
) -> tuple[Anomaly, ...]:
    causes = scorer.explain(flagged, found[ANOMALY_SCORE].to_numpy(), monitor.top_features)
    columns = pd.concat([_identity(flagged, monitor), found.drop(columns=IS_ANOMALY).reset_index(drop=True)], axis=1)
    maintenance = Maintenance.of(monitor)
    return tuple(
        Anomaly(
            **{str(name): value for name, value in row.items()},
            explanation=cause,
            is_muted=maintenance.mutes(row["entity"], row["record_time"] or at),
        )
        for row, cause in zip(columns.to_dict("records"), causes, strict=True)
    )


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


def _hours(times: "pd.Series[pd.Timestamp]", scored: pd.DataFrame) -> tuple[HourCount, ...]:
    """Records and anomalies by hour."""
    counted = scored[IS_ANOMALY].groupby(pd.Index(times.dt.floor("h"))).agg(["size", "sum"])
    return tuple(
        HourCount(pd.Timestamp(hour).to_pydatetime(), int(size), int(flagged))
        for hour, size, flagged in counted.itertuples()
    )
