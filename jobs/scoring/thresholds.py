"""Thresholds that follow their scores: from the store to a batch and back."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from detector.core.scorer import Scorer, StoredThreshold
from jobs.scoring.incident_starts import STATE, IncidentStarts
from jobs.store import ThresholdChange
from schemas.config import MonitorConfig
from schemas.series import SeriesConfig

if TYPE_CHECKING:
    from detector.core.threshold_tracking import TrackerMove, Trackers


def trackers_of(scorer: Scorer, monitor: MonitorConfig, stored: StoredThreshold) -> "Trackers | None":
    """Return the trackers of a batch; None if thresholds are fixed.

    Args:
        scorer: the batch's model, whose rate holds even if an earlier batch had another.
        monitor: whose thresholds are tracked or fixed.
        stored: returns the state of an entity's threshold as the batch before left it.
    """
    return scorer.trackers(stored, _usual_after(monitor)) if monitor.is_in_order else None


def new_trackers(scorer: Scorer, monitor: MonitorConfig) -> "Trackers | None":
    """Return trackers that start with the calibration records; None if thresholds are fixed."""
    return trackers_of(scorer, monitor, lambda _entity: None)


def threshold_changes(
    trackers: "Trackers | None", starts: "IncidentStarts | None" = None
) -> Mapping[str, ThresholdChange]:
    """Return how trackers moved, and the incidents of their entities, as the store keeps it."""
    tracked = {} if trackers is None else trackers.moves
    incidents = {} if starts is None else starts.states
    return {name: _change(item, incidents.get(name)) for name, item in tracked.items()}


def _change(move: "TrackerMove", incident: tuple[dict[str, Any], dict[str, Any]] | None) -> ThresholdChange:
    before, after = move.before.to_state(), move.after.to_state()
    if incident is not None:
        before, after = before | {STATE: incident[0]}, after | {STATE: incident[1]}
    return ThresholdChange(before, after, move.after.shifts - move.before.shifts)


def _usual_after(monitor: MonitorConfig) -> int:
    return (monitor.series or SeriesConfig()).usual_after
