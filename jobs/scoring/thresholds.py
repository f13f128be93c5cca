"""Thresholds that follow their scores: from the store to a batch and back."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from detector.series.scorer import SeriesScorer
from detector.series.threshold_tracking import Tracker, Trackers
from jobs.reading.context import AnyScorer
from jobs.store import Batch, Store, ThresholdChange
from schemas.config import MonitorConfig


def trackers_of(batch: Batch, store: Store, scorer: AnyScorer, monitor: MonitorConfig) -> Trackers | None:
    """The trackers of a batch, each as the batch before left it; None where the thresholds are fixed.

    Args:
        batch: to score.
        store: keeps how they moved.
        scorer: the batch's model.
        monitor: whose rate holds, also where it was another before.
    """

    def stored(series: SeriesScorer, entity: str) -> Tracker:
        state = store.threshold_states.before_batch(batch, entity)
        return series.tracker(entity) if state is None else replace(Tracker.from_state(state), rate=series.rate)

    return _trackers(scorer, monitor, stored)


def new_trackers(scorer: AnyScorer, monitor: MonitorConfig) -> Trackers | None:
    """Trackers that start with the calibration records; None where the thresholds are fixed."""
    return _trackers(scorer, monitor, SeriesScorer.tracker)


def threshold_changes(trackers: Trackers | None) -> Mapping[str, ThresholdChange]:
    """How trackers moved, as the store keeps it."""
    moves = {} if trackers is None else trackers.moves
    return {name: ThresholdChange(move.before.to_state(), move.after.to_state()) for name, move in moves.items()}


def _trackers(
    scorer: AnyScorer, monitor: MonitorConfig, find: Callable[[SeriesScorer, str], Tracker]
) -> Trackers | None:
    if monitor.threshold != "online" or not isinstance(scorer, SeriesScorer):
        return None
    return Trackers(lambda entity: find(scorer, entity))
