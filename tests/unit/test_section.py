"""Durations and schedules: values that the configuration accepts, and values that it refuses with advice."""

from datetime import timedelta

import pytest
from pydantic import ValidationError

from schemas.config import MonitorConfig

READINGS = {"table": "readings", "key": "id", "time": "at", "numeric": "flow"}
CENTURY = timedelta(days=36_525)


def monitor(place, value):
    """Return a monitor with a value at a place such as "retrain.history"."""
    section, _, key = place.rpartition(".")
    return MonitorConfig(**READINGS, **({section: {key: value}} if section else {key: value}))


@pytest.mark.parametrize("value", ["36525d", "1s", 0.5, CENTURY])
def test_a_duration_of_up_to_a_hundred_years_is_taken(value):
    assert timedelta(0) < monitor("late_after", value).late_after <= CENTURY


PLACES = ["lease", "settle", "late_after", "gap_after", "incident_gap", "alert.newest"]
PLACES += ["retrain.history", "retrain.cooldown", "series.max_gap", "series.resample"]


@pytest.mark.parametrize("value", ["36526d", "9999999d", "99999999999d", "9" * 400 + "d", 1e10, -1, -0.001])
@pytest.mark.parametrize("place", PLACES)
def test_no_duration_is_negative_or_leads_out_of_the_calendar(place, value):
    with pytest.raises(ValidationError, match=r"expected a duration from 0s to 36525d \(100 years\), received .* s"):
        monitor(place, value)


@pytest.mark.parametrize("place", ["lease", "series.max_gap"])
def test_a_duration_that_has_to_last_is_not_zero(place):
    with pytest.raises(ValidationError, match="must be longer than 0"):
        monitor(place, 0)


def test_a_schedule_can_be_switched_off():
    assert MonitorConfig(**READINGS).score_every == "5m"
    assert monitor("score_every", "never").score_every is None
    assert monitor("retrain.every", "never").retrain.every is None


@pytest.mark.parametrize(
    ("schedule", "sentence"),
    [
        ("off", 'expected a duration such as "5m", a cron expression of five fields or "never", received \'off\''),
        ("0s", "expected an interval of at least 1s"),
        ("99999999999d", "expected a duration from 0s to 36525d"),
    ],
)
@pytest.mark.parametrize("place", ["score_every", "retrain.every"])
def test_a_schedule_that_is_none_is_refused(place, schedule, sentence):
    with pytest.raises(ValidationError, match=sentence):
        monitor(place, schedule)
