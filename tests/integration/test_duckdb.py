"""DuckDB as a source: its own files, views over Parquet and folders of files, read exactly and never written."""

import contextlib
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import duckdb
import pandas as pd
import pytest
from pydantic import SecretStr
from sqlalchemy import text

from jobs.databases import open_engine, reading
from jobs.importing.importing import import_file
from jobs.reading.source import Source
from jobs.starter.proposing import Choices, propose_monitor
from jobs.store import migrations
from schemas.config import MonitorConfig
from schemas.errors import ConfigError, SourceError, SourceTimeout, StoreError
from schemas.keys import KeyRange
from schemas.service import SourceTimeouts, Timeouts

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ROWS = """
SELECT i AS id, TIMESTAMPTZ '2026-03-01 12:00:00+00' + to_minutes(i) AS read_at, 'p' || i % 2 AS pump, i / 2 AS flow,
    i > 3 AS is_open, 'Mode ' || i % 3 AS mode FROM range(1, 13) t(i)
"""
PATIENT = SourceTimeouts()
SHORT = Timeouts(lock=timedelta(milliseconds=1), statement=timedelta(milliseconds=200))


@pytest.fixture
def file(tmp_path):
    return tmp_path / "plant.duckdb"


@pytest.fixture
def run(file):
    """Return a function that runs statements as another program does, and closes the file."""

    def runner(*statements):
        with duckdb.connect(file) as connection:
            for statement in statements:
                connection.execute(statement)

    return runner


@pytest.fixture
def watch(file):
    """Return a function that opens a monitor on a table, a folder or a query."""
    engines = []

    def opener(url=None, timeouts=PATIENT, **settings):
        engines.append(open_engine(SecretStr(url or f"duckdb:///{file}"), timeouts))
        place = {} if "query" in settings else {"table": "readings"}
        given = {"key": "id", "time": "read_at", "entity": "pump", "numeric": ["flow"]} | place | settings
        return Source("pump", MonitorConfig(**given), engines[-1])

    yield opener
    for engine in engines:
        engine.dispose()


@pytest.fixture
def folder(run, tmp_path):
    """A folder with the records in two Parquet files, and a view over it."""
    (tmp_path / "parts").mkdir()
    for rest in (0, 1):
        run(f"COPY (FROM ({ROWS}) WHERE id % 2 = {rest}) TO '{tmp_path}/parts/{rest}.parquet'")
    with contextlib.chdir(tmp_path):
        run("CREATE SCHEMA line", "CREATE VIEW line.readings AS SELECT * FROM 'parts/*.parquet'")
    return tmp_path / "parts"


@pytest.mark.parametrize(
    ("url", "place"),
    [
        (None, {"table": "line.readings"}),
        (None, {"table": "parts/*.parquet"}),
        ("duckdb:///:memory:", {"table": "{folder}/*.parquet"}),
        ("duckdb:///:memory:", {"query": "SELECT * FROM read_parquet('{folder}/*.parquet')"}),
    ],
    ids=["view", "relative folder", "folder without a file", "query"],
)
def test_a_folder_of_parquet_is_watched_like_a_table(watch, folder, url, place):
    ((name, form),) = place.items()
    source = watch(url, **{name: form.format(folder=folder)})
    assert source.next_range((2,), 4, None) == KeyRange((2,), (6,))
    assert source.next_range(None, 12, NOON + timedelta(minutes=5)) == KeyRange(None, (5,))
    records = source.read(KeyRange((2,), (5,)))
    assert records["id"].tolist() == [3, 4, 5]
    assert records["read_at"].tolist() == [NOON + timedelta(minutes=i) for i in (3, 4, 5)]
    before = source.fingerprint(KeyRange(None, (9,)))
    late = "SELECT 4 AS id, NULL::TIMESTAMPTZ AS read_at, 'p0' AS pump, 9.0 AS flow, true AS is_open, '' AS mode"
    duckdb.sql(late).write_parquet(str(folder / "late.parquet"))
    assert source.fingerprint(KeyRange(None, (9,))).differs_from(before)


TYPES = {
    "BIGINT": ("9007199254740993", 9007199254740993),
    "UBIGINT": ("18446744073709551615", 18446744073709551615),
    "DECIMAL(20, 3)": ("2.250", Decimal("2.250")),
    "VARCHAR": ("'b ''%s'' ä'", "b '%s' ä"),
    "UUID": ("'6f1d1b60-0000-4000-8000-000000000001'", UUID("6f1d1b60-0000-4000-8000-000000000001")),
    "TIMESTAMP": ("'2026-03-01 12:00:00.123456'", datetime(2026, 3, 1, 12, 0, 0, 123456)),  # noqa: DTZ001
    "TIMESTAMPTZ": ("'2026-03-01 13:00:00.5+01'", NOON + timedelta(milliseconds=500)),
}


@pytest.mark.parametrize("declared", TYPES)
def test_keys_of_every_type_are_exact_and_page(run, watch, declared):
    literal, value = TYPES[declared]
    run(f"CREATE TABLE readings (id {declared} PRIMARY KEY, flow DOUBLE)")
    run(f"INSERT INTO readings VALUES ({literal}, 1)")
    source = watch(time=None, entity=None)
    whole = source.next_range(None, 5, None)
    assert whole == KeyRange(None, (value,))
    assert source.next_range((value,), 5, None) is None
    assert len(source.read(whole)) == len(source.read_keys([(value,)])) == source.fingerprint(whole).records == 1


