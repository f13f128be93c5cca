"""What schedules start: late runs, failures in a row, requests to train; by the clock of the test."""

import contextlib
from datetime import timedelta
from types import SimpleNamespace

import pytest
from sqlalchemy import text

from detector.records.card import RecordCard
from jobs.champions import Scorers
from jobs.databases import reading
from jobs.serving.monitoring import Monitoring
from jobs.store import NewModel, Worker
from jobs.store.events import EventQuery
from jobs.store.requests import RequestQuery
from schemas.config import Config
from schemas.errors import SourceError

HOUR = timedelta(hours=1)
PUMP = {"table": "readings", "key": "id", "numeric": "flow", "score_every": "1h"}


class Here:
    """A serving process whose time is the test's, and whose table cannot be read."""

    def __init__(self, store, now):
        self.store, self.now = store, now
        self.config = Config(
            monitors={"pump": PUMP | {"retrain": {"every": "24h"}}, "fan": PUMP | {"score_every": None}}
        )
        self.worker = Worker("w", "h", 1, "1", now)
        self.scorers = Scorers(lambda: None)
        self.is_stopping = False
        self.tables = []

    def clock(self):
        return self.now

    @contextlib.contextmanager
    def watching(self, monitor):
        self.tables.append(monitor)
        yield SimpleNamespace(name=monitor, monitor=self.config.monitor(monitor), next_range=self._fail)

    def _fail(self, *_):
        raise SourceError("The table has gone.")


@pytest.fixture
def here(store, now):
    store.models.add("pump", NewModel(b"x", "x", {}, RecordCard()), now, promote=True)
    return Here(store, now)


@pytest.fixture
def monitoring(here):
    return Monitoring(here)


def kinds(store, **query):
    return [event.kind for event in store.events.page(EventQuery(**query))]


def test_a_run_due_while_nobody_served_stands_for_the_first_time_that_was_missed(here, monitoring, store, now):
    assert list(monitoring.missed()) == []  # a monitor that never ran missed nothing
    store.runs.start("pump", "train", now - 6 * HOUR, worker="a")
    store.runs.start("fan", "score", now - 6 * HOUR, worker="a")
    store.runs.start("pump", "score", now - 5 * HOUR)
    assert list(monitoring.missed()) == []  # nor did one that was only scored by hand
    store.runs.start("pump", "score", now - 5 * HOUR, worker="a")
    assert list(monitoring.missed()) == [("pump", now - 4.5 * HOUR)]  # it was half past
    store.runs.start("pump", "score", now - timedelta(minutes=30))
    assert list(monitoring.missed()) == []


def test_a_training_that_is_due_or_was_missed_is_asked_for_once(here, monitoring, store, now):
    def asked():
        monitoring.ask_for_trainings()
        return [(request.monitor, request.reason) for request in store.requests.page(RequestQuery())]

    assert asked() == []  # a process that begins to serve has missed nothing of a monitor that was never trained
    store.runs.start("pump", "train", now - 20 * HOUR)
    assert asked() == asked() == [("pump", "schedule")]
    store.runs.start("pump", "train", now)
    here.now = now + 11 * HOUR
    assert len(asked()) == 1
    here.now = now + 12 * HOUR
    assert len(asked()) == len(asked()) == 2


def test_a_monitor_that_was_never_trained_is_trained_when_its_schedule_falls_due(here, monitoring, store, now):
    here.now = now + 12 * HOUR
    monitoring.ask_for_trainings()
    assert len(store.requests.page(RequestQuery(monitor="pump"))) == 1


def test_a_run_that_starts_late_is_an_event_and_one_in_time_is_not(here, monitoring, store, now):
    here._fail = lambda *_: None
    monitoring.score("pump", now - timedelta(minutes=1))
    assert kinds(store, kind="missed_run") == []
    monitoring.score("pump", now - 3 * HOUR)
    (event,) = store.events.page(EventQuery(kind="missed_run"))
    assert (event.monitor, event.since, event.until) == ("pump", now - 3 * HOUR, now)
    assert "started 3:00:00 late" in event.message


def test_three_failures_in_a_row_are_one_event_that_a_success_ends(here, monitoring, store, now):
    for _ in range(5):
        monitoring.score("pump", here.now)
        assert not monitoring.wants_work("pump")
        here.now += HOUR
        assert monitoring.wants_work("pump")
    (event,) = store.events.page(EventQuery(kind="failing"))
    assert (event.at, event.until) == (now + 2 * HOUR, None)
    assert "The table has gone." in event.message
    assert store.runs.status("pump").last_runs["score"].message == "The table has gone."

    here._fail = lambda *_: None
    Monitoring(here).score("pump", None)  # as after a restart
    (event,) = store.events.page(EventQuery(kind="failing"))
    assert event.until == here.now
    monitoring.score("pump", None)
    assert not monitoring.wants_work("pump")


def test_a_run_in_the_place_of_one_that_failed_is_recorded_for_its_due_time(here, monitoring, store, now):
    monitoring.score("pump", now)
    monitoring.score("pump", now + timedelta(seconds=1))  # too soon: the next attempt stands for it too
    here.now += timedelta(seconds=2)
    here._fail = lambda *_: None
    assert monitoring.wants_work("pump")
    monitoring.score("pump", None)
    with reading(store.engine) as connection:
        runs = connection.execute(text("SELECT outcome, scheduled_for FROM runs ORDER BY id")).all()
    assert [(outcome, str(time)[:19]) for outcome, time in runs] == [
        ("failed", "2026-03-01 12:30:00"),
        ("done", "2026-03-01 12:30:00"),
    ]


def test_a_monitor_without_champion_waits_quietly(here, monitoring, store, caplog):
    for _ in range(3):
        monitoring.score("fan", here.now)
    assert caplog.text.count("has no champion model yet") == 1
    assert not monitoring.wants_work("fan")
    assert kinds(store, monitor="fan") == []


def test_what_was_removed_or_stops_is_not_run(here, monitoring):
    monitoring.score("gone", here.now)
    here.is_stopping = True
    monitoring.score("pump", here.now)
    assert here.tables == []
