"""The trackers of `detector.core.threshold_tracking`, for callers that score series."""

from detector.core.threshold_tracking import Tracker, TrackerMove, Trackers

__all__ = ["Tracker", "TrackerMove", "Trackers"]
