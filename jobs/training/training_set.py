"""The records that a training may learn from, and those of them that are held out for its comparison."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from detector.core.calibration import check_rate, conformal_rank
from detector.records.fitting import MIN_TRAINING_RECORDS, NormalRecords, calibration_size, split_records
from jobs.maintenance import Maintenance
from jobs.reading.source import Source, keys_of
from jobs.store.feedback import Feedback, Span
from schemas.config import MonitorConfig
from schemas.errors import NotEnoughRecords
from schemas.keys import Key, dump_key, key_label
from schemas.labels import REAL_LABELS

MIN_HELD_OUT = 50
MOST_HELD_OUT = 5_000
HELD_OUT_SHARE = 0.1
MOST_HELD_OUT_SHARE = 0.25


@dataclass(frozen=True)
class TrainingSet:
    """Normal records in key order, and how many more were left out, by reason."""

    records: pd.DataFrame
    left_out: Mapping[str, int]


@dataclass(frozen=True)
class Parts:
    """Normal records by what they are for.

    Attributes:
        normal: to train on and to calibrate with.
        held_out: the newest, to compare models on; none where too few can be spared, or there is no champion.
        seen_by_champion: how many of the held-out records the champion was made from.
    """

    normal: NormalRecords
    held_out: pd.DataFrame
    seen_by_champion: int = 0


def read_training_set(source: Source, feedback: Feedback, at: datetime) -> TrainingSet:
    """The newest normal records within `retrain.history`, without those of which something is known to be wrong.

    Left out are records that people labelled as real anomalies, records in incidents that are open or real, and
    those in maintenance windows. A record is counted for the first reason that applies.
    """
    monitor = source.monitor
    records = source.read_normal(monitor.max_training_records)
    labels = pd.Index([key_label(key) for key in keys_of(records, monitor.key)], dtype="object")
    reasons = {
        "older than retrain.history": _is_old(records, monitor, at),
        "labelled as an anomaly": labels.isin(feedback.keys(*REAL_LABELS)),
        "in an incident": labels.isin(list(feedback.in_incidents)) | _is_within(records, monitor, feedback.spans),
        "in a maintenance window": _is_muted(records, monitor),
    }
    kept = np.ones(len(records), dtype=bool)
    left_out = {}
    for reason, applies in reasons.items():
        left_out[reason] = int((kept & applies).sum())
        kept &= ~applies
    return TrainingSet(records[kept], {reason: count for reason, count in left_out.items() if count})


def split_training_set(found: TrainingSet, monitor: MonitorConfig, unseen: frozenset[Key] | None) -> Parts:
    """Cut normal records in order of time: to train on, to calibrate with, and the newest to compare models on.

    Args:
        found: the records.
        monitor: says how they are cut.
        unseen: keys of the newest records that the champion was not made from; None where there is no champion.

    Raises:
        RecordsError: where they are too few to train on, or for the false-positive rate.
    """
    records = found.records
    if unseen is None:
        return Parts(_split_normal(found, monitor), records.iloc[:0])
    if monitor.time is not None:
        records = records.sort_values(monitor.time, kind="stable", na_position="first")
    rest = len(records) - held_out_size(len(records), _rate(monitor))
    held_out = records.iloc[rest:]
    is_unseen = np.array([key in unseen for key in keys_of(held_out, monitor.key)], dtype=bool)
    if is_unseen.sum() >= MIN_HELD_OUT:  # the others would flatter the champion
        held_out, is_unseen = held_out[is_unseen], is_unseen[is_unseen]
    normal = _split_normal(TrainingSet(records.iloc[:rest], found.left_out), monitor)
    return Parts(normal, held_out, int((~is_unseen).sum()))


def held_out_size(n: int, rate: float | None) -> int:
    """How many of n normal records are held out for a comparison; none where the rest would be too few.

    >>> held_out_size(10_000, 0.01), held_out_size(300, 0.01), held_out_size(150, 0.1)
    (1000, 50, 0)
    """
    size = min(max(MIN_HELD_OUT, round(HELD_OUT_SHARE * n)), MOST_HELD_OUT)
    calibrate = calibration_size(n - size, rate)
    is_enough = rate is None or conformal_rank(rate, calibrate) >= 1
    can_spare = size <= MOST_HELD_OUT_SHARE * n and n - size - calibrate >= MIN_TRAINING_RECORDS
    return size if can_spare and is_enough else 0


def training_range(found: TrainingSet, monitor: MonitorConfig) -> dict[str, Any]:
    """What the model was made from, records held out for it included: how many, from where to where, without which."""
    records = found.records
    first, last = keys_of(records.iloc[[0, -1]], monitor.key)
    times = records[monitor.time].dropna() if monitor.time else pd.Series(dtype="object")
    return {
        "records": len(records),
        "first_key": key_label(first),
        "last_key": key_label(last),
        "upto_key": dump_key(last),
        "first_time": times.min().isoformat() if len(times) else None,
        "last_time": times.max().isoformat() if len(times) else None,
        "left_out": dict(found.left_out),
    }


def _split_normal(found: TrainingSet, monitor: MonitorConfig) -> NormalRecords:
    """Normal records to train on and to calibrate with: the latest block in time, or a random draw."""
    records, rate = found.records, _rate(monitor)
    size = calibration_size(len(records), rate)
    if len(records) - size < MIN_TRAINING_RECORDS:
        raise NotEnoughRecords(
            len(records), 2 * MIN_TRAINING_RECORDS, f"to train on and to calibrate with{_others(found)}"
        )
    if rate is not None:
        check_rate(rate, size)
    if monitor.is_calibrated_by_time and monitor.time is not None:
        records = records.sort_values(monitor.time, kind="stable", na_position="first")
    training, calibration = split_records(len(records), size, monitor.model.seed, latest=monitor.is_calibrated_by_time)
    return NormalRecords(records.iloc[training], records.iloc[calibration])


def _rate(monitor: MonitorConfig) -> float | None:
    """The rate that the calibration records have to resolve."""
    return monitor.false_positive_rate if monitor.first_threshold == "conformal" else None


def _others(found: TrainingSet) -> str:
    listed = ", ".join(f"{count} {reason}" for reason, count in found.left_out.items())
    return f", beside those left out ({listed})" if listed else ""


def _is_old(records: pd.DataFrame, monitor: MonitorConfig, at: datetime) -> np.ndarray:
    """(n,) bool: older than the trailing window, which ends with the newest record, or now where that is ahead."""
    if monitor.retrain.history is None or monitor.time is None or records.empty:
        return np.zeros(len(records), dtype=bool)
    times = records[monitor.time]
    newest = min(times.max(), pd.Timestamp(at))
    return np.asarray(~(times >= newest - monitor.retrain.history), dtype=bool)


def _is_within(records: pd.DataFrame, monitor: MonitorConfig, spans: tuple[Span, ...]) -> np.ndarray:
    """(n,) bool: of an entity, and at a time, in which it was not as usual."""
    within = np.zeros(len(records), dtype=bool)
    if monitor.time is None or records.empty:
        return within
    times, entities = records[monitor.time], _entities(records, monitor)
    first = times.min()
    for span in spans:
        if span.end >= first:
            is_then = times.between(pd.Timestamp(span.start), pd.Timestamp(span.end)).to_numpy(dtype=bool)
            within |= is_then & (entities == span.entity)
    return within


def _is_muted(records: pd.DataFrame, monitor: MonitorConfig) -> np.ndarray:
    """(n,) bool: in a maintenance window."""
    if monitor.time is None or not monitor.maintenance:
        return np.zeros(len(records), dtype=bool)
    maintenance = Maintenance.of(monitor)
    pairs = zip(_entities(records, monitor), records[monitor.time], strict=True)
    return np.array([not pd.isna(time) and maintenance.mutes(entity, time) for entity, time in pairs], dtype=bool)


def _entities(records: pd.DataFrame, monitor: MonitorConfig) -> np.ndarray:
    """(n,) text or None, as the store keeps them."""
    if monitor.entity is None:
        return np.full(len(records), None, dtype=object)
    texts = records[monitor.entity].astype("str").astype("object")
    return texts.where(texts.notna(), None).to_numpy()
