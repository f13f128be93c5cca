"""Flagged records summed up to incidents. The sum depends neither on their order nor on how they are cut."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

_MAX_CAUSES = 10


@dataclass(frozen=True)
class IncidentSummary:
    """Flagged records of one entity that are close in time; a single one is an extent too."""

    entity: str | None
    start_time: datetime
    end_time: datetime
    records: int
    peak_score: float
    peak_time: datetime
    """Of the first record that has the peak score."""
    peak_severity: float
    causes: Sequence[Mapping[str, Any]]
    """The largest share of each feature with its value and time, largest first.

    What a feature was when it returned to usual counts only where nothing else is known of it.
    """
    is_muted: bool
    """Whether every record lies in a maintenance window."""

    @property
    def top_feature(self) -> str | None:
        """The feature with the largest share."""
        return self.causes[0]["feature"] if self.causes else None

    def joined(self, other: "IncidentSummary") -> "IncidentSummary":
        """Both as one."""
        peak = min(self, other, key=lambda extent: (-extent.peak_score, extent.peak_time))
        return IncidentSummary(
            entity=self.entity,
            start_time=min(self.start_time, other.start_time),
            end_time=max(self.end_time, other.end_time),
            records=self.records + other.records,
            peak_score=peak.peak_score,
            peak_time=peak.peak_time,
            peak_severity=max(self.peak_severity, other.peak_severity),
            causes=_largest([*self.causes, *other.causes]),
            is_muted=self.is_muted and other.is_muted,
        )

    def overlaps(self, other: "IncidentSummary") -> bool:
        """Whether both are about the same entity and share a moment."""
        is_same_time = self.start_time <= other.end_time and other.start_time <= self.end_time
        return self.entity == other.entity and is_same_time


def extent_of_record(
    entity: str | None,
    time: datetime,
    anomaly_score: float,
    severity: float,
    attribution: Iterable[Mapping[str, Any]],
    is_muted: bool,  # noqa: FBT001
) -> IncidentSummary:
    """The extent of one flagged record."""
    causes = [{**cause, "time": time.isoformat()} for cause in attribution]
    return IncidentSummary(entity, time, time, 1, anomaly_score, time, severity, _largest(causes), is_muted)


def grouped(extents: Iterable[IncidentSummary], gap: timedelta) -> list[IncidentSummary]:
    """Extents joined where one begins no later than `gap` after the end of another of its entity.

    Args:
        extents: by start time.
        gap: the longest pause inside an incident.
    """
    closed: list[IncidentSummary] = []
    latest: dict[str | None, IncidentSummary] = {}
    for extent in extents:
        before = latest.get(extent.entity)
        if before is not None and extent.start_time - before.end_time <= gap:
            latest[extent.entity] = before.joined(extent)
            continue
        if before is not None:
            closed.append(before)
        latest[extent.entity] = extent
    return sorted([*closed, *latest.values()], key=lambda extent: extent.start_time)


def _largest(causes: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The largest share of each feature, of the features that come first; largest first."""
    best: dict[str, Mapping[str, Any]] = {}
    for cause in causes:
        held = best.get(cause["feature"])
        if held is None or _precedes(cause, held):
            best[cause["feature"]] = cause
    return sorted(sorted(best.values(), key=_rank)[:_MAX_CAUSES], key=_by_share)


def _by_share(cause: Mapping[str, Any]) -> tuple[bool, float, str, str]:
    """Largest share first, those without one last; the rest makes the order of equals certain."""
    share = cause["share"]
    return share is None, -(share or 0.0), cause["time"], cause["feature"]


def _rank(cause: Mapping[str, Any]) -> tuple[Any, ...]:
    """Faults before the return from them, which points the other way, and then by share."""
    return cause.get("is_return", False), *_by_share(cause)


def _precedes(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether a cause comes before another of the same feature."""
    mine, its = _rank(one), _rank(other)
    return mine < its if mine != its else _text(one) < _text(other)


def _text(cause: Mapping[str, Any]) -> str:
    return json.dumps(cause, sort_keys=True)
