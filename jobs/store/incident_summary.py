"""Summaries of incidents, merged from flagged records; neither order nor batches of the records matter."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any

_MAX_CAUSES = 10


@dataclass(frozen=True)
class IncidentSummary:
    """The summary of one or more flagged records of one entity that are close in time."""

    entity: str | None
    start_time: datetime
    end_time: datetime
    records: int
    peak_score: float
    peak_time: datetime
    """Time of the first record that has the peak score."""
    peak_severity: float
    causes: Sequence[Mapping[str, Any]]
    """The largest share of each feature, or its evidence, with its value and time, largest first.

    A share in a return to normal counts only if the feature has no other share.
    """
    is_muted: bool
    """Whether every record lies in a maintenance window."""
    alert_records: int = 1
    """Number of records that may be alerted: outside maintenance windows, and not left out by a rule."""
    in_row: int = 1
    """The largest number of such records among consecutive records of the entity, as `rows_in_row` counts them."""
    began_at: datetime | None = None
    """How far it reaches back by the scores, perhaps before its first record; None if it goes by time alone."""

    @property
    def top_feature(self) -> str | None:
        """Return the feature with the largest share, or None if there are no causes."""
        return self.causes[0]["feature"] if self.causes else None

    def merged(self, other: "IncidentSummary") -> "IncidentSummary":
        """Return the summary of the records of both."""
        peak = min(self, other, key=lambda summary: (-summary.peak_score, summary.peak_time))
        return IncidentSummary(
            entity=self.entity,
            start_time=min(self.start_time, other.start_time),
            end_time=max(self.end_time, other.end_time),
            records=self.records + other.records,
            peak_score=peak.peak_score,
            peak_time=peak.peak_time,
            peak_severity=max(self.peak_severity, other.peak_severity),
            causes=largest_shares([*self.causes, *other.causes]),
            is_muted=self.is_muted and other.is_muted,
            alert_records=self.alert_records + other.alert_records,
            in_row=max(self.in_row, other.in_row),
        )

    def follows(self, other: "IncidentSummary", gap: timedelta) -> bool:
        """Return whether it is of one incident with another that starts no later: its scores or its time reach back.

        Args:
            other: of the same entity.
            gap: the longest pause inside an incident that goes by time alone.
        """
        if self.began_at is None:
            return self.start_time - other.end_time <= gap
        return self.began_at <= other.end_time

    def reach(self, gap: timedelta) -> datetime:
        """Return how far it reaches back, by its scores or by its time."""
        if self.began_at is not None:
            return self.began_at
        return max(self.start_time, datetime.min.replace(tzinfo=UTC) + gap) - gap

    def overlaps(self, other: "IncidentSummary") -> bool:
        """Return whether both are about the same entity and share a moment."""
        is_same_time = self.start_time <= other.end_time and other.start_time <= self.end_time
        return self.entity == other.entity and is_same_time


def summary_of_record(  # noqa: PLR0913, PLR0917 - one for each column of a flagged row
    entity: str | None,
    time: datetime,
    anomaly_score: float,
    severity: float,
    attribution: Iterable[Mapping[str, Any]],
    is_muted: bool,  # noqa: FBT001
    held_back: str | None = None,
    in_row: int | None = None,
    began_at: datetime | None = None,
) -> IncidentSummary:
    """Return the summary of one flagged record; `held_back` is the rule that leaves it out of alerts."""
    alert_records = int(not is_muted and held_back is None)
    causes = causes_of_incident(attribution, time.isoformat())
    return IncidentSummary(
        entity=entity,
        start_time=time,
        end_time=time,
        records=1,
        peak_score=anomaly_score,
        peak_time=time,
        peak_severity=severity,
        causes=largest_shares(causes),
        is_muted=is_muted,
        alert_records=alert_records,
        in_row=alert_records * (in_row or 1),
        began_at=began_at,
    )


def merge_nearby(summaries: Iterable[IncidentSummary], gap: timedelta) -> list[IncidentSummary]:
    """Merge summaries of one entity that reach back to each other by their scores, or are at most `gap` apart.

    Args:
        summaries: ordered by start time.
        gap: the longest pause inside an incident.
    """
    merged: dict[str | None, list[IncidentSummary]] = {}
    for summary in summaries:
        earlier, latest = merged.setdefault(summary.entity, []), summary
        while earlier and latest.follows(earlier[-1], gap):
            latest = _joined(earlier.pop(), latest, gap)
        earlier.append(latest)
    return sorted(chain.from_iterable(merged.values()), key=lambda summary: summary.start_time)


def _joined(before: IncidentSummary, after: IncidentSummary, gap: timedelta) -> IncidentSummary:
    """Return the summary of both, which reaches back as far as either of them."""
    joined = before.merged(after)
    if before.began_at is None and after.began_at is None:
        return joined
    return replace(joined, began_at=min(before.reach(gap), after.reach(gap)))


def causes_of_incident(attribution: Iterable[Mapping[str, Any]], time: str) -> list[Mapping[str, Any]]:
    """Return the causes of a record as those of its incident, with evidence as the share of those that have it.

    Shares of the scores of a series' records do not compare: in a record that is hardly odd, one feature may have all.
    """
    causes: list[Mapping[str, Any]] = []
    for cause in attribution:
        own = {**cause, "time": time}
        own["share"] = own.pop("evidence", own["share"])
        causes.append(own)
    return causes


def largest_shares(causes: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the largest share of each feature, of at most `_MAX_CAUSES` features, largest first."""
    best: dict[str, Mapping[str, Any]] = {}
    for cause in causes:
        best_so_far = best.get(cause["feature"])
        if best_so_far is None or _precedes(cause, best_so_far):
            best[cause["feature"]] = cause
    return sorted(sorted(best.values(), key=_rank)[:_MAX_CAUSES], key=_by_share)


def _by_share(cause: Mapping[str, Any]) -> tuple[bool, float, str, str]:
    """Return the sort key: largest share first, missing shares last, ties by time and feature."""
    share = cause["share"]
    return share is None, -(share or 0.0), cause["time"], cause["feature"]


def _rank(cause: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return the sort key: faults before returns to normal, whose deviation points the other way, then by share."""
    return cause.get("is_return", False), *_by_share(cause)


def _precedes(cause: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Return whether a cause comes before another cause of the same feature."""
    rank, other_rank = _rank(cause), _rank(other)
    return rank < other_rank if rank != other_rank else _text(cause) < _text(other)


def _text(cause: Mapping[str, Any]) -> str:
    return json.dumps(cause, sort_keys=True)
