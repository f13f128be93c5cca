"""Incidents of series that recur: ones like those labelled as false alarms, at the same time of day.

The records of an event differ from its beginning to its end, and after it the model finds the return to normal odd. So
the largest deviations of whole incidents are compared, by feature and direction, with their lengths and times of day.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo

from jobs.causes import vector_of
from jobs.store.alert_rule import MAIN_CAUSE_SHARE, ReadCauses
from jobs.store.incident_summary import IncidentSummary
from jobs.store.labelled_examples import LabelledExample, by_incident
from jobs.times_of_day import is_same_time_of_day

_Causes: TypeAlias = Sequence[Mapping[str, Any]]
_Sizes: TypeAlias = Mapping[tuple[str, bool], float]  # by feature, and whether it is above its expected value

EXCESS_RADII = 1.5  # what the same time of day allows
CLEARANCE = 3  # radii: with a confirmed label within this distance, a false positive suppresses nothing
MAX_LENGTH_RATIO = 1.5
MAX_LENGTH = timedelta(hours=12)  # of a labelled incident: longer ones are no event of a time of day
FEWEST_MOMENTS = 2  # labels that it takes if each is of a single moment


@dataclass(frozen=True)
class _Course:
    """A labelled incident: one of its rows, its time, and the sizes of its deviations."""

    anomaly_id: int
    start: datetime
    end: datetime
    sizes: _Sizes

    @property
    def length(self) -> timedelta:
        return self.end - self.start

    def has_time_of(self, summary: IncidentSummary, zone: ZoneInfo) -> bool:
        """Return whether an incident began at the same time of day and has not lasted clearly longer."""
        length = summary.end_time - summary.start_time
        is_short = self.length <= MAX_LENGTH and length <= MAX_LENGTH_RATIO * self.length
        return is_short and is_same_time_of_day(self.start, summary.start_time, zone)

    def is_led_by(self, deviation: tuple[str, bool]) -> bool:
        """Return whether a deviation is among the largest."""
        return self.sizes.get(deviation, 0.0) >= MAIN_CAUSE_SHARE * max(self.sizes.values())


class RecurringIncidents:
    """The labelled incidents of a monitor of series, by entity.

    Args:
        examples: labelled rows, those with the newest label first.
        radius: the distance of look-alikes; 0 for none.
        zone: of the times of day.
    """

    def __init__(self, examples: Iterable[LabelledExample], radius: float, zone: ZoneInfo) -> None:
        self._radius, self._zone = radius, zone
        self._courses: dict[tuple[str | None, str], list[_Course]] = defaultdict(list)
        labelled = [example for example in examples if example.attribution] if radius > 0 else []
        for rows in by_incident(labelled):
            course = _course_of(rows)
            if course is not None:
                self._courses[rows[0].entity, rows[0].label].append(course)

    def false_alarm_like(self, summary: IncidentSummary, read_causes: ReadCauses) -> int | None:
        """Return a row labelled as a false positive of an incident that another one repeats so far, or None."""
        courses = self._courses.get((summary.entity, "false_positive"), ())
        near = [course for course in courses if course.has_time_of(summary, self._zone)]
        if not _are_enough(near):
            return None
        sizes = sizes_of(read_causes())
        alike = [course for course in near if sizes and course.is_led_by(max(sizes, key=lambda key: sizes[key]))]
        if not _are_enough(alike) or self._is_confirmed_near(summary.entity, sizes):
            return None
        if excess(sizes, _envelope(alike)) > EXCESS_RADII * self._radius:
            return None
        return min(alike, key=lambda course: excess(sizes, course.sizes)).anomaly_id

    def _is_confirmed_near(self, entity: str | None, sizes: _Sizes) -> bool:
        confirmed = self._courses.get((entity, "confirmed"), ())
        return any(excess(sizes, course.sizes) <= CLEARANCE * self._radius for course in confirmed)


def sizes_of(records: Iterable[_Causes]) -> _Sizes:
    """Return the largest deviations of the records of an incident, each times its part of the shares of its record.

    Returns to normal do not count.
    """
    sizes: dict[tuple[str, bool], float] = {}
    for causes in records:
        returning = {cause["feature"] for cause in causes if cause.get("is_return")}
        for feature, size in vector_of(causes).items():
            if feature not in returning:
                key = feature, size > 0
                sizes[key] = max(sizes.get(key, 0.0), abs(size))
    return sizes


def excess(sizes: _Sizes, others: _Sizes) -> float:
    """Return by how much deviations exceed others, as a share of their length: what is smaller exceeds nothing.

    >>> excess({("flow", True): 3.0, ("temp", True): 4.0}, {("flow", True): 5.0, ("temp", True): 3.0})
    0.2
    """
    beyond = (size - others.get(key, 0.0) for key, size in sizes.items())
    return math.hypot(*(max(0.0, size) for size in beyond)) / (math.hypot(*sizes.values()) or 1.0)


def _are_enough(courses: Sequence[_Course]) -> bool:
    """Return whether labels suffice: one of an event with a length, or two of single moments.

    A single moment may be the only one of each day, and then its time of day means nothing.
    """
    return any(course.length for course in courses) or len(courses) >= FEWEST_MOMENTS


def _envelope(courses: Iterable[_Course]) -> _Sizes:
    sizes: dict[tuple[str, bool], float] = {}
    for course in courses:
        for key, size in course.sizes.items():
            sizes[key] = max(sizes.get(key, 0.0), size)
    return sizes


def _course_of(rows: Sequence[LabelledExample]) -> _Course | None:
    """Return the course of a labelled incident; None if its rows have no time, or are returns to normal alone."""
    sizes = sizes_of(row.attribution for row in rows)
    starts = [time for row in rows if (time := row.start_time or row.time) is not None]
    ends = [time for row in rows if (time := row.end_time or row.time) is not None]
    if not sizes or not starts:
        return None
    return _Course(rows[0].anomaly_id, min(starts), max(ends), sizes)
