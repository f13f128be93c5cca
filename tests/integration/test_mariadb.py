"""MariaDB as source and as store, on a server in another time zone, with a small character set and small statements."""

import re
from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest
from sqlalchemy import text

from detector.records.card import RecordCard
from jobs.app import open_store
from jobs.checks import check_monitor
from jobs.databases import open_engine, reading, writing
from jobs.dialects import dialect_of
from jobs.importing.importing import import_file
from jobs.join_view import create_join_view
from jobs.reading.source import Source, keys_of
from jobs.starter.proposing import Choices, propose_monitor
from jobs.store import Anomaly, AnomalyQuery, BatchResult, NewModel, RequestQuery, migrations
from schemas.config import MonitorConfig
from schemas.errors import ConfigError, SourceError, StoreError
from schemas.frames import Cause, Explanation
from schemas.keys import KeyRange, key_label
from tests.mariadb_server import MAX_ALLOWED_PACKET

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LEASE = timedelta(minutes=5)


@pytest.fixture
def engine(mariadb_url):
    engine = open_engine(mariadb_url)
    yield engine
    engine.dispose()


@pytest.fixture
def run(engine):
    """Return a function that runs statements as another program of the plant does, in the zone of the server."""

    def runner(*statements):
        with engine.begin() as connection:
            connection.exec_driver_sql("SET time_zone = '+07:00', sql_mode = ''")
            for statement in statements:
                connection.exec_driver_sql(statement)
            connection.exec_driver_sql("SET time_zone = '+00:00'")

    return runner


@pytest.fixture
def watch(engine):
    """Return a function that opens a monitor on a table."""
    opened = []

    def opener(**settings):
        settings = {"table": "readings", "key": "id", "numeric": ["flow"], "false_positive_rate": 0.2} | settings
        opened.append(Source("pump", MonitorConfig(**settings), engine))
        return opened[-1]

    yield opener
    for source in opened:
        source.close()


@pytest.fixture
def flag(store, now):
    """Return a function that writes flagged rows with the given keys."""
    model_id = store.models.add("pump", NewModel(b"weights", "ab" * 32, {}, RecordCard()), now, promote=True)

    def flagger(*keys, entity="é"):
        causes = Explanation((Cause("flow", 7.0, 2.0, 1.0, 0.0),))
        rows = [Anomaly(key_label(key), None, now, entity, 9.0, 0.01, 80.0, 4.0, causes) for key in keys]
        store.ledger.plan("pump", KeyRange(None, keys[-1]), now)
        store.ledger.finish(store.ledger.claim("pump", model_id, now, LEASE), BatchResult(len(rows), tuple(rows)), now)

    return flagger


def test_a_timestamp_is_the_same_instant_whatever_the_zone_of_the_server(run, watch):
    run(
        "CREATE TABLE readings (id INT PRIMARY KEY, read_at TIMESTAMP, flow FLOAT)",
        "INSERT INTO readings VALUES (1, '2026-03-01 18:00:00', 1), (2, '2026-03-01 19:00:00', 2)",  # 11:00, 12:00 UTC
    )
    source = watch(time="read_at")
    assert source.next_range(None, 9, NOON - timedelta(minutes=1)) == KeyRange(None, (1,))
    assert source.next_range(None, 9, NOON) == KeyRange(None, (2,))
    assert list(source.read(KeyRange(None, (2,)))["read_at"]) == [NOON - timedelta(hours=1), NOON]


@pytest.mark.parametrize("declared", ["TIMESTAMP(6) NULL", "DATETIME(6)", "DATETIME", "DATE", "BIGINT", "VARCHAR(30)"])
def test_a_time_of_change_takes_effect(run, watch, declared):
    value = {"BIGINT": ("1", "2"), "DATE": ("'2026-03-01'", "'2026-03-02'")}
    before, after = value.get(declared, ("'2026-03-01 12:00:00'", "'2026-03-01 12:00:01'"))
    run(
        f"CREATE TABLE readings (id INT PRIMARY KEY, changed_at {declared}, flow DOUBLE)",
        f"INSERT INTO readings VALUES (1, {before}, 1), (2, {before}, 2)",
    )
    source = watch(updated="changed_at")
    everything = KeyRange(None, (2,))
    first = source.fingerprint(everything)
    assert not source.fingerprint(everything).differs_from(first)
    run(f"UPDATE readings SET changed_at = {after} WHERE id = 1")
    assert source.fingerprint(everything).differs_from(first)