def test_a_change_of_the_time_of_change_is_detected(run, watch):
    run("CREATE TABLE readings AS SELECT *, TIMESTAMP '2026-03-01' AS changed_at FROM (" + ROWS + ")")
    source = watch(updated="changed_at")
    before = source.fingerprint(KeyRange(None, (9,)))
    assert not source.fingerprint(KeyRange(None, (9,))).differs_from(before)
    run("UPDATE readings SET changed_at = TIMESTAMP '2026-03-01 00:00:00.000001' WHERE id = 4")
    assert source.fingerprint(KeyRange(None, (9,))).differs_from(before)


def test_infinite_times_count_as_missing(run, watch):
    run(
        "CREATE TABLE readings (id INT PRIMARY KEY, read_at TIMESTAMP, pump VARCHAR, flow FLOAT)",
        "INSERT INTO readings VALUES (1, 'infinity', 'a', 1), (2, '2026-03-01 12:00:00', NULL, 'nan'::FLOAT)",
    )
    records = watch().read(KeyRange(None, (2,)))
    assert records[["read_at", "pump", "flow"]].isna().to_numpy().tolist() == [
        [True, False, False],
        [False, True, True],
    ]


def test_values_are_the_same_through_arrow_and_row_by_row(run, watch):
    columns = "(id BIGINT, strokes BIGINT, is_open BOOLEAN, mode VARCHAR, read_at TIMESTAMPTZ, flow DOUBLE, {})"
    rows = (
        "(1, 9007199254740993, true, 'ä', '2026-03-01 12:00:00.000001+00', .1, 7), (2, NULL, NULL, NULL, NULL, NULL, 8)"
    )
    features = {"numeric": ["strokes", "flow", "more"], "boolean": ["is_open"], "categorical": ["mode"], "entity": None}
    frames = []
    for more in ("more BIGINT", "more HUGEINT"):  # Arrow has no such integer
        run(f"CREATE OR REPLACE TABLE readings {columns.format(more)}", f"INSERT INTO readings VALUES {rows}")
        frames.append(watch(**features).read(KeyRange(None, (2,))))
    pd.testing.assert_frame_equal(*frames)


def test_cells_of_a_grid_and_the_past_are_read(run, watch):
    run(f"CREATE TABLE readings AS {ROWS}")
    source = watch(series={"resample": "4m"})
    records = source.read(KeyRange(None, (12,)))
    assert records["read_at"].min() == NOON + timedelta(minutes=4)
    assert records.groupby("pump")["flow"].sum().to_dict() == {"p0": 14.0, "p1": 9.0}
    past = watch(series={}).read_past((9,), 3)
    assert past["id"].tolist() == [3, 5, 7]


def test_init_proposes_a_monitor_for_a_folder(folder, watch):
    engine = watch().engine
    proposal = propose_monitor(engine, "parts/*.parquet", Choices(key=("id",)))
    assert (proposal.key.columns, proposal.times.time, proposal.table) == (("id",), "read_at", "parts/*.parquet")


def test_a_source_is_never_written(run, watch):
    run(f"CREATE TABLE readings AS {ROWS}")
    source = watch()
    with pytest.raises(SourceError, match="read-only mode"), reading(source.engine, SourceError) as connection:
        connection.execute(text("DELETE FROM readings"))


def test_a_writer_is_waited_for_and_then_named(run, file, watch):
    run(f"CREATE TABLE readings AS {ROWS}")
    hold = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print(flush=True); sys.stdin.read()"
    source = watch(timeouts=SHORT)
    assert source.next_range(None, 4, None) is not None  # and the file is released
    command = [sys.executable, "-c", hold, str(file)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        writer.stdout.readline()
        with pytest.raises(SourceTimeout, match="Could not set lock .* Another program writes to the file"):
            source.next_range(None, 4, None)
        patient = watch()
        writer.stdin.close()
        assert patient.next_range(None, 4, None) == KeyRange(None, (4,))


@pytest.mark.parametrize("place", ["{file}", ":memory:"])
def test_an_address_limits_cores_and_memory(run, file, watch, place):
    run("CREATE TABLE readings (id INT)")
    limits = text("SELECT current_setting('threads'), current_setting('memory_limit')")
    with reading(watch(f"duckdb:///{place.format(file=file)}?threads=1&memory_limit=1GiB").engine) as connection:
        assert tuple(connection.execute(limits).one()) == (1, "1.0 GiB")


def test_an_endless_statement_is_ended(watch, run):
    run(f"CREATE TABLE readings AS {ROWS}")
    endless = "SELECT count(*) FROM range(1000000) a(i), range(1000000) b(j) WHERE i * j % 7 = 1"
    engine = watch(timeouts=SHORT).engine
    with pytest.raises(SourceTimeout, match="Interrupted.*took longer"), reading(engine, SourceError) as connection:
        connection.execute(text(endless)).all()


def test_a_missing_file_folder_or_driver_and_a_store_are_refused(file, run, watch, monkeypatch):
    with pytest.raises(SourceError, match=f"There is no DuckDB file {file}"):
        watch().table()
    run("CREATE TABLE other (id INT)")
    with pytest.raises(SourceError, match="No files found.* Check the path"):
        watch(table="nowhere/*.parquet").table()
    only_read = "DuckDB is a source and is only read.* For the store and for imports, name"
    with pytest.raises(StoreError, match=only_read):
        migrations.upgrade(watch().engine)
    with pytest.raises(SourceError, match=only_read):
        import_file(Path("readings.csv"), watch().engine, "readings")
    with pytest.raises(SourceError, match="'iceberg.* Run INSTALL of the extension"):
        watch("duckdb:///:memory:", query="SELECT * FROM iceberg_scan('lake')").table()
    monkeypatch.setitem(sys.modules, "duckdb_engine", None)
    with pytest.raises(ConfigError, match=r"pip install 'plumbline\[duckdb\]'"):
        open_engine(SecretStr(f"duckdb:///{file}"))
