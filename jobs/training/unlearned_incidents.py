"""The ended incidents that a training leaves out, since nobody has called them normal."""

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from detector.core.calibration import severity
from detector.series.segments import entities_of, positions_of
from jobs.store.feedback import Feedback, FlaggedIncident, FlaggedRecord, Span
from schemas.config import MonitorConfig
from schemas.frames import UNGROUPED_ENTITY
from schemas.labels import LEARNED_LABELS

MAX_CHANCE_RECORDS = 10  # flagged records of an incident of a series that chance may explain
MARGIN_RECORDS = 16  # of a series before and after an incident: the score follows a fault with a delay, and lingers


@dataclass(frozen=True)
class LearnedShare:
    """The flagged records that chance explains: models may learn them although nobody has labelled them.

    Without them the calibration scores of a new model would lack their largest, its threshold would be too low, and
    lower with each training.

    Attributes:
        records: how many the false-positive rate flags by chance.
        severity: chance makes only one record as severe as this, or none.
    """

    records: int
    severity: float

    @classmethod
    def of(cls, monitor: MonitorConfig, read: int) -> "LearnedShare":
        """Return the share of a number of records; none if no rate sets the threshold."""
        has_rate = monitor.first_threshold != "f_beta" and read > 0
        if not has_rate:
            return cls(0, 0.0)
        return cls(int(monitor.false_positive_rate * read), float(severity(np.array([1 / read]))[0]))


def unlearned_incidents(
    feedback: Feedback, monitor: MonitorConfig, keys: Collection[str]
) -> tuple[FlaggedIncident, ...]:
    """Return the ended incidents that a training leaves out, each with the flagged records that it leaves out.

    Args:
        feedback: on the monitor's records.
        monitor: of the records.
        keys: of the records that the training has read.
    """
    policy, read = monitor.retrain.learn_incidents, frozenset(keys)
    if policy == "all":
        return ()
    incidents = [_with_records(incident, lambda record: record.key in read) for incident in feedback.ended]
    incidents = [incident for incident in incidents if incident.records]
    if policy == "never":
        return tuple(incidents)
    share = LearnedShare.of(monitor, len(read))
    return _without_learned_series(incidents, share) if monitor.series else _without_learned_records(incidents, share)


def unrejected(incidents: Sequence[FlaggedIncident], monitor: MonitorConfig, read: int) -> tuple[FlaggedIncident, ...]:
    """Return the incidents that chance does not explain, with the records that nobody labelled as normal.

    Slight ones are left away: after a drift, a better model no longer flags them.
    """
    smallest = LearnedShare.of(monitor, read).severity
    kept = [
        _with_records(item, lambda record: record.label not in LEARNED_LABELS)
        for item in incidents
        if not item.is_suppressed
    ]
    return tuple(incident for incident in kept if incident.records and _peak(incident) >= smallest)


def is_near(records: pd.DataFrame, monitor: MonitorConfig, spans: Sequence[Span]) -> np.ndarray:
    """Return whether each of n records of series lies in a span of its entity, or next to one, (n,) bool."""
    near, times = np.zeros(len(records), dtype=bool), records[str(monitor.time)]
    by_entity: dict[str, list[Span]] = defaultdict(list)
    for span in spans:
        by_entity[entity_of(span, monitor)].append(span)
    for entity, rows in positions_of(entities_of(records, monitor.entity)).items():
        ordered = rows[np.argsort(times.iloc[rows].to_numpy(), kind="stable")]  # missing times come last
        ordered_times = pd.DatetimeIndex(times.iloc[ordered].dropna())
        for span in by_entity[entity]:
            first = ordered_times.searchsorted(pd.Timestamp(span.start), side="left")
            end = ordered_times.searchsorted(pd.Timestamp(span.end), side="right")
            if end > first:
                near[ordered[max(0, first - MARGIN_RECORDS) : end + MARGIN_RECORDS]] = True
    return near


def entity_of(span: Span, monitor: MonitorConfig) -> str:
    """Return the entity of a span, as a model of series names it."""
    return UNGROUPED_ENTITY if monitor.entity is None else span.entity or ""


def shortest_cut(records: pd.DataFrame, monitor: MonitorConfig, is_left_out: np.ndarray) -> float | None:
    """Return the shortest time, in seconds, over which many records of an entity in a row are left out, or None.

    A model must not take the records before and after a cut for neighbours.
    """
    times, steps = records[str(monitor.time)], []
    for rows in positions_of(entities_of(records, monitor.entity)).values():
        ordered = rows[np.argsort(times.iloc[rows].to_numpy(), kind="stable")]
        kept = np.flatnonzero(~is_left_out[ordered])
        is_cut = np.diff(kept) > MARGIN_RECORDS  # without single records, which are no break
        before, after = kept[:-1][is_cut], kept[1:][is_cut]
        step = times.iloc[ordered[after]].to_numpy() - times.iloc[ordered[before]].to_numpy()
        steps += (step / np.timedelta64(1, "s")).tolist()
    return min((step for step in steps if step > 0), default=None)


def _with_records(incident: FlaggedIncident, is_kept: Callable[[FlaggedRecord], bool]) -> FlaggedIncident:
    return replace(incident, records=tuple(filter(is_kept, incident.records)))


def _without_learned_records(incidents: Sequence[FlaggedIncident], share: LearnedShare) -> tuple[FlaggedIncident, ...]:
    """Leave away the records that are labelled as normal, and the least severe ones that chance explains."""
    records = [record for incident in incidents for record in incident.records]
    learned = {record.key for record in records if record.label in LEARNED_LABELS}
    doubtful = sorted((r for r in records if r.key not in learned), key=lambda r: (r.severity, r.key))
    by_chance = [record.key for record in doubtful if record.severity < share.severity]
    learned.update(by_chance[: max(0, share.records - len(learned))])
    rest = [_with_records(incident, lambda record: record.key not in learned) for incident in incidents]
    return tuple(incident for incident in rest if incident.records)


def _without_learned_series(incidents: Sequence[FlaggedIncident], share: LearnedShare) -> tuple[FlaggedIncident, ...]:
    """Leave away the incidents that are labelled as normal, and the shortest ones that chance explains."""
    labelled = [item for item in incidents if _is_normal(item)]
    doubtful = [item for item in incidents if not _is_normal(item)]
    left = share.records - sum(len(item.records) for item in labelled)
    unlearned = []
    for incident in sorted(doubtful, key=lambda item: (len(item.records), _peak(item))):
        is_slight = len(incident.records) <= MAX_CHANCE_RECORDS and _peak(incident) < share.severity
        if is_slight and len(incident.records) <= left:
            left -= len(incident.records)
        else:
            unlearned.append(incident)
    return tuple(sorted(unlearned, key=lambda item: item.span.start))


def _is_normal(incident: FlaggedIncident) -> bool:
    """Return whether an incident of series is labelled as normal, or resembles one that is."""
    return incident.is_suppressed or all(record.label in LEARNED_LABELS for record in incident.records)


def _peak(incident: FlaggedIncident) -> float:
    return max(record.severity for record in incident.records)
