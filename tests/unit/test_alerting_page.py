"""docs/alerting.md names every occasion and every reason, and its day is the one that its settings make."""

import re
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import get_args

import pytest

from jobs.alert_filter import QuietHours, held_back_by
from jobs.store.alert_rule import HeldBack
from schemas.config import parse_config
from schemas.frames import Cause, Explanation
from schemas.service import AlertOccasion
from tests.workspace import ROOT

PAGE = (ROOT / "docs" / "alerting.md").read_text(encoding="utf-8")
(EXAMPLE,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)


def first_cells(section):
    """Return the code words that begin the rows of a section's table."""
    _, _, rest = PAGE.partition(f"\n## {section}\n")
    _, _, rest = rest.partition("|---|")
    return tuple(re.findall(r"^\| `(\w+)` \|", rest.partition("\n## ")[0], re.MULTILINE))


@pytest.fixture(scope="module")
def monitor():
    return parse_config(tomllib.loads(EXAMPLE), Path("config.toml")).monitor("pump")


def test_the_page_explains_every_occasion_in_order():
    assert first_cells("Occasions") == get_args(AlertOccasion)


def test_the_page_explains_every_reason_in_the_order_of_the_rules():
    assert first_cells("Rules") == get_args(HeldBack)


def test_the_rules_of_the_example_leave_out_the_records_that_the_page_names(monitor):
    low_pressure, cold = Cause("pressure_bar", 0.7, 0.5, 3.31, 3.2), Cause("bearing_c", 0.7, -2.0, 38.0, 44.0)
    assert held_back_by(monitor.alert, Explanation((low_pressure,))) == "ignore_below"
    assert held_back_by(monitor.alert, Explanation((cold,))) == "direction"


def test_the_quiet_hours_of_the_example_end_at_six(monitor):
    hours = QuietHours.of(monitor.alert.quiet_hours, monitor.time_zone)
    at = datetime(2026, 3, 2, 2, 15, tzinfo=UTC)
    assert hours.end_after(at) == at + timedelta(hours=3, minutes=45)
