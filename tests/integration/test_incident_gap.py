"""Incidents of series by the pace of their records: nobody has to configure the gap of hourly data."""

from dataclasses import replace
from datetime import timedelta

import pytest

from detector.core.about import About, Pace
from schemas.tables import alerts, incidents
from tests.mariadb_server import on_mariadb_too
from tests.watched_table import MODEL, START, MonitoredTable, RuleScorer

HOUR = timedelta(hours=1)
HOURLY = About(pace=Pace(3600.0, 3600.0))


class PacedScorer(RuleScorer):
    """A rule in place of a model of series that was trained on hourly records."""

    about = HOURLY


@pytest.fixture
def pump(store):
    """A pump with hourly records, and a champion that recorded their pace."""
    pump = MonitoredTable(store, alert={"channels": ["ops"]}, series={}, silent_after="never", gap_after="9000d")
    model = replace(MODEL, manifest={"about": HOURLY.to_json()})
    pump.models[store.models.add("pump", model, pump.now, promote=True)] = PacedScorer()
    return pump


def score_hours(pump, *hours):
    """Score the records of hours, of which the even ones are flagged, in one batch right after the last one."""
    pump.now = START + timedelta(hours=hours[-1], minutes=1)
    for hour in hours:
        pump.put(hour, value=1.0 if hour % 2 else 9.0, time=START + timedelta(hours=hour))
    pump.score()


def spans(pump):
    """Return the first and the last hour of each incident, its number of records and its state."""
    names = ("start_time", "end_time", "records", "state")
    return [
        ((start - START) / HOUR, (end - START) / HOUR, *others)
        for start, end, *others in pump.rows(*(incidents.c[name] for name in names))
    ]


def test_hourly_records_are_one_incident_until_a_day_is_calm(pump):
    score_hours(pump, 2, 3, 4)
    score_hours(pump, 7, 8)
    score_hours(pump, 31)
    assert spans(pump) == [(2, 8, 3, "open")]
    score_hours(pump, 33, 40)
    assert spans(pump) == [(2, 8, 3, "ended"), (40, 40, 1, "open")]
    assert sorted(pump.rows(alerts.c.reason)) == ["ended", "opened", "opened"]


def test_a_gap_that_is_set_stays_as_it_is(pump):
    pump.settings["incident_gap"] = "15m"
    score_hours(pump, 2, 3, 4)
    score_hours(pump, 7)
    assert spans(pump) == [(2, 2, 1, "ended"), (4, 4, 1, "ended")]


@on_mariadb_too
def test_a_store_returns_the_pace_that_a_model_recorded(store, now):
    manifests = [{"about": HOURLY.to_json()}, {"about": {}}, {}]  # the others are of earlier versions
    models = [store.models.add("pump", replace(MODEL, manifest=item), now, promote=True) for item in manifests]
    assert [store.models.pace(model_id) for model_id in models] == [HOURLY.pace, None, None]
