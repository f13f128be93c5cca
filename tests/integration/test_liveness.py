"""An entity that stops sending while others send is an event, alerted once, until it returns or is retired."""

from datetime import timedelta

import pytest
from sqlalchemy import event as database_event
from sqlalchemy import insert

from jobs.databases import writing
from jobs.store import AuditQuery
from jobs.store.events import EventQuery
from schemas.errors import UsageError
from schemas.tables import alerts
from tests.watched_table import START, MonitoredTable, at

HOUR, DAY = 60, 24 * 60
PUMPS = ("a", "b", "c")


class Station:
    """Pumps that report to a table, and a monitor that is scored as if by a service; times are in minutes."""

    def __init__(self, store, **settings):
        given = {"batch_size": 10_000, "store_scores": "anomalies", "alert": {"channels": ["ops"]}}
        self.table = MonitoredTable(store, **given | settings)
        self.store, self.minute, self.key = store, 0, 0

    def run(self, minutes, pumps=PUMPS, *, every=3, is_scored=True):
        """Let pumps report for some minutes, each once in `every`, and score."""
        times = range(self.minute + 1, self.minute + minutes + 1, every)
        reports = [(pump, minute) for minute in times for pump in pumps]
        rows = [
            {"id": self.key + n, "pump": pump, "read_at": self.table._stored(at(minute)), "flow": 1.0}
            for n, (pump, minute) in enumerate(reports, 1)
        ]
        if rows:
            with writing(self.store.engine) as connection:
                connection.execute(insert(self.table.table), rows)
        self.key += len(rows)
        self.wait(minutes)
        if is_scored:
            self.table.score()

    def wait(self, minutes):
        """Let time pass in which no pump reports."""
        self.minute += minutes
        self.table.now = at(self.minute)

    def events(self, kind="silent"):
        """Return entity, start in minutes and whether it is over, of each event of a kind, oldest first."""
        page = self.store.events.page(EventQuery("pump", kind))
        return [
            (e.entity, e.since and (e.since - START) // timedelta(minutes=1), e.until is not None) for e in page[::-1]
        ]

    def titles(self):
        return [title for _, title in self.table.rows(alerts.c.id, alerts.c.title)]


@pytest.fixture
def station(store):
    """Three pumps that have reported every three minutes for three hours."""
    station = Station(store)
    station.run(3 * HOUR)
    return station


def test_a_pump_that_is_dead_beside_living_ones_is_one_event_and_one_alert_until_it_returns(station):
    station.run(59, "ac")
    assert station.events() == []
    for _ in range(3):
        station.run(30, "ac")
    assert station.events() == [("b", 178, False)]
    assert station.titles() == ["pump, b: silent"]
    station.run(10)
    assert station.events() == [("b", 178, True)]
    station.run(2 * HOUR, "ac")
    assert len(station.titles()) == 2


def test_a_renamed_pump_is_one_silent_and_one_new_entity_in_one_message(station):
    station.run(2 * HOUR, ("a", "b-new", "c"))
    station.run(1)
    assert station.events("new_entity") == [("b-new", None, False)]
    assert station.titles() == ["pump, b: silent"]
    (body,) = station.table.rows(alerts.c.body)
    assert "New since then: 'b-new'." in body


def test_an_outage_of_the_source_or_of_the_service_makes_no_pump_silent(station):
    station.wait(30 * HOUR)
    station.table.score()
    assert (station.events("gap"), station.events()) == ([(None, 178, False)], [])
    station.run(4, "a")
    station.run(30, "ac")  # one after the other returns
    station.run(30)
    for pumps in ("ac", "abc"):
        station.run(40, pumps, is_scored=False)
    station.run(1)
    assert (station.events("gap"), station.events()) == ([(None, 178, True)], [])


def test_a_limit_that_is_given_counts(store):
    station = Station(store, silent_after="10m")
    station.run(5)
    station.run(9, "ab")
    assert station.events() == []
    station.run(4, "ab")
    assert station.events() == [("c", 4, False)]
    station.table.settings["silent_after"] = "never"
    station.run(1, "ab")
    assert station.events() == [("c", 4, True)]


def test_a_retired_pump_is_quiet_by_configuration_or_command(station):
    station.table.settings["retired"] = ["b"]
    station.run(2 * HOUR, "a")
    assert station.titles() == ["pump, c: silent"]
    station.store.entities.retire("pump", "c", station.table.now)
    assert station.events() == [("c", 178, True)]
    station.run(HOUR, "a")
    assert len(station.titles()) == 1
    station.store.entities.watch("pump", "c", station.table.now, "key person")
    station.run(1, "a")
    assert station.titles() == ["pump, c: silent"] * 2
    (act,) = station.store.audit.page(AuditQuery(actor="key person"))
    assert (act.action, act.subject, act.detail) == ("watch entity", "entity c", {"entity": "c"})
    with pytest.raises(UsageError, match="has no entity 'z'. List its entities with: plumbline entities list pump"):
        station.store.entities.retire("pump", "z", station.table.now)


def test_a_pump_in_maintenance_is_not_silent(store):
    window = {"start": at(180), "end": at(360), "entity": "b"}
    station = Station(store, maintenance=[window])
    for minutes, pumps in ((180, "abc"), (179, "ac"), (60, "ac")):
        station.run(minutes, pumps)
        assert station.events() == []
    station.run(5, "ac")
    assert station.events() == [("b", 178, False)]


def test_many_pumps_that_stop_at_once_are_one_message(store):
    pumps = [f"pump-{n:02}" for n in range(40)]
    station = Station(store)
    station.run(3 * HOUR, pumps, every=5)
    station.run(3 * HOUR, pumps[:8], every=5)
    station.run(24 * HOUR, pumps[:8], every=5)
    assert len(station.events()) == 32
    assert station.titles() == ["pump: silent entities"]
    (body,) = station.table.rows(alerts.c.body)
    assert "32 entities of monitor 'pump' fell silent" in body
    assert "'pump-08'" in body
    assert "and 12 more" in body


def test_pumps_that_stopped_long_before_the_first_scoring_are_no_event(store):
    station = Station(store)
    station.run(DAY, every=10, is_scored=False)
    station.run(40 * DAY, "ab", every=60)
    assert station.events() == []


def test_a_rescored_batch_changes_no_rhythm(station):
    before = station.store.entities.activity("pump")
    station.store.recounting.reopen_window("pump", START, at(DAY))
    station.table.score()
    assert station.store.entities.activity("pump") == before


def test_thousands_of_entities_cost_a_query_of_the_recent_ones(store):
    station = Station(store)
    pumps = [f"pump-{n:04}" for n in range(2_000)]
    station.run(1, pumps)
    statements = []
    database_event.listen(store.engine, "before_cursor_execute", lambda *arguments: statements.append(arguments[2]))
    activity = store.entities.activity("pump", since=START)
    assert len(activity.entities) == 2_000
    (query,) = [statement for statement in statements if "entity_rhythms" in statement]
    assert "last_at >=" in query
