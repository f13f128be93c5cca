"""Thresholds that follow their scores: from the store to a batch and back."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from detector.core.scorer import Scorer
from jobs.store import Batch, Store, ThresholdChange
from schemas.config import MonitorConfig
from schemas.series import SeriesConfig

if TYPE_CHECKING:
    from detector.core.threshold_tracking import Trackers


def trackers_of(batch: Batch, store: Store, scorer: Scorer, monitor: MonitorConfig) -> "Trackers | None":
    """Return the trackers of a batch, each as the batch before left it; None if thresholds are fixed.

    Args:
        batch: to score.
        store: keeps the states of the trackers.
        scorer: the batch's model, whose rate holds even if an earlier batch had another.
        monitor: whose thresholds are tracked or fixed.
    """
    if not monitor.is_in_order:
        return None
    return scorer.trackers(lambda entity: store.threshold_states.before_batch(batch, entity), usual_after(monitor))


def new_trackers(scorer: Scorer, monitor: MonitorConfig) -> "Trackers | None":
    """Return trackers that start with the calibration records; None if thresholds are fixed."""
    return scorer.trackers(lambda _entity: None, usual_after(monitor)) if monitor.is_in_order else None


def threshold_changes(trackers: "Trackers | None") -> Mapping[str, ThresholdChange]:
    """Return how trackers moved, as the store keeps it."""
    tracked = {} if trackers is None else trackers.moves
    return {
        name: ThresholdChange(item.before.to_state(), item.after.to_state(), item.after.shifts - item.before.shifts)
        for name, item in tracked.items()
    }


def usual_after(monitor: MonitorConfig) -> int:
    """Return the number of records after which a level of scores becomes usual."""
    return (monitor.series or SeriesConfig()).usual_after
