"""Scheduled work of monitors: late runs, consecutive failures, retrain requests; by the clock of the test."""

import contextlib
from contextlib import ExitStack
from datetime import timedelta
from types import SimpleNamespace

import pytest
from sqlalchemy import text

from detector.records.card import RecordCard
from jobs.champions import Scorers
from jobs.database_calls import Wait
from jobs.databases import reading, writing
from jobs.serving.monitor_runs import MonitorRuns
from jobs.store import NewModel, Worker
from jobs.store.events import EventQuery
from jobs.store.requests import RequestQuery
from schemas.config import Config
from schemas.errors import SourceError

HOUR = timedelta(hours=1)
PUMP = {"table": "readings", "key": "id", "numeric": "flow", "score_every": "1h"}


class FakeProcess:
    """A serving process with the test's clock, whose watched table cannot be read."""

    def __init__(self, store, now):
        self.store, self.now = store, now
        self.config = Config(
            monitors={"pump": PUMP | {"retrain": {"every": "24h"}}, "fan": PUMP | {"score_every": None}}
        )
        self.worker = Worker("w", "h", 1, "1", now)
        self.scorers = Scorers()
        self.is_stopping = False
        self.tables = []
        self.waiting = {}

    def waits(self):
        return self.waiting

    def clock(self):
        return self.now

    @contextlib.contextmanager
    def open_source(self, monitor):
        self.tables.append(monitor)
        yield SimpleNamespace(name=monitor, monitor=self.config.monitor(monitor), next_range=self._fail)

    def _fail(self, *_):
        raise SourceError("The table has gone.")


@pytest.fixture
def process(store, now):
    store.models.add("pump", NewModel(b"x", "x", {}, RecordCard()), now, promote=True)
    return FakeProcess(store, now)


@pytest.fixture
def runs(process):
    return MonitorRuns(process)


def kinds(store, **query):
    return [event.kind for event in store.events.page(EventQuery(**query))]


def test_a_run_that_was_missed_while_no_process_served_has_the_first_missed_due_time(process, runs, store, now):
    assert list(runs.missed_runs()) == []  # a monitor that never ran has no missed runs
    store.runs.start("pump", "train", now - 6 * HOUR, worker="a")
    store.runs.start("fan", "score", now - 6 * HOUR, worker="a")
    store.runs.start("pump", "score", now - 5 * HOUR)
    assert list(runs.missed_runs()) == []  # nor did one that was only scored by hand
    store.runs.start("pump", "score", now - 5 * HOUR, worker="a")
    assert list(runs.missed_runs()) == [("pump", now - 4.5 * HOUR)]  # it was half past
    store.runs.start("pump", "score", now - timedelta(minutes=30))
    assert list(runs.missed_runs()) == []


def test_a_training_that_is_due_or_was_missed_is_requested_once(process, runs, store, now):
    def requests():
        runs.request_due_trainings()
        return [(request.monitor, request.reason) for request in store.requests.page(RequestQuery())]

    assert requests() == []  # a process that begins to serve has missed nothing of a monitor that was never trained
    store.runs.start("pump", "train", now - 20 * HOUR)
    assert requests() == requests() == [("pump", "schedule")]
    store.runs.start("pump", "train", now)
    process.now = now + 11 * HOUR
    assert len(requests()) == 1
    process.now = now + 12 * HOUR
    assert len(requests()) == len(requests()) == 2


def test_a_monitor_that_was_never_trained_is_trained_when_its_schedule_falls_due(process, runs, store, now):
    process.now = now + 12 * HOUR
    runs.request_due_trainings()
    assert len(store.requests.page(RequestQuery(monitor="pump"))) == 1


def test_a_run_that_starts_late_is_an_event_and_a_punctual_run_is_not(process, runs, store, now):
    process._fail = lambda *_: None
    runs.score("pump", now - timedelta(minutes=1))
    assert kinds(store, kind="missed_run") == []
    runs.score("pump", now - 3 * HOUR)
    (event,) = store.events.page(EventQuery(kind="missed_run"))
    assert (event.monitor, event.since, event.until) == ("pump", now - 3 * HOUR, now)
    assert "started 3:00:00 late" in event.message


def test_three_consecutive_failures_are_one_event_that_a_success_ends(process, runs, store, now):
    for _ in range(5):
        runs.score("pump", process.now)
        assert not runs.needs_run("pump")
        process.now += HOUR
        assert runs.needs_run("pump")
    (event,) = store.events.page(EventQuery(kind="failing"))
    assert (event.at, event.until) == (now + 2 * HOUR, None)
    assert "The table has gone." in event.message
    assert store.runs.status("pump").last_runs["score"].message == "The table has gone."

    process._fail = lambda *_: None
    MonitorRuns(process).score("pump", None)  # as after a restart
    (event,) = store.events.page(EventQuery(kind="failing"))
    assert event.until == process.now
    runs.score("pump", None)
    assert not runs.needs_run("pump")


def test_a_run_that_waits_is_one_event_without_the_lock_of_its_monitor_until_a_run_succeeds(process, runs, store, now):
    process.waiting = {"pump": Wait(25.0, "postgresql://db/plant"), "gone": Wait(25.0, "")}
    with ExitStack() as stack:
        if store.engine.dialect.name == "postgresql":
            stack.enter_context(writing(store.engine)).execute(text("SELECT * FROM monitors FOR UPDATE"))
        for _ in range(2):
            runs.record_waits()
    (event,) = store.events.page(EventQuery(kind="waiting"))
    assert (event.monitor, event.since, event.until) == ("pump", now - timedelta(seconds=25), None)
    assert "has waited 25 s for postgresql://db/plant" in event.message
    process._fail = lambda *_: None
    runs.score("pump", None)
    (event,) = store.events.page(EventQuery(kind="waiting"))
    assert event.until == now


def test_a_retry_is_recorded_for_the_due_time_of_the_failed_run(process, runs, store, now):
    runs.score("pump", now)
    runs.score("pump", now + timedelta(seconds=1))  # too soon: the next attempt stands for it too
    process.now += timedelta(seconds=2)
    process._fail = lambda *_: None
    assert runs.needs_run("pump")
    runs.score("pump", None)
    with reading(store.engine) as connection:
        runs = connection.execute(text("SELECT outcome, scheduled_for FROM runs ORDER BY id")).all()
    assert [(outcome, str(time)[:19]) for outcome, time in runs] == [
        ("failed", "2026-03-01 12:30:00"),
        ("done", "2026-03-01 12:30:00"),
    ]


def test_a_monitor_without_champion_is_logged_once(process, runs, store, caplog):
    for _ in range(3):
        runs.score("fan", process.now)
    assert caplog.text.count("has no champion model yet") == 1
    assert not runs.needs_run("fan")
    assert kinds(store, monitor="fan") == []


def test_no_run_starts_for_a_removed_monitor_or_a_stopping_process(process, runs):
    runs.score("gone", process.now)
    process.is_stopping = True
    runs.score("pump", process.now)
    assert process.tables == []