@pytest.mark.parametrize("declared", ["DATETIME", "DATE", "TIMESTAMP NULL"])
def test_a_time_that_does_not_exist_is_named_with_its_key(run, watch, declared):
    run(
        f"CREATE TABLE readings (id INT PRIMARY KEY, read_at {declared}, flow DOUBLE)",
        "INSERT INTO readings VALUES (1, '2026-03-01', 1), (2, '0000-00-00', 2), (3, '2026-03-02', 3)",
    )
    source = watch(time="read_at")
    with pytest.raises(SourceError, match="should hold a time, but the record with key 2 holds '0000-00-00"):
        source.read(KeyRange(None, (3,)))
    assert len(source.read(KeyRange((2,), (3,)))) == 1


def test_keys_page_by_their_index_and_stay_exact(run, watch, engine):
    run(
        "CREATE TABLE readings (pump INT, read_at DATETIME(6), flow DOUBLE, PRIMARY KEY (pump, read_at))",
        "INSERT INTO readings SELECT seq DIV 1000, TIMESTAMPADD(MICROSECOND, seq, '2026-03-01'), seq"
        " FROM seq_1_to_4000",
    )
    source = watch(key=["pump", "read_at"])
    ranges, after = [], None
    while (key_range := source.next_range(after, 1500, None)) is not None:
        ranges.append(len(source.read(key_range)))
        after = key_range.upto
    assert ranges == [1500, 1500, 1000]
    assert after == (4, datetime(2026, 3, 1, 0, 0, 0, 4000))  # noqa: DTZ001 - as the table holds it
    condition = source.table().within(KeyRange((2, after[1]), after))
    statement = str(condition.compile(engine, compile_kwargs={"literal_binds": True})).replace("%%", "%")
    with reading(engine) as connection:
        (plan,) = connection.exec_driver_sql(f"EXPLAIN SELECT * FROM readings WHERE {statement}").mappings()
    assert (plan["type"], plan["key"]) == ("range", "PRIMARY")


def test_values_are_read_with_every_digit(run, watch):
    run(
        "CREATE TABLE readings (id BIGINT UNSIGNED PRIMARY KEY, flow FLOAT, price DECIMAL(20, 3), is_open BIT(1),"
        " mode ENUM('int', 'low'), is_fault BIT(1))",
        "INSERT INTO readings VALUES (18446744073709551615, 0.1, 1.125, b'1', 'low', b'1')",
    )
    source = watch(numeric=["flow", "price"], boolean=["is_open"], categorical=["mode"], label="is_fault")
    assert source.read_normal(9, with_label=True)["is_fault"].tolist() == [True]
    assert len(source.read_anomalies(9)) == 1
    row = source.read_normal(9).iloc[0]
    assert keys_of(source.read_normal(9), ["id"]) == [(18446744073709551615,)]
    assert row["flow"] == pytest.approx(0.1, abs=1e-8)  # of a float with 24 bits
    assert row["flow"] != 0.1
    assert (row["price"], row["is_open"], row["mode"]) == (1.125, True, "low")


def test_entities_that_differ_in_case_have_pasts_of_their_own(run, watch):
    run(
        "CREATE TABLE readings (id INT PRIMARY KEY, read_at DATETIME, pump VARCHAR(9), flow DOUBLE)",
        "INSERT INTO readings SELECT seq, TIMESTAMPADD(MINUTE, seq, '2026-03-01'), IF(MOD(seq, 2), 'a', 'A'), seq"
        " FROM seq_1_to_9",
    )
    source = watch(time="read_at", entity="pump", series={})
    assert list(source.read_past((9,), 20)["flow"]) == [1, 3, 5, 7]


