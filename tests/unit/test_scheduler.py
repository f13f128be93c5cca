"""Due times by cron, interval, time zone and daylight saving; missed jobs are still called."""

import queue
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.serving.scheduler import Scheduler
from jobs.timing import Timing, check_timing
from schemas.errors import ConfigError

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
CRONS = ("*/5 * * * *", "30 2 * * *", "0 0 1 */3 *", "15 8-17/2 * * mon-fri", "0 0 29 2 *", "0 12 13 * 5", "7 3 * * 0")
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata")


def due_times(schedule, zone, start, count):
    """Return the next due times after a moment, in UTC."""
    times = []
    for _ in range(count):
        start = Timing(schedule, zone).next_due(start)
        times.append(f"{start:%d %H:%M}")
    return times


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("30 2 * * *", ["28 01:30", "29 01:30", "30 00:30"]),  # 02:30 is left out: made up for
        ("30 * * * *", ["28 00:30", "28 01:30", "28 02:30"]),
        ("*/30 2 * * *", ["28 01:00", "28 01:30", "29 01:00", "30 00:00", "30 00:30"]),
    ],
)
def test_a_time_that_daylight_saving_skips_is_made_up_for(schedule, expected):
    assert due_times(schedule, "Europe/Berlin", datetime(2026, 3, 28, tzinfo=UTC), len(expected)) == expected


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("30 2 * * *", ["24 00:30", "25 00:30", "26 01:30"]),  # 02:30 comes twice: once is enough
        ("0,30 2 25 * *", ["25 00:00", "25 00:30"]),
        ("30 */1 25 * *", ["24 22:30", "24 23:30", "25 00:30", "25 01:30", "25 02:30"]),  # hours go on
    ],
)
def test_a_fixed_hour_that_comes_twice_counts_once(schedule, expected):
    assert due_times(schedule, "Europe/Berlin", datetime(2026, 10, 24, tzinfo=UTC), len(expected)) == expected


@pytest.mark.parametrize(
    ("field", "days"),
    [
        ("0", {6}),
        ("7", {6}),
        ("sun", {6}),
        ("1-5", {0, 1, 2, 3, 4}),
        ("MON-FRI", {0, 1, 2, 3, 4}),
        ("5-7", {4, 5, 6}),
        ("sat-mon", {5, 6, 0}),
        ("*/2", {6, 1, 3, 5}),
        ("1,3/2", {0, 2, 4}),
        ("*", set(range(7))),
    ],
)
def test_weekdays_are_numbered_as_in_a_crontab(field, days):
    due, weekdays = NEW_YEAR, set()
    while (due := Timing(f"0 12 * * {field}").next_due(due)) < NEW_YEAR + timedelta(days=14):
        weekdays.add(due.weekday())
    assert weekdays == days


def test_either_the_day_or_the_weekday_suffices_if_both_are_restricted():
    assert due_times("0 0 13 * fri", "UTC", datetime(2026, 1, 10, tzinfo=UTC), 3) == [
        "13 00:00",
        "16 00:00",
        "23 00:00",
    ]
    assert due_times("0 0 1-7 * */7", "UTC", datetime(2026, 1, 1, 1, tzinfo=UTC), 2) == ["04 00:00", "01 00:00"]


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ("61 * * * *", "is not a valid cron expression: .*higher than the maximum"),
        ("*/0 * * * *", "not a valid cron expression"),
        ("* * * * someday", "'someday' is not a weekday"),
        ("* * * * 8", "'8' is not a weekday"),
        ("0 0 31 2 *", "never falls due"),
        ("a b c d e", "not a valid cron expression"),
    ],
)
def test_an_invalid_schedule_is_refused_with_the_reason(schedule, message):
    with pytest.raises(ConfigError, match=message):
        check_timing(Timing(schedule, "Europe/Berlin"))


@given(
    st.sampled_from([*CRONS, "90s", "1h", "7m"]),
    st.sampled_from(ZONES),
    st.timedeltas(timedelta(days=-2000), timedelta(days=3000)).map(NEW_YEAR.__add__),
)
def test_the_last_due_time_is_the_one_before_the_next(schedule, zone, moment):
    timing = Timing(schedule, zone)
    last, following = timing.last_due(moment), timing.next_due(moment)
    assert last <= moment < following
    assert timing.next_due(last) == following
    assert timing.last_due(last) == last
    assert timing.next_due(last - timedelta(microseconds=1)) == last


def test_intervals_count_from_the_epoch_so_that_all_processes_agree():
    assert due_times("90s", "UTC", NEW_YEAR + timedelta(seconds=1), 2) == ["01 00:01", "01 00:03"]
    assert Timing("90s", "Asia/Kolkata").last_due(NEW_YEAR) == NEW_YEAR


@pytest.fixture
def calls():
    """Return a running scheduler and the queue of its calls."""
    called = queue.SimpleQueue()
    scheduler = Scheduler(lambda name, due_at: called.put((name, due_at)))
    scheduler.start()
    yield scheduler, called
    scheduler.stop()


def test_a_job_is_called_repeatedly_and_jobs_can_be_replaced(calls):
    scheduler, called = calls
    scheduler.set_jobs({"pump": Timing("1s"), "never": Timing("0 0 1 1 *")})
    (first, due_at), (second, due_again) = called.get(timeout=30), called.get(timeout=30)
    assert (first, second, due_again - due_at) == ("pump", "pump", timedelta(seconds=1))
    assert scheduler.next_runs().keys() == {"pump", "never"}

    scheduler.set_jobs({"fan": Timing("1s"), "never": Timing("0 0 1 1 *")})
    assert {called.get(timeout=30)[0] for _ in range(3)} <= {"pump", "fan"}
    assert called.get(timeout=30)[0] == "fan"
    assert scheduler.next_runs().keys() == {"fan", "never"}


def test_a_job_with_unchanged_timing_keeps_its_due_time(calls):
    scheduler, _ = calls
    scheduler.set_jobs({"pump": Timing("1h"), "fan": Timing("1h")})
    before = scheduler.next_runs()
    scheduler.set_jobs({"pump": Timing("1h"), "fan": Timing("0 0 1 1 *")})
    assert scheduler.next_runs()["pump"] == before["pump"]
    assert scheduler.next_runs()["fan"] > before["fan"]


def test_missed_due_times_are_merged_into_one_call_with_the_first(calls):
    scheduler, called = calls
    scheduler.set_jobs({"pump": Timing("1h")})
    missed = scheduler.next_runs()["pump"] - timedelta(hours=50)
    scheduler._scheduler.modify_job("pump", next_run_time=missed)
    assert called.get(timeout=30) == ("pump", missed)
    assert called.empty()
    assert scheduler.next_runs()["pump"] == missed + timedelta(hours=50)


def test_a_failing_callback_does_not_stop_the_scheduler():
    called = queue.SimpleQueue()

    def on_due(name, due_at):
        called.put(due_at)
        raise RuntimeError(name)

    scheduler = Scheduler(on_due)
    scheduler.set_jobs({"pump": Timing("1s")})
    scheduler.start()
    assert called.get(timeout=30) < called.get(timeout=30)
    scheduler.stop()
