"""The records that a training may learn from, and how they are split: to train on, to calibrate with, to compare on."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import pandas as pd

from detector.core.about import TrainingRange
from detector.core.calibration import check_rate, conformal_rank
from detector.core.scorer import Scorer
from detector.records.copies import has_near_copies, is_copy
from detector.records.normal_records import (
    MIN_TRAINING_RECORDS,
    NormalRecords,
    calibration_size,
    calibration_split,
    split_by_entity,
)
from detector.series.segments import entities_of
from jobs.maintenance import Maintenance
from jobs.reading.source import Source, keys_of
from jobs.reading.tolerant import are_few
from jobs.reading.typed_columns import time_order
from jobs.store.feedback import Feedback, FlaggedIncident, Span
from jobs.training.lasting_levels import without_lasting_levels
from jobs.training.unlearned_incidents import is_near, shortest_cut, unlearned_incidents, unrejected
from schemas.config import MonitorConfig
from schemas.errors import NotEnoughRecords, RecordsError
from schemas.keys import Key, dump_key, key_label, load_key
from schemas.unreadable import UnreadableRecord, listed

MIN_HELD_OUT = 50
MAX_HELD_OUT = 5_000
HELD_OUT_SHARE = 0.1
MAX_HELD_OUT_SHARE = 0.25


@dataclass(frozen=True)
class TrainingSet:
    """Normal records in key order, and how many more were left out, by reason.

    Attributes:
        records: the records.
        left_out: number of records left out, by reason.
        places: (n,) of the records among all that were read; None if unknown.
        incidents: that were left out, without the records that somebody labelled as normal.
        shortest_cut: of series, the shortest time in seconds over which incidents were left out; None if none was.
    """

    records: pd.DataFrame
    left_out: Mapping[str, int]
    places: np.ndarray | None = None
    incidents: tuple[FlaggedIncident, ...] = ()
    shortest_cut: float | None = None


@dataclass(frozen=True)
class Parts:
    """Normal records by their use.

    Attributes:
        normal: to train on and to calibrate with.
        held_out: the newest, to compare models on; none if too few can be spared, or there is no champion.
        seen_by_champion: how many of the held-out records the champion was made from.
        copies: how many normal records were left out as copies of others.
        incidents: as in `TrainingSet`; a new model still has to flag them.
    """

    normal: NormalRecords
    held_out: pd.DataFrame
    seen_by_champion: int = 0
    copies: int = 0
    incidents: tuple[FlaggedIncident, ...] = ()


def read_training_set(source: Source, feedback: Feedback, at: datetime, champion: Scorer | None = None) -> TrainingSet:
    """Read the newest normal records within `retrain.history`, without records that may not be normal.

    Left out are records that cannot be read, records that people confirmed as anomalies, records in incidents that are
    open or real, records in other incidents unless `retrain.learn_incidents` admits them, and records in maintenance
    windows. A record is counted for the first reason that applies.
    """
    monitor = source.monitor
    unreadable: list[UnreadableRecord] = []
    records = source.read_normal(monitor.max_training_records, left_out=unreadable)
    _refuse_many(unreadable, len(records), source.name)
    labels = pd.Index([key_label(key) for key in keys_of(records, monitor.key)], dtype="object")
    is_old = _is_old(records, monitor, at)
    unlearned = without_lasting_levels(
        unlearned_incidents(feedback, monitor, labels[~is_old]), records, monitor, champion
    )
    reasons = {
        "older than retrain.history": is_old,
        "labelled as an anomaly": labels.isin(feedback.keys("confirmed")),
        "in an incident": _is_in_incident(records, labels, monitor, feedback.kept_out),
        "in an incident that nobody labelled as normal": _is_in_unlearned(records, labels, monitor, unlearned),
        "in a maintenance window": _is_muted(records, monitor),
    }
    kept = np.ones(len(records), dtype=bool)
    left_out = {f"that cannot be read: {listed(unreadable, 3)}": len(unreadable)}
    for reason, applies in reasons.items():
        left_out[reason] = int((kept & applies).sum())
        kept &= ~applies
    counts = {reason: count for reason, count in left_out.items() if count}
    incidents = unrejected([*feedback.kept_out, *unlearned], monitor, len(records))
    cut = shortest_cut(records, monitor, ~kept) if monitor.series is not None else None
    return TrainingSet(records[kept], counts, np.flatnonzero(kept), incidents, cut)


def _refuse_many(unreadable: Sequence[UnreadableRecord], readable: int, name: str) -> None:
    if unreadable and not are_few(unreadable, readable):
        count, total = len(unreadable), readable + len(unreadable)
        msg = f"{count:,} of {total:,} normal records cannot be read. {unreadable[0].sentence(name)}"
        raise RecordsError(msg)


def placed_records(normal: TrainingSet, monitor: MonitorConfig) -> TrainingSet:
    """Return the records that have a place in a series: a time and an entity.

    Raises:
        NotEnoughRecords: If there are none.
    """
    records = normal.records
    has_time = records[monitor.time].notna().to_numpy()
    has_entity = entities_of(records, monitor.entity) != ""
    counts = {"without a time": int((~has_time).sum()), "without an entity": int((has_time & ~has_entity).sum())}
    left_out = {**normal.left_out, **{reason: count for reason, count in counts.items() if count}}
    placed = records[has_time & has_entity]
    if placed.empty:
        raise NotEnoughRecords(0, 1, "with a time and an entity to train on")
    places = None if normal.places is None else normal.places[has_time & has_entity]
    return replace(normal, records=placed, left_out=left_out, places=places)


def split_records(normal: TrainingSet, monitor: MonitorConfig, unseen: frozenset[Key] | None) -> Parts:
    """Split normal records in order of time: to train on, to calibrate with, and the newest to compare models on.

    If the same measurements are stored several times, one record of each is used.

    Args:
        normal: the records.
        monitor: of the records.
        unseen: keys of the newest records that the champion was not made from; None if there is no champion.

    Raises:
        RecordsError: If they are too few to train on, or for the false-positive rate.
    """
    normal, copies = _without_copies(normal, monitor)
    records = normal.records
    if unseen is None:
        return Parts(_split_normal(normal, monitor), records.iloc[:0], copies=copies, incidents=normal.incidents)
    records = _by_time(records, monitor)
    size = held_out_size(len(records), _rate(monitor))
    held_out = records.iloc[len(records) - size :]
    is_unseen = np.array([key in unseen for key in keys_of(held_out, monitor.key)], dtype=bool)
    if is_unseen.sum() >= MIN_HELD_OUT:  # the others would flatter the champion
        held_out, is_unseen = held_out[is_unseen], is_unseen[is_unseen]
    rest = TrainingSet(records.iloc[: len(records) - size], normal.left_out)
    return Parts(_split_normal(rest, monitor), held_out, int((~is_unseen).sum()), copies, normal.incidents)


def split_series(normal: TrainingSet, monitor: MonitorConfig, seen: TrainingRange | None, *, is_first: bool) -> Parts:
    """Split normal records, in order of keys, into records to train on and the newest to compare models on.

    Args:
        normal: the records, all with a time.
        monitor: of the records.
        seen: the records that the champion was made from; None if no champion can score.
        is_first: whether there is no champion.
    """
    records = normal.records
    size = 0 if is_first else held_out_size(len(records), monitor.false_positive_rate)
    newest = np.argsort(records[monitor.time].to_numpy(), kind="stable")[len(records) - size :]
    is_held_out = np.zeros(len(records), dtype=bool)
    is_held_out[newest] = True
    rest, held_out = records[~is_held_out], records[is_held_out]
    seen_by_champion = _seen(held_out, monitor, seen)
    return Parts(NormalRecords(rest, rest.iloc[:0]), held_out, seen_by_champion, incidents=normal.incidents)


def held_out_size(n: int, rate: float | None) -> int:
    """Return how many of n normal records are held out for a comparison; 0 if the rest would be too few.

    >>> held_out_size(10_000, 0.01), held_out_size(300, 0.01), held_out_size(150, 0.1)
    (1000, 50, 0)
    """
    size = min(max(MIN_HELD_OUT, round(HELD_OUT_SHARE * n)), MAX_HELD_OUT)
    calibrate = calibration_size(n - size, rate)
    is_enough = rate is None or conformal_rank(rate, calibrate) >= 1
    can_spare = size <= MAX_HELD_OUT_SHARE * n and n - size - calibrate >= MIN_TRAINING_RECORDS
    return size if can_spare and is_enough else 0


def training_range(normal: TrainingSet, monitor: MonitorConfig, copies: int = 0) -> TrainingRange:
    """Describe the records that a model is made from, records held out for its comparison included.

    Args:
        normal: the records, with copies.
        monitor: of the records.
        copies: how many of them were left out as copies of others.
    """
    records = normal.records
    first, last = keys_of(records.iloc[[0, -1]], monitor.key)
    times = records[monitor.time].dropna() if monitor.time else pd.Series(dtype="object")
    return TrainingRange(
        records=len(records) - copies,
        first_key=key_label(first),
        last_key=key_label(last),
        upto_key=dump_key(last),
        first_time=times.min().isoformat() if len(times) else None,
        last_time=times.max().isoformat() if len(times) else None,
        left_out={**normal.left_out, **({"a copy of another record": copies} if copies else {})},
    )


def _seen(held_out: pd.DataFrame, monitor: MonitorConfig, seen: TrainingRange | None) -> int:
    """Count the held-out records that the champion was made from."""
    if seen is not None:
        upto = load_key(seen.upto_key)
        with suppress(TypeError):  # the key is of another type now: no record is certain to be of the old one
            return sum(key <= upto for key in keys_of(held_out, monitor.key))
    return 0


def _split_normal(normal: TrainingSet, monitor: MonitorConfig) -> NormalRecords:
    """Split records to train on and to calibrate with: the latest block in time, or a random draw."""
    records, rate = normal.records, _rate(monitor)
    size = calibration_size(len(records), rate)
    if len(records) - size < MIN_TRAINING_RECORDS:
        raise NotEnoughRecords(
            len(records), 2 * MIN_TRAINING_RECORDS, f"to train on and to calibrate with{_listed(normal.left_out)}"
        )
    if rate is not None:
        check_rate(rate, size)
    if monitor.is_calibrated_by_time:
        records = _by_time(records, monitor)
    training, calibration = calibration_split(
        len(records), size, monitor.model.seed, latest=monitor.is_calibrated_by_time
    )
    is_drawn = not monitor.is_calibrated_by_time
    if is_drawn and monitor.entity is not None:
        entities = entities_of(records, monitor.entity)
        if has_near_copies(records, monitor.features, entities):
            training, calibration = split_by_entity(entities, rate, monitor.model.seed)
            is_drawn = False
    return NormalRecords(records.iloc[training], records.iloc[calibration], is_drawn)


def _without_copies(normal: TrainingSet, monitor: MonitorConfig) -> tuple[TrainingSet, int]:
    """Return the first record of each measurement, and the number of its copies."""
    order = time_order(normal.records, monitor)
    is_kept = np.ones(len(order), dtype=bool)
    is_kept[order] = ~is_copy(normal.records.iloc[order], monitor.features)
    copies = int((~is_kept).sum())
    left_out = {**normal.left_out, **({"a copy of another record": copies} if copies else {})}
    return TrainingSet(normal.records[is_kept], left_out, incidents=normal.incidents), copies


def _by_time(records: pd.DataFrame, monitor: MonitorConfig) -> pd.DataFrame:
    """Return records in order of time; as they are for a monitor without one."""
    return records.iloc[time_order(records, monitor)]


def _rate(monitor: MonitorConfig) -> float | None:
    """Return the rate that the calibration records have to resolve; None if there is none."""
    return monitor.false_positive_rate if monitor.first_threshold == "conformal" else None


def _listed(left_out: Mapping[str, int]) -> str:
    listed = ", ".join(f"{count} {reason}" for reason, count in left_out.items())
    return f", in addition to the records left out ({listed})" if listed else ""


def _is_old(records: pd.DataFrame, monitor: MonitorConfig, at: datetime) -> np.ndarray:
    """Return (n,) bool: older than the window that ends with the newest record, or now if that is earlier."""
    if monitor.retrain.history is None or monitor.time is None or records.empty:
        return np.zeros(len(records), dtype=bool)
    times = records[monitor.time]
    newest = min(times.max(), pd.Timestamp(at))
    return np.asarray(~(times >= newest - monitor.retrain.history), dtype=bool)


def _is_in_incident(
    records: pd.DataFrame, labels: pd.Index, monitor: MonitorConfig, incidents: Sequence[FlaggedIncident]
) -> np.ndarray:
    """Return (n,) bool: flagged in an incident, or within its span."""
    spans = [incident.span for incident in incidents]
    is_then = is_near(records, monitor, spans) if monitor.series else _is_within(records, monitor, spans)
    return np.asarray(labels.isin([key for incident in incidents for key in _keys(incident)]) | is_then, dtype=bool)


def _is_in_unlearned(
    records: pd.DataFrame, labels: pd.Index, monitor: MonitorConfig, incidents: Sequence[FlaggedIncident]
) -> np.ndarray:
    """Return (n,) bool: flagged in an incident; in series, within its span or next to it as well."""
    if monitor.series is not None:
        return _is_in_incident(records, labels, monitor, incidents)
    return np.asarray(labels.isin([key for incident in incidents for key in _keys(incident)]), dtype=bool)


def _keys(incident: FlaggedIncident) -> tuple[str, ...]:
    return tuple(record.key for record in incident.records)


def _is_within(records: pd.DataFrame, monitor: MonitorConfig, spans: Sequence[Span]) -> np.ndarray:
    """Return (n,) bool: within a span in which the record's entity was not as usual."""
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
    """Return (n,) bool: in a maintenance window."""
    if monitor.time is None or not monitor.maintenance:
        return np.zeros(len(records), dtype=bool)
    maintenance = Maintenance.of(monitor)
    pairs = zip(_entities(records, monitor), records[monitor.time], strict=True)
    return np.array([not pd.isna(time) and maintenance.mutes(entity, time) for entity, time in pairs], dtype=bool)


def _entities(records: pd.DataFrame, monitor: MonitorConfig) -> np.ndarray:
    """Return (n,) texts or None, as the store keeps entities."""
    if monitor.entity is None:
        return np.full(len(records), None, dtype=object)
    texts = records[monitor.entity].astype("str").astype("object")
    return texts.where(texts.notna(), None).to_numpy()