def test_a_monitor_is_proposed_and_checked(run, engine, watch):
    run(
        "CREATE TABLE readings (id INT PRIMARY KEY, read_at TIMESTAMP, flow DOUBLE, is_open TINYINT(1),"
        " mode ENUM('high', 'low'), is_fault TINYINT(1), is_full BIT(1))",
        "INSERT INTO readings SELECT seq, TIMESTAMPADD(MINUTE, seq, '2026-03-01'), seq / 7, MOD(seq, 2),"
        " IF(MOD(seq, 3), 'high', 'low'), 0, MOD(seq, 5) = 0 FROM seq_1_to_300",
    )
    proposal = propose_monitor(engine, "readings", Choices())
    assert (proposal.key.columns, proposal.times.time) == (("id",), "read_at")
    assert proposal.columns.features["boolean"] == ["is_open", "is_full"]
    assert "is_fault" not in {name for names in proposal.columns.features.values() for name in names}
    assert {"flow", "is_open", "mode"} <= {
        *(name for names in proposal.columns.features.values() for name in names),
        *proposal.columns.left_out,
    }
    source = watch(time="read_at", boolean=["is_open"], categorical=["mode"], normal=proposal.normal, label="is_fault")
    findings = check_monitor("pump", source.monitor, source)
    assert all(finding.message.startswith("Feature ") for finding in findings if finding.level != "ok")
    text_time = watch(table=None, query="SELECT id, flow, CAST(read_at AS CHAR) AS at FROM readings", time="at")
    (finding, *_) = check_monitor("pump", text_time.monitor, text_time)
    assert "'at' is listed as time, but its type is varchar" in finding.message


def test_a_file_is_imported_and_appended_without_loss(tmp_path, engine):
    frame = pd.DataFrame(
        {
            "name": ["a", "A", "表"],
            "at": pd.to_datetime(["2026-03-01T12:00:00.000001Z"] * 3),
            "is_open": [True, False, True],
            "note": ["ж" * 70_000, None, "x"],
        }
    )
    for number, part in enumerate((frame[:2], frame[2:])):
        part.to_parquet(tmp_path / f"{number}.parquet")
        import_file(tmp_path / f"{number}.parquet", engine, "notes", key="name", if_exists="append")
    with reading(engine) as connection:
        rows = connection.exec_driver_sql("SELECT name, at, is_open, CHAR_LENGTH(note) FROM notes").all()
    at = datetime(2026, 3, 1, 12, 0, 0, 1)  # noqa: DTZ001 - as the table holds it
    assert sorted(map(tuple, rows)) == [("A", at, 0, None), ("a", at, 1, 70_000), ("表", at, 1, 1)]


def test_the_index_that_check_asks_for_can_be_created_on_texts(tmp_path, engine, run, watch):
    at = pd.date_range("2026-03-01", periods=60, freq="min", tz="UTC")
    frame = pd.DataFrame({"id": range(60), "read_at": at, "pump": ["a", "b"] * 30, "flow": [0.5, 2.5, 1.0] * 20})
    frame.to_parquet(tmp_path / "r.parquet")
    import_file(tmp_path / "r.parquet", engine, "readings")
    settings = {"time": "read_at", "entity": "pump", "series": {}}
    (finding,) = check_monitor("pump", watch(**settings).monitor, watch(**settings))
    run(re.search(r"Create one: (CREATE INDEX .*);", finding.message)[1])
    assert [found.level for found in check_monitor("pump", watch(**settings).monitor, watch(**settings))] == ["ok"]


def test_keys_that_differ_in_case_accents_or_blanks_are_rows_of_their_own(store, flag):
    keys = [("pump",), ("PUMP",), ("pümp",), ("pump ",), ("表",)]
    flag(*keys)
    assert {row.record_key for row in store.anomalies.page(AnomalyQuery())} == {key for (key,) in keys}
    assert len(store.anomalies.page(AnomalyQuery(entity="é"))) == 5
    assert store.anomalies.page(AnomalyQuery(entity="É")) == []


def test_a_time_keeps_its_microseconds(store):
    precise = NOON + timedelta(microseconds=123_456)
    store.runs.start("pump", "score", precise)
    assert store.runs.status("pump").last_runs["score"].started_at == precise


