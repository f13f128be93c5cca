"""The pace of series: the usual time between two records of an entity."""

from collections.abc import Iterable

import numpy as np

from detector.core.about import Pace
from detector.series.series import Series

_MIN_STEPS = 10  # of an entity that has a pace of its own


def pace_of(series: Iterable[Series]) -> Pace | None:
    """Return the pace of the series of several entities; None if no record is later than another of its entity."""
    steps = [seconds for one in series if len(seconds := _steps(one))]
    if not steps:
        return None
    usual = [float(np.median(of_entity)) for of_entity in steps if len(of_entity) >= _MIN_STEPS]
    step = float(np.median(np.concatenate(steps)))
    return Pace(step, max(usual, default=step))


def _steps(series: Series) -> np.ndarray:
    """Return the times (m,) between consecutive records, in seconds, without those of no time."""
    times = series.times[~np.isnat(series.times)]
    seconds = np.diff(np.sort(times)) / np.timedelta64(1, "s")
    return seconds[seconds > 0]
