"""Maintenance windows mute exactly the records inside them."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from jobs.maintenance import Maintenance
from schemas.config import MonitorConfig
from schemas.service import MaintenanceWindow

SUNDAY = datetime(2026, 3, 1, tzinfo=UTC)
NIGHTLY = {"cron": "0 2 * * sun", "duration": "2h"}


def muted(time, window, entity=None, zone="UTC"):
    return Maintenance([MaintenanceWindow(**window)], zone).mutes(entity, time)


@pytest.mark.parametrize(
    ("hour", "minute", "is_muted"), [(1, 59, False), (2, 0, True), (3, 59, True), (4, 0, False), (14, 0, False)]
)
def test_a_recurring_window_includes_its_start_and_excludes_its_end(hour, minute, is_muted):
    time = SUNDAY + timedelta(hours=hour, minutes=minute)
    assert muted(time, NIGHTLY) is is_muted
    assert not muted(time + timedelta(days=1), NIGHTLY)


def test_a_recurring_window_is_in_the_time_zone_of_the_monitor():
    time = datetime(2026, 7, 5, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"))
    assert muted(time, NIGHTLY, zone="Europe/Berlin")
    assert not muted(time, NIGHTLY)


def test_a_single_window_is_open_from_start_to_end():
    once = {"start": SUNDAY.replace(tzinfo=None) - timedelta(hours=1), "end": SUNDAY}  # without a zone: in UTC
    assert [muted(SUNDAY - timedelta(minutes=m), once) for m in (61, 60, 1, 0)] == [False, True, True, False]


def test_a_window_of_an_entity_mutes_only_that_entity():
    window = NIGHTLY | {"entity": "pump-3'; --"}
    time = SUNDAY + timedelta(hours=3)
    assert [muted(time, window, entity) for entity in ("pump-3'; --", "pump-3", None)] == [True, False, False]


def test_overlapping_recurring_windows_leave_no_gap():
    window = {"cron": "0 * * * *", "duration": "2h"}
    assert all(muted(SUNDAY + timedelta(minutes=17 * i), window) for i in range(200))


def test_the_spans_between_two_times_are_those_in_which_records_are_muted():
    hour, once = timedelta(hours=1), {"start": SUNDAY + timedelta(hours=1), "end": SUNDAY + timedelta(hours=5)}
    windows = [NIGHTLY, once | {"entity": "a"}, once | {"entity": "b"}]
    maintenance = Maintenance([MaintenanceWindow(**window) for window in windows], "UTC")
    found = maintenance.between(SUNDAY + 3 * hour, SUNDAY + timedelta(days=7, hours=2), "a", 9)
    week = timedelta(days=7)
    nightly = (SUNDAY + 2 * hour, SUNDAY + 4 * hour)
    assert [(span.start, span.end) for span in found] == [
        nightly,
        tuple(time + week for time in nightly),
        (once["start"], once["end"]),
    ]
    assert maintenance.between(SUNDAY + 5 * hour, SUNDAY + 6 * hour, None, 9) == []
    end = datetime.max.replace(tzinfo=UTC)
    assert maintenance.between(SUNDAY, end, "a", 1)[0].start == nightly[0]


def test_times_in_any_order_give_the_same_answers():
    maintenance = Maintenance([MaintenanceWindow(**NIGHTLY)], "Europe/Berlin")
    times = [SUNDAY + timedelta(minutes=97 * i) for i in range(500)]
    forth = [maintenance.mutes(None, time) for time in times]
    back = [maintenance.mutes(None, time) for time in reversed(times)]
    assert forth == back[::-1] == [muted(time, NIGHTLY, zone="Europe/Berlin") for time in times]
    assert True in forth


@pytest.mark.parametrize("time", [datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)])
def test_a_time_at_the_end_of_the_calendar_is_in_no_window(time):
    assert not muted(time, NIGHTLY, zone="Asia/Tokyo")


def test_the_windows_of_a_monitor_come_from_its_configuration():
    monitor = MonitorConfig(table="t", key="id", numeric="x", maintenance=[NIGHTLY], time_zone="Europe/Berlin")
    assert Maintenance.of(monitor).mutes("any", SUNDAY + timedelta(hours=1))
    assert not Maintenance.of(MonitorConfig(table="t", key="id", numeric="x")).mutes("any", SUNDAY)
