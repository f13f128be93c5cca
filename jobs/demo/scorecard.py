"""The demo's scorecard: which injected events the monitor detected, and which other records it flagged."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from jobs.demo.events import Event
from jobs.demo.timeline import Timeline
from jobs.store import StoredIncident
from schemas.frames import IS_ANOMALY

AFTERMATH = timedelta(hours=1)
"""Flagged records this long after an event that is no fault still count as its false alarms."""


@dataclass(frozen=True)
class Outcome:
    """The detection of one event.

    Attributes:
        event: the injected event.
        records: number of its records.
        flagged: number of its flagged records; if it is no fault, including those in its aftermath.
        found_at: time of the first record that was flagged for a channel that the fault changes, or None.
    """

    event: Event
    records: int
    flagged: int
    found_at: datetime | None


@dataclass(frozen=True)
class MatchedIncident:
    """An incident, and the names of the events that it overlaps."""

    incident: StoredIncident
    events: tuple[str, ...]


@dataclass(frozen=True)
class Scorecard:
    """Detections and false alarms among the records after the training.

    Attributes:
        incidents: in order of time.
        outcomes: one for each event.
        normal_records: number of records outside faults.
        normal_flagged: number of flagged records outside faults.
        echoes: number of flagged records outside faults whose incident overlaps a fault.
    """

    incidents: tuple[MatchedIncident, ...]
    outcomes: tuple[Outcome, ...]
    normal_records: int
    normal_flagged: int
    echoes: int

    @property
    def false_alarm_rate(self) -> float:
        """Flagged share of the records outside faults."""
        return self.normal_flagged / self.normal_records


def compare_with_events(timeline: Timeline) -> Scorecard:
    """Compare the flagged records and incidents of a timeline with the injected events."""
    incidents = tuple(MatchedIncident(incident, _overlapping(incident, timeline)) for incident in timeline.incidents)
    faults = {event.name for event in timeline.events if event.is_fault}
    fault_incidents = [item.incident.id for item in incidents if faults.intersection(item.events)]
    normal = timeline.records[~timeline.records["is_fault"]]
    flagged = normal[normal[IS_ANOMALY]]
    return Scorecard(
        incidents=incidents,
        outcomes=tuple(_outcomes(timeline)),
        normal_records=len(normal),
        normal_flagged=len(flagged),
        echoes=int(flagged["incident"].isin(fault_incidents).sum()),
    )


def _overlapping(incident: StoredIncident, timeline: Timeline) -> tuple[str, ...]:
    return tuple(
        event.name
        for event in timeline.events
        if event.pump == incident.entity and event.start <= incident.end_time and incident.start_time <= event.end
    )


def _outcomes(timeline: Timeline) -> Iterator[Outcome]:
    for event in timeline.events:
        pump = timeline.records[timeline.records["entity"] == event.pump]
        until = event.end if event.is_fault else event.end + AFTERMATH
        flagged = pump[pump[IS_ANOMALY] & pump["time"].between(event.start, until)]
        attributed = flagged["time"][flagged["cause"].isin(event.channels)] if event.is_fault else flagged["time"][:0]
        records = int(pump["time"].between(event.start, event.end).sum())
        found_at = None if attributed.empty else attributed.min().to_pydatetime()
        yield Outcome(event, records, len(flagged), found_at)
