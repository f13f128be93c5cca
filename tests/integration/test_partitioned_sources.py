"""PostgreSQL tables of parts as sources, as TimescaleDB makes them: partitioned, inherited, views over them."""

from datetime import UTC, datetime, timedelta

import pytest

from jobs.checks import check_monitor
from jobs.databases import open_engine, writing
from jobs.reading.source import Source
from jobs.starter.proposing import Choices, propose_monitor
from schemas.config import MonitorConfig

START = datetime(2026, 3, 1, tzinfo=UTC)
COLUMNS = "id BIGINT NOT NULL, read_at TIMESTAMPTZ NOT NULL, pump TEXT REFERENCES pumps, flow DOUBLE PRECISION"
PUMPS = "CREATE TABLE pumps (name TEXT PRIMARY KEY)"
ROWS = (
    "SELECT i, TIMESTAMPTZ '2026-03-01 00:00+00' + i * INTERVAL '1 minute', "
    "CASE mod(i, 2) WHEN 0 THEN 'a' ELSE 'b' END, sin(i) FROM generate_series(1, 300) i"
)

KINDS = {
    "partitioned": [
        f"CREATE TABLE readings ({COLUMNS}, PRIMARY KEY (read_at, id)) PARTITION BY RANGE (read_at)",
        "CREATE TABLE early PARTITION OF readings FOR VALUES FROM (MINVALUE) TO ('2026-03-01 02:00+00')",
        "CREATE TABLE late PARTITION OF readings DEFAULT",
        f"INSERT INTO readings {ROWS}",
    ],
    # As a hypertable: its chunks inherit from an empty table, and have the indexes.
    "inherited": [
        f"CREATE TABLE readings ({COLUMNS}, PRIMARY KEY (read_at, id))",
        "CREATE TABLE early (PRIMARY KEY (read_at, id), CHECK (id <= 120)) INHERITS (readings)",
        "CREATE TABLE late (PRIMARY KEY (read_at, id), CHECK (id > 120)) INHERITS (readings)",
        f"INSERT INTO early SELECT * FROM ({ROWS}) r (id, at, pump, flow) WHERE id <= 120",
        f"INSERT INTO late SELECT * FROM ({ROWS}) r (id, at, pump, flow) WHERE id > 120",
    ],
    "view": [
        f"CREATE TABLE early ({COLUMNS})",
        f"INSERT INTO early {ROWS}",
        "CREATE VIEW readings AS SELECT e.* FROM early e JOIN pumps p ON p.name = e.pump",
    ],
    "materialized": [
        f"CREATE TABLE early ({COLUMNS})",
        f"INSERT INTO early {ROWS}",
        "CREATE MATERIALIZED VIEW readings AS SELECT * FROM early",
        "CREATE UNIQUE INDEX ix_key ON readings (read_at, id)",
    ],
}


@pytest.fixture
def engine(postgres_url):
    engine = open_engine(postgres_url)
    yield engine
    engine.dispose()


def run(engine, *statements):
    with writing(engine) as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


@pytest.fixture(params=KINDS)
def source(request, engine):
    run(engine, PUMPS, "INSERT INTO pumps VALUES ('a'), ('b')", *KINDS[request.param])
    settings = {"key": ["read_at", "id"], "time": "read_at", "entity": "pump", "updated": "read_at", "batch_size": 100}
    monitor = MonitorConfig(table="readings", numeric=["flow"], false_positive_rate=0.05, **settings)
    source = Source("pump", monitor, engine)
    yield source
    source.close()


def test_every_part_is_read_in_key_order_and_none_twice(source):
    ids, after = [], None
    while (key_range := source.next_range(after, 100, START + timedelta(minutes=250))) is not None:
        ids += source.read(key_range)["id"].tolist()
        assert source.count(key_range) == len(source.read(key_range))
        after = key_range.upto
    assert ids == list(range(1, 251))
    assert source.read_past(after, 3)["id"].tolist() == [244, 246, 248]


def test_it_is_checked_and_proposed_like_any_table(source):
    findings = check_monitor("pump", source.monitor, source)
    assert all(finding.message.startswith("Feature 'flow'") for finding in findings if finding.level != "ok")
    columns = propose_monitor(source.engine, "readings", Choices(key=("id",))).columns
    assert "flow" in {*columns.features.get("numeric", ()), *columns.left_out}


@pytest.mark.parametrize("source", ["partitioned", "inherited"], indirect=True)
def test_it_has_the_key_of_its_parts_and_a_change_in_one_is_detected(source):
    everything = source.next_range(None, 300, None)
    assert propose_monitor(source.engine, "readings", Choices()).key.columns == ("read_at", "id")
    before = source.fingerprint(everything)
    run(source.engine, "UPDATE readings SET read_at = read_at - INTERVAL '1 second' WHERE id = 7")
    assert source.fingerprint(everything).differs_from(before)
    run(source.engine, "DROP TABLE early")
    assert source.fingerprint(everything).records < before.records
