"""The views that dashboards query show what the tables hold."""

from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import Column, Date, DateTime, Double, Integer, MetaData, Table, Text, Uuid, insert, inspect, text

from detector.records.card import RecordCard
from jobs.databases import open_engine, reading, writing
from jobs.join_view import create_join_view, join_anomalies
from jobs.reading.source import Source, keys_of
from jobs.store import Anomaly, BatchResult, HourCount, NewModel
from schemas.config import MonitorConfig
from schemas.errors import StoreError
from schemas.frames import Cause, Explanation
from schemas.keys import KeyRange, key_label
from tests.mariadb_server import on_mariadb_too

START = datetime(2026, 1, 1, tzinfo=UTC)
NAIVE = START.replace(tzinfo=None)


def flagged(key, feature="flow", severity=80.0):
    whole = key[0] if len(key) == 1 and isinstance(key[0], int) else None
    causes = Explanation((Cause(feature, 7.0, 2.0, 1.0, 0.0),))
    return Anomaly(key_label(key), whole, START, "pump-1", 9.0, 0.01, severity, 4.0, causes, elbo=3.5)


@pytest.fixture
def finish(store, now):
    """Return a function that finishes a batch of the monitor pump."""
    model_id = store.models.add("pump", NewModel(b"", "", {}, RecordCard()), now, promote=True)

    def finisher(number, result, at=now):
        store.ledger.plan("pump", KeyRange((number,), (number + 1,)), now)
        store.ledger.finish(store.ledger.claim("pump", model_id, now, timedelta(hours=1)), result, at)

    return finisher


def query(store, sql):
    with reading(store.engine) as connection:
        return [tuple(row) for row in connection.execute(text(sql))]


@on_mariadb_too
def test_open_anomalies_are_newest_first_without_judged_ones(store, finish, now):
    finish(1, BatchResult(9, tuple(flagged((key,)) for key in (1, 2, 3))))
    store.anomalies.label(2, "false_positive", now)
    assert query(store, "SELECT record_key, severity, top_feature, elbo FROM open_anomalies") == [
        ("3", 80.0, "flow", 3.5),
        ("1", 80.0, "flow", 3.5),
    ]


@on_mariadb_too
def test_hourly_rates_add_up_batches(store, finish):
    finish(1, BatchResult(9, (), (HourCount(START, 30, 1), HourCount(START + timedelta(hours=1), 0, 0))))
    finish(2, BatchResult(9, (), (HourCount(START, 10, 1),)))
    rows = query(store, "SELECT monitor, records, anomalies, anomaly_rate FROM hourly_rates ORDER BY hour")
    assert rows == [("pump", 40, 2, 0.05), ("pump", 0, 0, None)]


@on_mariadb_too
def test_top_features_count_the_last_day_only(store, finish):
    today = datetime.now(UTC)
    finish(1, BatchResult(9, (flagged((1,)), flagged((2,), severity=90.0), flagged((3,), "mode"))), today)
    finish(2, BatchResult(9, (flagged((4,)),)), today - timedelta(hours=25))
    rows = query(store, "SELECT top_feature, anomalies, max_severity FROM top_features_last_day ORDER BY anomalies")
    assert rows == [("mode", 1, 80.0), ("flow", 2, 90.0)]


KEYS = {
    "integer": ([Integer], [(7,), (8,)]),
    "text": ([Text], [("a'b",), ("é",)]),
    "uuid": ([Uuid(native_uuid=True)], None),
    "date": ([Date], [(date(2026, 1, 1),), (date(2026, 1, 2),)]),
    "instant": ([DateTime(timezone=True)], [(START,), (START + timedelta(microseconds=120),)]),
    "composite": ([Text, Integer, DateTime], [('"é/', 7, NAIVE), ("b", 8, NAIVE + timedelta(microseconds=5))]),
}


