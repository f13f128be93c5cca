"""The longest pause inside an incident: as configured, or by the pace of the records."""

from datetime import timedelta

import numpy as np
import pytest
from pydantic import ValidationError

from detector.core.about import Pace
from detector.series import Series
from jobs.incident_gap import incident_gap
from jobs.training.pace import pace_of
from schemas.config import MonitorConfig

READINGS = {"table": "readings", "key": "id", "time": "read_at", "entity": "pump", "numeric": ["flow"]}
HOUR = 3600.0


@pytest.mark.parametrize(
    ("settings", "pace", "gap"),
    [
        ({}, None, timedelta(minutes=15)),
        ({"series": {}}, None, timedelta(minutes=15)),  # a model of an earlier version
        ({"series": {}}, Pace(10.0, 10.0), timedelta(minutes=15)),
        ({"series": {}}, Pace(600.0, 600.0), timedelta(hours=4)),
        ({"series": {}}, Pace(HOUR, HOUR), timedelta(days=1)),
        ({"series": {}}, Pace(24 * HOUR, 24 * HOUR), timedelta(days=6)),
        ({"series": {}}, Pace(600.0, 6 * HOUR), timedelta(hours=36)),
        ({"series": {"resample": "10m"}}, None, timedelta(hours=4)),
        ({"series": {}, "incident_gap": "15m"}, Pace(HOUR, HOUR), timedelta(minutes=15)),
    ],
)
def test_the_gap_is_as_configured_or_by_the_pace_of_the_records(settings, pace, gap):
    assert incident_gap(MonitorConfig(**READINGS, **settings), pace) == gap


def test_a_text_that_is_no_gap_is_refused():
    with pytest.raises(ValidationError, match='expected a duration such as 30s, 5m or 1h 30m, received .*, or "auto"'):
        MonitorConfig(**READINGS, incident_gap="never")


def series_at(seconds):
    times = np.datetime64("2026-03-01", "us") + (1e6 * np.asarray(seconds)).astype("timedelta64[us]")
    return Series(times, np.zeros((len(times), 1)))


def test_the_pace_is_that_of_the_usual_step_and_of_the_slowest_entity():
    quick = series_at([*range(0, 6000, 60), 90_000])  # with a pause
    slow = series_at(np.arange(20) * HOUR)
    few = series_at([0, 0, 1e6])  # too few to have a pace of its own
    assert pace_of([quick, slow, few]) == Pace(60.0, HOUR)
    assert pace_of([few]) == Pace(1e6, 1e6)
    assert pace_of([series_at([5, 5])]) is None
