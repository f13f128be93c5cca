"""What a monitor made of events that are known: which it found, and what it flagged beside them."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from jobs.demo.events import Event
from jobs.demo.timeline import Timeline
from jobs.store import StoredIncident
from schemas.frames import IS_ANOMALY

AFTER = timedelta(hours=1)  # what is no fault must not alarm by its end either


@dataclass(frozen=True)
class Outcome:
    """What became of an event.

    Attributes:
        event: that was put in.
        records: of it.
        flagged: of these; where it is no fault, of the hour after it too.
        found_at: when the first record of a fault was flagged for a channel that the fault changes.
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
class Verdict:
    """What a monitor made of what it was not trained on.

    Attributes:
        incidents: in order of time.
        outcomes: of the events.
        normal_records: records that are no fault.
        normal_flagged: of these.
        echoes: of those, the ones that belong to incidents of a fault, which ended later or began earlier than it.
    """

    incidents: tuple[MatchedIncident, ...]
    outcomes: tuple[Outcome, ...]
    normal_records: int
    normal_flagged: int
    echoes: int

    @property
    def false_alarm_rate(self) -> float:
        """Share of the normal records that are flagged."""
        return self.normal_flagged / self.normal_records


def entity_threshold(course: Timeline) -> Verdict:
    """Compare what was flagged with what was put in."""
    incidents = tuple(MatchedIncident(incident, _overlapping(incident, course)) for incident in course.incidents)
    faults = {event.name for event in course.events if event.is_fault}
    of_faults = [item.incident.id for item in incidents if faults.intersection(item.events)]
    normal = course.records[~course.records["is_fault"]]
    flagged = normal[normal[IS_ANOMALY]]
    return Verdict(
        incidents=incidents,
        outcomes=tuple(_outcomes(course)),
        normal_records=len(normal),
        normal_flagged=len(flagged),
        echoes=int(flagged["incident"].isin(of_faults).sum()),
    )


def _overlapping(incident: StoredIncident, course: Timeline) -> tuple[str, ...]:
    return tuple(
        event.name
        for event in course.events
        if event.pump == incident.entity and event.start <= incident.end_time and incident.start_time <= event.end
    )


def _outcomes(course: Timeline) -> Iterator[Outcome]:
    for event in course.events:
        of_pump = course.records[course.records["entity"] == event.pump]
        until = event.end if event.is_fault else event.end + AFTER
        flagged = of_pump[of_pump[IS_ANOMALY] & of_pump["time"].between(event.start, until)]
        named = flagged["time"][flagged["cause"].isin(event.channels)] if event.is_fault else flagged["time"][:0]
        records = int(of_pump["time"].between(event.start, event.end).sum())
        yield Outcome(event, records, len(flagged), None if named.empty else named.min().to_pydatetime())
