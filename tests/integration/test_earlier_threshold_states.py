"""A store that goes back to revision 0018 keeps its incidents, and states of thresholds that its version reads."""

import numpy as np
import pytest
from sqlalchemy import insert, inspect, select

from detector.core.lasting_incidents import LastingIncident
from detector.core.threshold_tracking import Tracker
from jobs.databases import reading, writing
from jobs.store import IncidentQuery, migrations
from schemas.tables import trackers
from tests.flagged_rows import START, FlaggedRows
from tests.mariadb_server import on_mariadb_too
from tests.watched_table import MODEL

TRACKER_FIELDS = {
    *("rate", "threshold", "spread", "before", "calm", "records", "flagged", "level", "debt", "shifts", "usual_after"),
    *("home", "back", "momentum", "recent", "steady", "is_held"),
}
STEADY_FIELDS = {"threshold", "median", "high", "top", "limit", "records", "high_share", "upper_share", "evidence"}


@pytest.fixture
def rows(store, now):
    store.models.add("pump", MODEL, now, promote=True)
    return FlaggedRows(store, "pump", now)


def states_of_a_stream():
    """Return the states before and after an incident, and one of a version without steady scores."""
    tracker = Tracker.start(np.linspace(0, 4, 1000), 0.01)
    incident = LastingIncident.start(tracker.steady)
    before = tracker.to_state() | {"incident": incident.to_state()}
    for score in [0.0] * 9 + [9.0]:
        incident.advance(score, 4.0, START)
    after = tracker.advance(np.array([0.0] * 9 + [9.0]))[1].to_state() | {"incident": incident.to_state()}
    return before, after, {name: value for name, value in after.items() if name != "incident"} | {"steady": None}


@on_mariadb_too
def test_an_earlier_version_reads_the_states_and_keeps_the_incidents(rows):
    before, after, old = states_of_a_stream()
    key = {"model_id": 1, "batch_id": rows.shared["batch_id"]}
    stored = [("pump-1", before, after), ("pump-2", old, old)]
    with writing(rows.store.engine) as connection:
        for entity, first, last in stored:
            row = key | {"entity": entity, "state_before": first, "state_after": last}
            connection.execute(insert(trackers).values(row))
    rows.write([rows.row(START) | {"began_at": START}])
    migrations.move(rows.store.engine, "0018")
    columns = {column["name"] for column in inspect(rows.store.engine).get_columns("anomalies")}
    with reading(rows.store.engine) as connection:
        found = connection.execute(select(trackers).order_by(trackers.c.entity)).all()
    assert "began_at" not in columns
    assert set(found[0].state_after) == TRACKER_FIELDS
    assert set(found[0].state_after["steady"]) == STEADY_FIELDS
    assert found[0].state_before["steady"] == {name: before["steady"][name] for name in STEADY_FIELDS}
    assert (found[1].state_before, found[1].state_after) == (old, old)
    migrations.upgrade(rows.store.engine)
    (incident,) = rows.store.incidents.page(IncidentQuery("pump"))
    assert (incident.start_time, incident.records, incident.state) == (START, 1, "open")
    assert Tracker.from_state(found[0].state_after).threshold == after["threshold"]
