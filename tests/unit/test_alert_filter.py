"""Rules leave flagged records out of alerts, and quiet hours make alerts wait."""

import re
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from jobs.alert_filter import QuietHours, held_back_by
from schemas.config import parse_config
from schemas.errors import ConfigError
from schemas.frames import Cause, Explanation
from schemas.service import MonitorAlerts

RULES = MonitorAlerts(direction={"temperature": "up"}, ignore_below={"pressure": 0.2})


def cause(feature, share=5.0, value=1.0, expected=3.0):
    return Cause(feature, share, value - expected, value, expected)


@pytest.mark.parametrize(
    ("causes", "rule"),
    [
        ([cause("temperature")], "direction"),
        ([cause("temperature", value=9.0)], None),
        ([cause("pressure", value=3.1)], "ignore_below"),
        ([cause("pressure", value=3.2)], None),
        ([cause("pressure", value=2.9), cause("temperature", 3.0)], "ignore_below"),
        ([cause("pressure", value=2.9), cause("flow", 3.0)], None),
        ([cause("pressure", value=2.9), cause("flow", 2.0)], "ignore_below"),
        ([Cause("pressure", 5.0, 1.0, None, 3.0)], None),
        ([], None),
    ],
)
def test_a_record_is_left_out_if_rules_leave_out_each_of_its_main_causes(causes, rule):
    assert held_back_by(RULES, Explanation(tuple(causes))) == rule


def test_without_rules_no_record_is_left_out():
    assert held_back_by(MonitorAlerts(), Explanation((cause("pressure", value=3.01),))) is None


@pytest.mark.parametrize(
    ("text", "at", "end"),
    [
        ("22:00-06:00", "2026-01-10T21:30", "2026-01-11T05:00"),
        ("22:00-06:00", "2026-01-10T20:59", None),
        ("22:00-06:00", "2026-01-11T05:00", None),
        ("12:00-13:00", "2026-07-01T10:30", "2026-07-01T11:00"),
        ("22:00-06:00", "2026-03-29T03:59", "2026-03-29T04:00"),  # the clock was put forward at 1 o'clock UTC
        ("08:00-08:00", "2026-01-10T20:00", "2026-01-11T07:00"),
    ],
)
def test_quiet_hours_are_local_times(text, at, end):
    hours = QuietHours.of(text, "Europe/Berlin")
    expected = None if end is None else datetime.fromisoformat(end).replace(tzinfo=UTC)
    assert hours.end_after(datetime.fromisoformat(at).replace(tzinfo=UTC)) == expected


@pytest.mark.parametrize(
    ("alert", "problem"),
    [
        ('direction = { presure = "up" }', "alert.direction is about numeric features, and 'presure' is none"),
        ("ignore_below = { mode = 0.5 }", "alert.ignore_below is about numeric features, and 'mode' is none"),
        (
            'channels = ["ops"]\nroutes = [{ severity = 80, channels = ["pager"] }]',
            "routes incidents to the channel 'pager'; its channels are: ops",
        ),
    ],
)
def test_a_rule_about_what_is_not_there_is_refused(alert, problem):
    text = (
        '[alerts.channels]\nops = "json://localhost"\npager = "json://localhost"\n'
        '[monitors.pump]\ntable = "t"\nkey = "id"\nnumeric = ["pressure"]\ncategorical = ["mode"]\n'
        f"[monitors.pump.alert]\n{alert}\n"
    )
    with pytest.raises(ConfigError, match=re.escape(problem)):
        parse_config(tomllib.loads(text), Path("config.toml"))
