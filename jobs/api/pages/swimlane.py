"""Incidents as bars in lanes over time: one lane for each entity, or for each main cause."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, TypeAlias

from jobs.store import StoredIncident

LaneKind: TypeAlias = Literal["entity", "cause"]
WIDTH = 1000.0  # of a lane; the page scales it
_MIN_BAR_WIDTH = 4.0
_TICKS = 6
_STEPS = tuple(
    timedelta(minutes=minutes) for minutes in (1, 5, 15, 30, 60, 180, 360, 720, 1440, 2880, 10080, 43200, 129600)
)


@dataclass(frozen=True)
class Bar:
    """An incident in a lane."""

    incident: StoredIncident
    x: float
    width: float


@dataclass(frozen=True)
class Lane:
    """The incidents of one entity or cause; the name is None if they have none."""

    name: str | None
    bars: tuple[Bar, ...]
    peak_severity: float


@dataclass(frozen=True)
class Tick:
    """A mark on the axis of time."""

    time: datetime
    x: float


@dataclass(frozen=True)
class Span:
    """The part of the time that a swimlane shows; the end is exclusive."""

    since: datetime
    until: datetime

    def x_of(self, time: datetime) -> float:
        """Return the place of a time in a lane, from 0 to 1000."""
        share = (time - self.since) / (self.until - self.since)
        return WIDTH * min(max(share, 0.0), 1.0)


def lane_name(incident: StoredIncident, by: LaneKind) -> str | None:
    """Return the lane of an incident."""
    return incident.entity if by == "entity" else incident.top_feature


def lanes_of(incidents: Sequence[StoredIncident], span: Span, by: LaneKind) -> list[Lane]:
    """Return the lanes of incidents, that with the highest severity first."""
    grouped: dict[str | None, list[StoredIncident]] = defaultdict(list)
    for incident in incidents:
        grouped[lane_name(incident, by)].append(incident)
    lanes = [
        Lane(name, tuple(_bar(item, span) for item in items), max(item.peak_severity for item in items))
        for name, items in grouped.items()
    ]
    return sorted(lanes, key=lambda lane: (-lane.peak_severity, lane.name or ""))


def ticks_of(span: Span) -> list[Tick]:
    """Return marks at round times, at most six or so.

    >>> from datetime import UTC
    >>> day = Span(datetime(2026, 3, 1, 5, 30, tzinfo=UTC), datetime(2026, 3, 2, 5, 30, tzinfo=UTC))
    >>> [tick.time.hour for tick in ticks_of(day)]
    [6, 12, 18, 0]
    """
    length = span.until - span.since
    step = next((step for step in _STEPS if length / step <= _TICKS), _STEPS[-1])
    epoch = datetime(2000, 1, 3, tzinfo=span.since.tzinfo)  # a Monday
    first = epoch + step * -((epoch - span.since) // step)
    times = [first + step * position for position in range(-((first - span.until) // step))]  # none at the end
    return [Tick(time, span.x_of(time)) for time in times]


def _bar(incident: StoredIncident, span: Span) -> Bar:
    left, right = span.x_of(incident.start_time), span.x_of(incident.end_time)
    width = max(right - left, _MIN_BAR_WIDTH)
    return Bar(incident, min(left, WIDTH - width), width)
