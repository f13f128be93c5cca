"""The longest pause inside an incident: configured, or by the pace of the records."""

from datetime import timedelta

from detector.core.about import Pace
from jobs.store import Store
from schemas.config import MonitorConfig

LEAST_GAP = timedelta(minutes=15)
# Flagged records no further apart than this are one incident: the parts of a fault belong together, and a day without
# a flag ends it, unless that is a matter of few records.
_STEPS, _LEAST_STEPS, _DAY = 24, 6, timedelta(days=1)


def gap_at_pace(step: timedelta, longest_step: timedelta) -> timedelta:
    """Return the longest pause inside an incident of series.

    >>> str(gap_at_pace(timedelta(minutes=10), timedelta(minutes=10)))
    '4:00:00'

    Args:
        step: the usual time from a record of an entity to its next one.
        longest_step: the usual time of the entity whose records come least often.
    """
    return max(LEAST_GAP, _LEAST_STEPS * longest_step, min(_STEPS * step, _DAY))


def incident_gap(monitor: MonitorConfig, pace: Pace | None) -> timedelta:
    """Return the longest pause inside an incident of a monitor.

    Args:
        monitor: with a duration, or "auto".
        pace: of the records that its model was trained on; None if it is not recorded.
    """
    if monitor.incident_gap != "auto":
        return monitor.incident_gap
    if pace is not None:
        return gap_at_pace(timedelta(seconds=pace.step), timedelta(seconds=pace.longest_step))
    return LEAST_GAP if monitor.resample is None else gap_at_pace(monitor.resample, monitor.resample)


def pace_of_model(store: Store, monitor: MonitorConfig, model_id: int | None) -> Pace | None:
    """Return the pace that a model recorded; None if it has none, or if the gap does not depend on it."""
    if model_id is None or monitor.series is None or monitor.incident_gap != "auto":
        return None
    return store.models.pace(model_id)


def follows_scores(monitor: MonitorConfig) -> bool:
    """Return whether its incidents last until the scores have calmed down, for which their threshold is tracked."""
    return monitor.incident_gap == "auto" and monitor.series is not None and monitor.threshold == "online"


def with_fixed_gap(monitor: MonitorConfig, pace: Pace | None) -> MonitorConfig:
    """Return a monitor whose `incident_gap` is a duration."""
    return monitor.model_copy(update={"incident_gap": incident_gap(monitor, pace)})
