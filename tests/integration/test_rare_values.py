"""A monitor of a table in PostgreSQL whose keys are UUIDs, or whose times are infinite, trains and scores."""

from uuid import UUID

import pytest
from sqlalchemy import text

from jobs.databases import reading, writing
from jobs.importing.importing import import_file
from jobs.join_view import join_anomalies
from jobs.reading.source import Source
from jobs.scoring.run import score_monitor
from jobs.training.train import train_monitor
from schemas.config import MonitorConfig
from tests.workspace import FAULTS, RECORDS, readings

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)  # SQLite has neither
PLAIN = {"network": False}  # trains in a moment
PUMP = {
    "table": "pump_readings",
    "key": "id",
    "time": "read_at",
    "numeric": ["flow", "pressure"],
    "label": "is_fault",
    "model": {"members": 2, "steps": 100, "hidden": 16},
}


def uuid_of(number):
    """Return a UUID of version 7: milliseconds first, then pseudorandom bits."""
    return UUID(f"{0x19B8C000000 + 60_000 * number:012x}-7{number * 37 % 4096:03x}-8000-{number * 7919:012x}")


@pytest.fixture
def watch(store, tmp_path):
    """Return a function that imports readings, changes them by SQL, and watches them."""
    opened = []

    def watcher(frame, *changes, **settings):
        frame.to_parquet(tmp_path / "readings.parquet")
        import_file(tmp_path / "readings.parquet", store.engine, "pump_readings")
        with writing(store.engine) as connection:
            for change in changes:
                connection.execute(text(change))
        opened.append(Source("pump", MonitorConfig(**PUMP | settings), store.engine))
        return opened[-1]

    yield watcher
    for source in opened:
        source.close()


def test_a_table_whose_keys_are_uuids_of_version_7_trains_and_scores(store, watch, now):
    frame = readings()
    frame["id"] = [str(uuid_of(number)) for number in frame["id"]]
    normal = f"id <= '{uuid_of(700)}'"
    to_uuid = "ALTER TABLE pump_readings ALTER id TYPE uuid USING id::uuid"
    source = watch(frame, to_uuid, normal=normal, batch_size=300)
    train_monitor(source, store, lambda: now)
    report = score_monitor(source, store, lambda: now)
    assert (report.batches, report.records) == (3, RECORDS)
    assert score_monitor(source, store, lambda: now).records == 0
    with reading(store.engine) as connection:
        flagged = connection.execute(text("SELECT record_key, source_id FROM anomalies_pump")).all()
    assert {str(uuid_of(number)) for number in FAULTS} <= {key for key, _ in flagged}
    assert [(key, UUID(key)) for key, _ in flagged] == [tuple(row) for row in flagged]
    assert join_anomalies(store, source) == "anomalies_pump"


@pytest.mark.parametrize(
    "settings", [{}, {"series": PLAIN}, {"series": PLAIN | {"resample": "5m"}, "incident_gap": "15m"}]
)
@pytest.mark.parametrize("type_", ["timestamptz", "timestamp"])
def test_records_with_an_infinite_time_are_scored_as_records_without_a_time(store, watch, now, settings, type_):
    changes = [
        f"ALTER TABLE pump_readings ALTER read_at TYPE {type_} USING read_at::{type_}",
        "UPDATE pump_readings SET read_at = '-infinity' WHERE id IN (3, 720)",
        "UPDATE pump_readings SET read_at = 'infinity' WHERE id IN (5, 715, 790)",
        "UPDATE pump_readings SET read_at = '9999-12-31 23:59:59' WHERE id IN (7, 725, 820)",
    ]
    source = watch(readings(), *changes, settle="1m", normal="id <= 700", **settings)
    train_monitor(source, store, lambda: now)
    report = score_monitor(source, store, lambda: now)
    assert report.records == (168 if "resample" in settings.get("series", {}) else RECORDS)
    assert store.runs.status("pump").pending_batches == 0
    with reading(store.engine) as connection:
        times = connection.execute(text("SELECT record_key_int, record_time FROM anomalies")).all()
    if not settings:
        assert {key for key, time in times if time is None} == {790, 820}