@pytest.mark.parametrize("kind", ["integer", "text", "date", "instant", "composite"])
def test_a_joined_view_puts_anomalies_next_to_their_records(store, finish, kind):
    types, rows = KEYS[kind]
    names = ["id", "k1", "k2"][: len(types)]
    columns = [Column(name, type_, primary_key=True) for name, type_ in zip(names, types, strict=True)]
    table = Table("readings", MetaData(), *columns, Column("flow", Double))
    with writing(store.engine) as connection:
        table.create(connection)
        connection.execute(
            insert(table),
            [dict(zip(names, row, strict=True)) | {"flow": row_number} for row_number, row in enumerate(rows)],
        )
    source = Source("pump", MonitorConfig(table="readings", key=names, numeric="flow"), store.engine)
    keys = keys_of(source.read_normal(9), names)
    source.close()
    finish(1, BatchResult(9, (flagged(("elsewhere",)), *(flagged(key) for key in keys))))
    assert create_join_view(store, source) == create_join_view(store, source) == "anomalies_pump"
    rows = query(store, "SELECT record_key, elbo, flow, id FROM anomalies_pump ORDER BY id")
    assert rows == [(key_label(keys[0]), 3.5, 0.0, 2), (key_label(keys[1]), 3.5, 1.0, 3)]
    assert query(store, "SELECT source_id FROM anomalies_pump WHERE id = 2") != [(2,)]


@on_mariadb_too
def test_a_query_with_signs_of_every_kind_can_be_joined(store, finish):
    sql = "SELECT 7 AS id, 2.5 AS flow, 'a:b 100%' AS note WHERE 'x:y' LIKE 'x:%'"
    source = Source("pump", MonitorConfig(query=sql, key="id", numeric="flow"), store.engine)
    finish(1, BatchResult(9, (flagged((7,)),)))
    create_join_view(store, source)
    assert query(store, "SELECT flow, note FROM anomalies_pump") == [(2.5, "a:b 100%")]


def test_a_source_in_another_database_has_no_joined_view(store, tmp_path):
    from pydantic import SecretStr

    elsewhere = open_engine(SecretStr(f"sqlite:///{tmp_path / 'plant.db'}"))
    source = Source("pump", MonitorConfig(table="readings", key="id", numeric="flow"), elsewhere)
    assert create_join_view(store, source) is None


@on_mariadb_too
def test_going_down_takes_joined_views_along(store, finish):
    from jobs.store import migrations

    source = Source("pump", MonitorConfig(query="SELECT 7 AS id, 1 AS flow", key="id", numeric="flow"), store.engine)
    create_join_view(store, source)
    migrations.downgrade(store.engine, "base")
    migrations.upgrade(store.engine)
    assert query(store, "SELECT * FROM open_anomalies") == []


FOREIGN = [
    "VIEW anomalies_pump AS SELECT 7 AS answer",
    "TABLE anomalies_pump (answer INTEGER)",
    "VIEW anomalies_pump AS SELECT severity AS answer FROM anomalies WHERE monitor = 'pump'",
    "MATERIALIZED VIEW anomalies_pump AS SELECT 7 AS answer",
]


@pytest.mark.parametrize("foreign", FOREIGN)
def test_a_table_with_the_name_of_a_joined_view_is_left_alone_and_reported(store, caplog, foreign):
    if store.engine.dialect.name == "sqlite" and "MATERIALIZED" in foreign:
        pytest.skip("SQLite has none")
    with writing(store.engine) as connection:
        connection.execute(text(f"CREATE {foreign}"))
    source = Source("pump", MonitorConfig(query="SELECT 7 AS id, 1 AS flow", key="id", numeric="flow"), store.engine)
    with pytest.raises(
        StoreError, match="The name anomalies_pump .* is taken by a table or view that Plumbline did not"
    ):
        create_join_view(store, source)
    assert join_anomalies(store, source) is None
    assert "Rename it; the next training of monitor 'pump' creates the view" in caplog.text
    assert [column["name"] for column in inspect(store.engine).get_columns("anomalies_pump")] == ["answer"]


@on_mariadb_too
def test_a_view_of_others_on_a_joined_view_keeps_it_and_is_reported(store, caplog):
    source = Source("pump", MonitorConfig(query="SELECT 7 AS id, 1 AS flow", key="id", numeric="flow"), store.engine)
    assert join_anomalies(store, source) == "anomalies_pump"
    with writing(store.engine) as connection:
        connection.execute(text("CREATE VIEW mine AS SELECT flow FROM anomalies_pump"))
    is_built = join_anomalies(store, source) is not None
    assert is_built == (store.engine.dialect.name != "postgresql")
    assert ("objects depend on it. Drop the dependent objects first" in caplog.text) == (not is_built)
    assert query(store, "SELECT * FROM mine") == []
