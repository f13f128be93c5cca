"""An entity is silent by its own rhythm, while the source is active."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pandas as pd
import pytest

from jobs.scoring.liveness import is_silent
from jobs.scoring.rhythms import rhythms_of
from jobs.store.entities import Activity
from schemas.config import MonitorConfig

START = datetime(2026, 3, 2, tzinfo=UTC)
HOUR, DAY = 60, 24 * 60
MONITOR = MonitorConfig(table="t", key="id", time="at", entity="pump", numeric="x")


def reports(minutes, pumps="abc", start=0, every=5):
    """Return minute and pump of each report."""
    return [(minute, pump) for minute in range(start, start + minutes, every) for pump in pumps]


def batch_of(listed):
    times = [START + timedelta(minutes=minute) for minute, _ in listed]
    frame = pd.DataFrame({"at": pd.to_datetime(times, utc=True), "pump": [pump for _, pump in listed]})
    return rhythms_of(frame, MONITOR)


def activity_of(listed):
    rhythms = batch_of(listed)
    return rhythms, Activity(rhythms.newest_at, len(listed), rhythms.source_pauses, ())


def silent(listed, silent_after=None):
    """Return the pumps that are silent after some reports."""
    rhythms, activity = activity_of(listed)
    return "".join(name for name, item in rhythms.entities.items() if is_silent(item, activity, silent_after))


def working_days(days, night_shift=""):
    """Return the reports of pumps that rest at night and at weekends, but for those of the night shift."""
    listed = []
    for hour in range(24 * days):
        day, time_of_day = divmod(hour, 24)
        is_working = day % 7 < 5 and 8 <= time_of_day < 16
        listed += reports(HOUR, "abc" if is_working else night_shift, hour * HOUR, 10)
    return listed


def test_a_pump_is_silent_after_an_hour_in_which_others_report():
    before = reports(5 * HOUR)
    assert silent(before + reports(HOUR, "ac", 5 * HOUR)) == ""
    assert silent(before + reports(HOUR + 10, "ac", 5 * HOUR)) == "b"


def test_most_pumps_may_stop_and_the_last_one_shows_it():
    pumps = "abcdefghijklmnopqrst"
    assert silent(reports(5 * HOUR, pumps) + reports(10 * HOUR, "a", 5 * HOUR)) == pumps[1:]


def test_nights_and_weekends_of_the_whole_source_do_not_count():
    listed = working_days(21)
    assert silent(listed) == ""
    monday = 21 * DAY + 8 * HOUR
    assert silent([*listed, (monday, "a")]) == ""
    assert silent(listed + reports(50, "ac", monday)) == ""
    assert silent(listed + reports(2 * HOUR, "ac", monday)) == "b"


def test_a_pump_may_rest_as_it_is_used_to_while_others_work():
    listed = working_days(28, night_shift="c")
    assert silent(listed) == ""
    monday = 28 * DAY
    assert silent(listed + reports(12 * HOUR, "c", monday, 10)) == ""
    assert silent(listed + reports(28 * HOUR, "c", monday, 10)) == "ab"


def test_a_pump_that_reports_once_a_day_is_silent_after_days():
    daily = [(day * DAY + 1, "d") for day in range(15)]
    listed = sorted(reports(15 * DAY, "ab", every=20) + daily)
    assert silent(listed) == ""
    assert silent(listed + reports(DAY, "ab", 15 * DAY, 20)) == ""
    assert silent(listed + reports(4 * DAY, "ab", 15 * DAY, 20)) == "d"


def test_a_source_that_sends_once_a_day_has_silent_entities_too():
    listed = reports(15 * DAY, every=DAY)
    assert silent(listed + reports(2 * DAY, "ac", 15 * DAY, DAY)) == ""
    assert silent(listed + reports(4 * DAY, "ac", 15 * DAY, DAY)) == "b"


def test_after_an_outage_of_the_source_each_pump_has_its_time_to_return():
    listed = reports(5 * HOUR)
    assert silent(listed + reports(HOUR, "a", 30 * HOUR)) == ""
    assert silent(listed + reports(HOUR + 10, "a", 30 * HOUR)) == "bc"
    assert silent(listed + reports(20, "a", 30 * HOUR), timedelta(minutes=30)) == ""
    assert silent(listed + reports(40, "a", 30 * HOUR), timedelta(minutes=30)) == "bc"


def test_two_outages_of_a_pump_do_not_set_its_limit():
    listed = reports(5 * HOUR)
    for start in (5, 15):
        listed += reports(8 * HOUR, "ac", start * HOUR) + reports(2 * HOUR, "abc", (start + 8) * HOUR)
    assert silent(listed + reports(HOUR + 10, "ac", 25 * HOUR)) == "b"


def test_an_unknown_rhythm_is_no_silence_unless_a_limit_is_given():
    listed = reports(30) + reports(5 * HOUR, "ac", 30)
    assert silent(listed) == ""
    assert silent(listed, timedelta(hours=1)) == "b"


@pytest.mark.parametrize("size", [1, 7, 100])
def test_batches_have_the_rhythms_of_all_their_records(size):
    listed = reports(5 * HOUR) + reports(3 * HOUR, "ac", 20 * HOUR)
    whole, (first, *parts) = batch_of(listed), [listed[n : n + size] for n in range(0, len(listed), size)]
    joined, position = batch_of(first), len(first)
    for part in parts:
        joined, position = joined.followed_by(batch_of(part), position), position + len(part)
    assert joined.source_pauses == whole.source_pauses
    for name, expected in whole.entities.items():
        assert joined.entities[name].longest == expected.longest
        assert joined.entities[name].usual_seconds == pytest.approx(expected.usual_seconds)
        assert vars(joined.entities[name]).keys() == vars(expected).keys()
        assert joined.entities[name].last_position == expected.last_position


def test_reports_without_time_or_pump_count_for_the_pauses_of_others_only():
    frame = pd.DataFrame({"at": pd.to_datetime([START, None, START], utc=True), "pump": ["a", "a", None]})
    rhythms = rhythms_of(frame, MONITOR)
    assert [(name, item.last_position) for name, item in rhythms.entities.items()] == [("a", 0)]
    assert rhythms_of(frame[1:], MONITOR) is None
    assert rhythms_of(frame, MONITOR.model_copy(update={"silent_after": "never"})) is None


def test_notable_pauses_are_those_longer_than_every_later_one():
    rhythms = batch_of([(0, "a"), (50, "a"), (60, "a"), (90, "a"), (80, "b"), (100, "a"), (115, "a")])
    lengths = [pause.length // timedelta(minutes=1) for pause in rhythms.source_pauses]
    assert lengths == [50, 30, 15]
    assert all(earlier.ended_at <= later.began_at for earlier, later in pairwise(rhythms.source_pauses))
