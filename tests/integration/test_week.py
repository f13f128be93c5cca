"""A simulated week of ten machines ends with exactly the messages that a person would want."""

import pytest

from jobs.app import open_store
from jobs.databases import open_engine
from jobs.store import migrations
from tests.alert_receiver import receiving
from tests.week_of_machines import END, MACHINES, Week, at, readings, with_change, without

SETTINGS = {
    "key": "id",
    "time": "read_at",
    "entity": "machine",
    "numeric": ["flow", "pressure", "bearing"],
    "false_positive_rate": 0.001,
    "score_every": "3h",
    "settle": "1m",
    "incident_gap": "2h",
    "time_zone": "Europe/Berlin",
    "model": {"members": 1, "steps": 60},
    "alert": {
        "consecutive": 2,
        "quiet_hours": "22:00-06:00",
        "escalate_severity": 100,
        "on": ["open", "new_cause", "end"],
    },
}
MESSAGES = [
    ("Mon 10:00", "plant, machine-03: anomalous"),  # it leaks from 9 o'clock on
    ("Mon 19:00", "plant, machine-03: normal again after 6 h"),
    ("Tue 13:00", "plant, machine-06: anomalous"),  # it is cleaned: labelled as a false alarm, so its end is no message
    ("Wed 13:00", "plant, machine-04: silent"),  # its sensor is dead from 10 o'clock on
    # From 8 to 14 o'clock on Thursday nothing is served.
    ("Thu 16:00", "plant, machine-05: anomalous"),  # it leaked from 9 to 11 o'clock
    # On Friday one reading is odd, machine-06 is cleaned again, and half of the machines rest from Saturday on.
    ("Sun 06:00", "plant, machine-02: anomalous"),  # it is hot in the night in which the clocks go forward
    ("Sun 11:00", "plant, machine-02: normal again after 4 h"),
]


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def week(request, tmp_path):
    """The machines with their faults, trained on the four weeks before."""
    frame = readings()
    frame = with_change(frame, "machine-03", at(0, "09:00"), at(0, "15:00"), pressure=-3)
    frame = with_change(frame, "machine-06", at(1, "12:00"), at(1, "16:00"), flow=40)
    frame = without(frame, "machine-04", at(2, "10:00"))
    frame = with_change(frame, "machine-05", at(3, "09:00"), at(3, "11:00"), pressure=-3)
    frame = with_change(frame, "machine-09", at(4, "12:00"), at(4, "12:30"), pressure=5)
    frame = with_change(frame, "machine-06", at(4, "14:00"), at(4, "17:00"), flow=40)
    frame = with_change(frame, "machine-02", at(6, "01:30"), at(6, "06:30"), bearing=9)
    engine = open_engine(request.getfixturevalue({"sqlite": "sqlite_url", "postgresql": "postgres_url"}[request.param]))
    migrations.upgrade(engine)
    with receiving() as server:
        week = Week(open_store(engine), tmp_path, frame, server, SETTINGS)
        yield week
        week.source.close()
    engine.dispose()


def test_a_week_ends_with_the_messages_that_a_person_would_want(week):
    week.serve_until(at(1, "17:00"))
    assert week.store.incidents.label(week.incident_of("machine-06").id, "false_positive", week.now) > 0
    week.serve_until(at(3, "08:00"))
    week.now = at(3, "14:00")
    week.serve_until(END)
    assert week.messages == MESSAGES
    assert week.incident_of("machine-09").held_back == "consecutive"
    bodies = {body["title"].partition(":")[0]: body["message"] for body in week.server.received}
    assert "Time: 2026-03-26 08:00:00 to 2026-03-26 09:30:00 UTC" in bodies["plant, machine-05"]
    assert "\nCauses:\n- pressure: " in bodies["plant, machine-05"]
    activity = week.store.entities.activity("plant")
    assert {entity.name: entity.silent_since for entity in activity.entities if entity.silent_since} == {
        "machine-04": at(2, "09:30")
    }
    assert len(activity.entities) == len(MACHINES)
