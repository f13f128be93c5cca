"""Labels of a history, each as one or more times of an entity, by which alarms are judged."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, TypeAlias

import numpy as np
import pandas as pd

from jobs.incident_gap import incident_gap
from jobs.store import AnomalyQuery, Store, StoredAnomaly, StoredIncident
from jobs.tuning.history import ScoredHistory

Verdict: TypeAlias = Literal["confirmed", "false_positive"]
VERDICTS: tuple[Verdict, ...] = ("confirmed", "false_positive")
_MAX_LABELS = 1_000


@dataclass(frozen=True)
class LabelledEvent:
    """Records of an entity that a person, or the label column, has a verdict on."""

    verdict: Verdict
    entity: str | None
    times: Sequence[datetime]

    def is_in(self, incident: StoredIncident) -> bool:
        """Return whether an incident holds one of the records."""
        if incident.entity != self.entity:
            return False
        return any(incident.start_time <= time <= incident.end_time for time in self.times)


@dataclass(frozen=True)
class LabelCounts:
    """Alarms compared with labels.

    Attributes:
        faults: number of known faults.
        found: number of these that an alerted incident holds.
        right: number of alerted incidents that hold a known fault.
        wrong: number of alerted incidents that are known to hold none.
    """

    faults: int
    found: int
    right: int
    wrong: int

    @property
    def recall(self) -> float | None:
        """The share of faults that were found; None without faults."""
        return self.found / self.faults if self.faults else None

    @property
    def precision(self) -> float | None:
        """The share of judged alarms that were right; None without any."""
        return self.right / (self.right + self.wrong) if self.right + self.wrong else None


def verdicts_of_people(store: Store, monitor: str, since: datetime, until: datetime) -> list[LabelledEvent]:
    """Return the labelled incidents of a span of time, and labelled records without one."""
    moment = timedelta(microseconds=1)
    rows = [
        row
        for verdict in VERDICTS
        for row in store.anomalies.page(
            AnomalyQuery(monitor, label=verdict, is_current=None, since=since, until=until + moment, limit=_MAX_LABELS)
        )
    ]
    grouped: dict[tuple[str, int], list[StoredAnomaly]] = defaultdict(list)
    for row in rows:
        grouped[row.label, -row.id if row.incident_id is None else row.incident_id].append(row)
    return [_event(verdict, items) for (verdict, _), items in sorted(grouped.items())]


def _event(verdict: str, rows: Sequence[StoredAnomaly]) -> LabelledEvent:
    times = [row.record_time for row in rows if row.record_time is not None]
    return LabelledEvent("confirmed" if verdict == "confirmed" else "false_positive", rows[0].entity, times)


def known_faults(history: ScoredHistory) -> list[LabelledEvent] | None:
    """Return the faults that the label column marks, those of an entity that are close in time as one; None without."""
    monitor = history.monitor
    if monitor.label is None or monitor.time is None:
        return None
    times: dict[str | None, list[datetime]] = defaultdict(list)
    for page in history.pages:
        is_fault = page.is_counted & (page.labels if page.labels is not None else np.False_)
        entities = page.records[monitor.entity] if monitor.entity else pd.Series(None, page.records.index, object)
        for time, entity in zip(page.records[monitor.time][is_fault], entities[is_fault], strict=True):
            if pd.notna(time):
                times[None if pd.isna(entity) else str(entity)].append(time.to_pydatetime())
    gap = incident_gap(monitor, history.scorer.about.pace)
    return [event for entity, of_entity in times.items() for event in _split(entity, of_entity, gap)]


def _split(entity: str | None, times: Iterable[datetime], gap: timedelta) -> Iterable[LabelledEvent]:
    """Yield the times of an entity, split at pauses that are longer than a gap."""
    part: list[datetime] = []
    for time in sorted(times):
        if part and time - part[-1] > gap:
            yield LabelledEvent("confirmed", entity, part)
            part = []
        part.append(time)
    if part:
        yield LabelledEvent("confirmed", entity, part)


def compared(alerted: Sequence[StoredIncident], events: Sequence[LabelledEvent], *, all_known: bool) -> LabelCounts:
    """Compare alerted incidents with labels.

    Args:
        alerted: the incidents.
        events: records with a verdict.
        all_known: whether an incident without a verdict is wrong, as by a label column.
    """
    by_verdict: Mapping[str, list[LabelledEvent]] = {
        verdict: [event for event in events if event.verdict == verdict] for verdict in VERDICTS
    }
    faults = by_verdict["confirmed"]
    right = [incident for incident in alerted if any(event.is_in(incident) for event in faults)]
    others = [incident for incident in alerted if incident not in right]
    wrong = [
        incident
        for incident in others
        if all_known or any(event.is_in(incident) for event in by_verdict["false_positive"])
    ]
    found = [event for event in faults if any(event.is_in(incident) for incident in alerted)]
    return LabelCounts(len(faults), len(found), len(right), len(wrong))
