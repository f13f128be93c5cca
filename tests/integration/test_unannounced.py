"""Incidents that are found too late to be alerted one by one are summed up in one event and one message."""

from datetime import timedelta

import pytest

from jobs.store.events import EventQuery
from schemas.tables import alerts, incidents
from tests.watched_table import START, MonitoredTable


def not_announced(pump):
    return [event.message for event in pump.store.events.page(EventQuery("pump", "not_announced"))]


def titles(pump):
    return [title for _, title in pump.rows(alerts.c.id, alerts.c.title)]


@pytest.fixture
def pump(store):
    """Twelve incidents, an hour apart; the last half of them ended within a day of the first scoring."""
    pump = MonitoredTable(store, batch_size=2, gap_after="9000d", alert={"channels": ["ops"], "newest": "1d"})
    for hour in range(12):
        pump.put(hour, value=9.0, time=START + timedelta(hours=hour))
    return pump


def test_what_is_too_old_to_be_alerted_is_summed_up_once(pump):
    pump.now = START + timedelta(days=2, hours=20)
    for _ in range(2):
        pump.score()
    assert titles(pump) == ["pump: not announced"]
    (body,) = pump.rows(alerts.c.body)
    assert "12 incidents of the last 3 days were not announced because they ended more than 1d ago." in body
    assert "plumbline incidents list pump --since 2026-03-01T00:00:00" in body
    assert len(not_announced(pump)) == 1


def test_an_outage_of_the_service_sums_up_the_old_and_alerts_the_recent(pump):
    pump.now = START + timedelta(days=1, hours=6)
    pump.score()
    begun = [title.partition(" (")[0] for title in titles(pump) if "normal again" not in title]
    assert begun == ["pump, pump-1: anomalous"] * 6 + ["pump: not announced"]
    (message,) = not_announced(pump)
    assert message.startswith("6 incidents of the last 2 days were not announced")
    pump.wait(days=9)
    pump.store.recounting.reopen_window("pump", START, pump.now)
    pump.score()
    assert len(not_announced(pump)) == 1  # nor is what was announced in its time


def test_what_no_rule_would_have_alerted_is_not_summed_up(pump):
    pump.settings["alert"] = {"channels": ["ops"], "severity": 50}
    pump.now = START + timedelta(days=3)
    pump.score()
    assert (titles(pump), not_announced(pump)) == ([], [])


def test_an_interrupted_run_leaves_the_summary_to_the_next(pump):
    pump.now = START + timedelta(days=3)
    pump.score(should_stop=lambda: len(pump.rows(incidents.c.id)) >= 4)
    pump.score()
    counts = [event.counts["incidents"] for event in pump.store.events.page(EventQuery("pump", "not_announced"))]
    assert sum(counts) == 12


def test_an_incident_that_was_summed_up_is_not_summed_up_again_with_one_that_takes_it_over(store):
    pump = MonitoredTable(store, gap_after="9000d", alert={"channels": ["ops"], "severity": 20})
    pump.put(0, value=9.0)
    pump.put(20, value=60.0)
    pump.now = START + timedelta(days=3)
    pump.score()
    assert [message.partition(" were")[0].partition(" was")[0] for message in not_announced(pump)] == [
        "1 incident of the last 3 days"
    ]
    pump.put(10, value=9.0)
    pump.wait(hours=1)
    pump.score()
    assert pump.rows(incidents.c.records, incidents.c.state, incidents.c.held_back)[-1] == (3, "ended", "age")
    assert len(not_announced(pump)) == 1