def test_a_request_of_a_dashboard_has_its_time_in_utc(store, run):
    before = datetime.now(UTC) - timedelta(seconds=1)
    store.monitors.register(["pump"])
    run("INSERT INTO retrain_requests (monitor) VALUES ('pump')")
    (request,) = store.requests.page(RequestQuery())
    assert before <= request.requested_at <= datetime.now(UTC) + timedelta(seconds=1)


def test_an_artifact_larger_than_a_statement_is_stored_in_parts(store, now):
    blob = bytes(range(256)) * (3 * MAX_ALLOWED_PACKET // 256) + b"\0'\\" * 7
    model_id = store.models.add("pump", NewModel(blob, "ab" * 32, {}, RecordCard()), now, promote=True)
    assert store.models.blob(model_id) == blob
    with writing(store.engine) as connection:
        assert connection.scalar(text("SELECT COUNT(*) FROM artifact_parts")) == 6
        connection.execute(text("DELETE FROM models"))
        assert connection.scalar(text("SELECT COUNT(*) FROM artifact_parts")) == 0


def test_another_value_that_is_too_large_names_the_setting(store, now):
    with pytest.raises(StoreError, match="raise the limit: SET GLOBAL max_allowed_packet = "):
        store.models.add(
            "pump", NewModel(b"", "", {"notes": "x" * 2 * MAX_ALLOWED_PACKET}, RecordCard()), now, promote=True
        )


def test_a_value_is_refused_rather_than_cut(store, now):
    with pytest.raises(StoreError, match="Data too long for column 'monitor'"):
        store.runs.start("x" * 65, "score", now)


def test_a_connection_that_reads_cannot_write(store):
    with pytest.raises(StoreError, match="READ ONLY transaction"), reading(store.engine) as connection:
        connection.execute(text("DELETE FROM runs"))


@pytest.mark.parametrize("collation", ["latin1_swedish_ci", "utf8mb4_general_ci"])
def test_a_joined_view_has_the_records_of_keys_of_every_type(store, engine, run, flag, watch, collation):
    run(
        f"CREATE TABLE readings (name VARCHAR(20) COLLATE {collation}, id INT, read_at DATETIME(6), day DATE,"
        " flow DOUBLE, PRIMARY KEY (name, id, read_at, day))",
        "INSERT INTO readings VALUES ('\"é/\\\\', 7, '2026-03-01 12:00:00', '2026-03-01', 1.5),"
        " ('b%%', 8, '2026-03-01 12:00:00.000005', '2026-03-02', 2.5)",
    )
    source = watch(key=["name", "id", "read_at", "day"])
    flag(*keys_of(source.read_normal(9), source.monitor.key))
    assert create_join_view(store, source) == create_join_view(store, source) == "anomalies_pump"
    with reading(engine) as connection:
        assert connection.scalars(text("SELECT flow FROM anomalies_pump ORDER BY flow")).all() == [1.5, 2.5]


def test_a_store_of_an_earlier_version_is_made_exact(engine, run, now):
    migrations.move(engine, "0004")
    run("ALTER TABLE runs MODIFY started_at DATETIME NOT NULL, CONVERT TO CHARACTER SET latin1")
    migrations.upgrade(engine)
    precise = now + timedelta(microseconds=1)
    store = open_store(engine)
    store.runs.start("pump", "score", precise)
    assert store.runs.status("pump").last_runs["score"].started_at == precise
    migrations.check(engine)


def test_an_old_server_is_refused(engine, monkeypatch):
    with engine.connect() as connection:
        monkeypatch.setattr(connection.dialect, "server_version_info", (10, 5, 29))
        with pytest.raises(StoreError, match=r"MariaDB 10\.5\.29, and a store needs 10\.6\. Upgrade it"):
            dialect_of(connection).lock_schema(connection)


def test_an_address_without_a_driver_takes_pymysql():
    from pydantic import SecretStr

    assert open_engine(SecretStr("mariadb://u@host/db")).dialect.driver == "pymysql"
    with pytest.raises(ConfigError, match="pip install mysqlclient"):
        open_engine(SecretStr("mysql+mysqldb://u@host/db"))
