"""One run at a time for each name; what falls due meanwhile follows at once; nothing kills a lane."""

import threading
from datetime import UTC, datetime, timedelta

import pytest

from jobs.serving.backoff import Backoff
from jobs.serving.lanes import Lanes

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
WAIT = 30


class Work:
    """Runs that stand still until they are let go."""

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


def test_an_overrunning_run_is_not_started_twice_and_what_was_due_follows_once(work):
    lanes = Lanes(work, threads=4)
    lanes.submit("pump", NOON)
    assert work.started.acquire(timeout=WAIT)
    for minutes in (2, 1, 3):
        lanes.submit("pump", NOON + timedelta(minutes=minutes))
    lanes.submit("pump", None)
    work.go.release(2)
    lanes.wait()
    assert work.runs == [("pump", NOON), ("pump", NOON + timedelta(minutes=1))]
    assert work.most == 1


def test_different_names_run_at_the_same_time_up_to_the_number_of_threads(work):
    lanes = Lanes(work, threads=2)
    for name in ("a", "b", "c"):
        lanes.submit(name, NOON)
    assert work.started.acquire(timeout=WAIT)
    assert work.started.acquire(timeout=WAIT)
    assert lanes.is_busy("c")
    work.go.release(3)
    lanes.wait()
    assert work.most == 2
    assert sorted(name for name, _ in work.runs) == ["a", "b", "c"]


def test_a_name_that_always_overruns_does_not_starve_the_others(work):
    lanes = Lanes(work, threads=1)
    for name in ("hungry", "hungry", "patient"):
        lanes.submit(name, NOON)
    work.go.release(3)
    lanes.wait()
    assert [name for name, _ in work.runs].index("patient") == 1


def test_a_run_that_fails_frees_its_lane(work, caplog):
    lanes = Lanes(work, threads=1)
    work.go.release(2)
    lanes.submit("broken", NOON)
    lanes.wait()
    lanes.submit("broken", NOON)
    lanes.wait()
    assert len(work.runs) == 2
    assert "the work 'broken' failed" in caplog.text


def test_after_the_stop_what_runs_ends_and_nothing_begins(work):
    lanes = Lanes(work, threads=1)
    lanes.submit("pump", NOON)
    assert work.started.acquire(timeout=WAIT)
    lanes.submit("pump", NOON)
    lanes.submit("fan", NOON)
    lanes.stop()
    lanes.submit("fan", NOON)
    work.go.release(4)
    lanes.wait()
    assert work.runs == [("pump", NOON)]


def test_failures_in_a_row_are_tried_again_ever_more_rarely():
    backoff = Backoff()
    waits, at = [], NOON
    for _ in range(12):
        backoff.failed(at)
        waits.append(next(s for s in range(1000) if backoff.is_over(at + timedelta(seconds=s))))
    assert waits == [2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300, 300]
    assert backoff.has_failed
    assert (backoff.succeeded(), backoff.succeeded(), backoff.is_over(at)) == (12, 0, True)
