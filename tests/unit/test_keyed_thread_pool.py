"""One task at a time for each name; a task that falls due meanwhile follows at once; no failure blocks a name."""

import threading
from datetime import UTC, datetime, timedelta

import pytest

from jobs.serving.backoff import Backoff
from jobs.serving.keyed_thread_pool import KeyedThreadPool

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
WAIT = 30


class Work:
    """Tasks that block until they are released."""

    def __init__(self):
        self.started = threading.Semaphore(0)
        self.go = threading.Semaphore(0)
        self.runs, self.at_once, self.most = [], 0, 0
        self._lock = threading.Lock()

    def __call__(self, name, due_at):
        with self._lock:
            self.runs.append((name, due_at))
            self.at_once += 1
            self.most = max(self.most, self.at_once)
        self.started.release()
        assert self.go.acquire(timeout=WAIT)
        with self._lock:
            self.at_once -= 1
        if name == "broken":
            raise RuntimeError(name)


@pytest.fixture
def work():
    return Work()


def test_an_overrunning_task_is_not_started_twice_and_its_due_times_are_merged(work):
    pool = KeyedThreadPool(work, threads=4)
    pool.submit("pump", NOON)
    assert work.started.acquire(timeout=WAIT)
    for minutes in (2, 1, 3):
        pool.submit("pump", NOON + timedelta(minutes=minutes))
    pool.submit("pump", None)
    work.go.release(2)
    pool.wait()
    assert work.runs == [("pump", NOON), ("pump", NOON + timedelta(minutes=1))]
    assert work.most == 1


def test_different_names_run_at_the_same_time_up_to_the_number_of_threads(work):
    pool = KeyedThreadPool(work, threads=2)
    for name in ("a", "b", "c"):
        pool.submit(name, NOON)
    assert work.started.acquire(timeout=WAIT)
    assert work.started.acquire(timeout=WAIT)
    assert pool.is_busy("c")
    work.go.release(3)
    pool.wait()
    assert work.most == 2
    assert sorted(name for name, _ in work.runs) == ["a", "b", "c"]


def test_a_name_that_always_overruns_does_not_starve_the_others(work):
    pool = KeyedThreadPool(work, threads=1)
    for name in ("hungry", "hungry", "patient"):
        pool.submit(name, NOON)
    work.go.release(3)
    pool.wait()
    assert [name for name, _ in work.runs].index("patient") == 1


def test_a_task_that_waits_for_a_database_makes_room_for_another(work):
    waiting = set()
    pool = KeyedThreadPool(work, threads=1, waiting=lambda: waiting)
    for name in ("locked", "free"):
        pool.submit(name, NOON)
    assert work.started.acquire(timeout=WAIT)
    assert pool.running() == {"locked"}
    waiting.add("locked")
    pool.start_queued()
    assert work.started.acquire(timeout=WAIT)
    assert pool.running() == {"locked", "free"}
    assert not pool.wait(0)
    work.go.release(2)
    assert pool.wait(WAIT)


def test_a_task_that_fails_frees_its_name(work, caplog):
    pool = KeyedThreadPool(work, threads=1)
    work.go.release(2)
    pool.submit("broken", NOON)
    pool.wait()
    pool.submit("broken", NOON)
    pool.wait()
    assert len(work.runs) == 2
    assert "unexpected error in the task 'broken'" in caplog.text


def test_after_the_stop_running_tasks_finish_and_none_starts(work):
    pool = KeyedThreadPool(work, threads=1)
    pool.submit("pump", NOON)
    assert work.started.acquire(timeout=WAIT)
    pool.submit("pump", NOON)
    pool.submit("fan", NOON)
    pool.stop()
    pool.submit("fan", NOON)
    work.go.release(4)
    pool.wait()
    assert work.runs == [("pump", NOON)]


def test_the_delay_doubles_with_each_consecutive_failure():
    backoff = Backoff()
    waits, at = [], NOON
    for _ in range(12):
        backoff.record_failure(at)
        waits.append(next(s for s in range(1000) if backoff.may_retry(at + timedelta(seconds=s))))
    assert waits == [2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300, 300]
    assert backoff.has_failed
    assert (backoff.record_success(), backoff.record_success(), backoff.may_retry(at)) == (12, 0, True)
