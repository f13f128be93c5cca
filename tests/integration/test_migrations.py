"""The schema goes up and down, equals `schemas.tables`, and shares a database with others."""

import subprocess
import sys

import pytest
from sqlalchemy import insert, inspect, select

from jobs.app import open_store
from jobs.databases import open_engine, writing
from jobs.store import AnomalyQuery, migrations
from schemas.errors import StoreError, UsageError
from schemas.tables import REVISION, anomalies, api_keys, batches, metadata, models
from tests.mariadb_server import on_mariadb_too
from tests.workspace import ROOT

REVISIONS = sorted(path.name[:4] for path in (ROOT / "alembic/versions").glob("[0-9]*.py"))
VIEWS = {"open_anomalies", "open_incidents", "hourly_rates", "top_features_last_day", "drift_by_feature"}


def tables(engine):
    return set(inspect(engine).get_table_names())


def test_the_code_names_the_newest_revision():
    assert migrations.head() == REVISION


@on_mariadb_too
def test_migrations_go_up_down_and_up_again(engine):
    migrations.upgrade(engine)
    assert set(metadata.tables) <= tables(engine)
    assert set(inspect(engine).get_view_names()) == VIEWS

    migrations.downgrade(engine, "base")
    assert tables(engine) == {"plumbline_version"}
    assert inspect(engine).get_view_names() == []
    assert migrations.current(engine) is None

    migrations.upgrade(engine)
    assert migrations.is_current(engine)
    assert set(inspect(engine).get_view_names()) == VIEWS


@on_mariadb_too
def test_a_store_goes_to_an_earlier_revision_and_back_and_keeps_its_rows(engine, now):
    migrations.upgrade(engine)
    run_id = open_store(engine).runs.start("pump", "score", now)
    migrations.move(engine, "0001")
    assert migrations.current(engine) == "0001"
    assert "incidents" not in tables(engine)
    migrations.upgrade(engine)
    assert open_store(engine).runs.status("pump").last_runs["score"].id == run_id


@on_mariadb_too
def test_a_store_without_vae_scores_keeps_its_rows_which_have_none(engine, now):
    migrations.upgrade(engine)
    migrations.move(engine, "0009")
    pump, numbers = {"monitor": "pump"}, {"anomaly_score": 9.0, "p_value": 0.01, "severity": 80.0, "threshold": 4.0}
    model = pump | {"state": "champion", "created_at": now, "sha256": "ab" * 32, "artifact": b"\0"}
    batch = pump | {"after_key": "", "upto_key": "[1]", "state": "done", "planned_at": now}
    flagged = pump | numbers | {"record_key": "1", "attribution": [], "model_id": 1, "batch_id": 1, "flagged_at": now}
    with writing(engine) as connection:
        connection.execute(insert(models).values(model | {"manifest": {}, "card": {}}))
        connection.execute(insert(batches).values(batch))
        connection.execute(insert(anomalies).values(flagged))
    migrations.upgrade(engine)
    (row,) = open_store(engine).anomalies.page(AnomalyQuery())
    assert (row.anomaly_score, row.reconstruction_error, row.elbo) == (9.0, None, None)
    migrations.move(engine, "0009")
    migrations.upgrade(engine)
    assert open_store(engine).anomalies.count(AnomalyQuery()) == 1


def test_an_earlier_revision_gives_no_key_more_than_it_had(store, engine, now):
    with writing(engine) as connection:
        for scope in ("read", "operate", "write", "admin"):
            row = {"name": scope, "scope": scope, "sha256": scope[0] * 64, "created_at": now}
            connection.execute(insert(api_keys).values(row))
    migrations.move(engine, "0013")
    with writing(engine) as connection:
        scopes = dict(connection.execute(select(api_keys.c.name, api_keys.c.scope)).all())
    assert scopes == {"read": "read", "operate": "read", "write": "write", "admin": "write"}


def test_a_revision_that_is_not_there_is_refused(engine):
    with pytest.raises(UsageError, match=rf"no revision '9999'\. This version of Plumbline has {', '.join(REVISIONS)}"):
        migrations.move(engine, "9999")
    assert tables(engine) == set()


@pytest.mark.parametrize("revision", REVISIONS)
def test_a_store_that_is_newer_than_this_version_is_not_touched(store, engine, revision):
    with writing(engine) as connection:
        connection.exec_driver_sql("UPDATE plumbline_version SET version_num = '9999'")
    with pytest.raises(StoreError, match="Install the version that ran `plumbline migrate` last"):
        migrations.move(engine, revision)
    assert set(metadata.tables) <= tables(engine)


@on_mariadb_too
def test_the_tables_equal_the_migrated_schema_next_to_tables_of_others(engine):
    with writing(engine) as connection:
        connection.exec_driver_sql("CREATE TABLE pump_readings (id INTEGER PRIMARY KEY)")
        connection.exec_driver_sql("CREATE TABLE alembic_version (version_num VARCHAR(32))")
    migrations.upgrade(engine)
    migrations.check(engine)


def test_a_changed_table_is_noticed(engine):
    migrations.upgrade(engine)
    with writing(engine) as connection:
        connection.exec_driver_sql("ALTER TABLE runs ADD COLUMN colour TEXT")
    with pytest.raises(Exception, match="colour"):
        migrations.check(engine)


def test_upgrading_twice_changes_nothing(store, engine, now):
    store.runs.start("pump", "score", now)
    migrations.upgrade(engine)
    assert store.runs.status("pump").last_runs["score"].started_at == now


@on_mariadb_too
def test_tables_of_the_same_name_are_left_alone(engine):
    with writing(engine) as connection:
        connection.exec_driver_sql("CREATE TABLE models (name VARCHAR(10))")
    with pytest.raises(StoreError, match="already has tables or views named models"):
        migrations.upgrade(engine)
    assert [column["name"] for column in inspect(engine).get_columns("models")] == ["name"]


@pytest.mark.parametrize("made", ["VIEW hourly_rates AS SELECT 7 AS answer", "TABLE hourly_rates (answer INTEGER)"])
def test_a_table_with_the_name_of_a_view_is_left_alone(engine, made):
    with writing(engine) as connection:
        connection.exec_driver_sql(f"CREATE {made}")
    with pytest.raises(StoreError, match=r"tables or views named hourly_rates that are not Plumbline's\. Rename them"):
        migrations.upgrade(engine)
    assert [column["name"] for column in inspect(engine).get_columns("hourly_rates")] == ["answer"]


def test_a_view_of_the_name_of_one_that_a_later_revision_has_is_left_alone(engine):
    migrations.upgrade(engine)
    migrations.move(engine, "0001")
    with writing(engine) as connection:
        connection.exec_driver_sql("CREATE VIEW open_incidents AS SELECT 7 AS answer")
    with pytest.raises(StoreError, match="views named open_incidents that are not Plumbline's"):
        migrations.upgrade(engine)
    assert [column["name"] for column in inspect(engine).get_columns("open_incidents")] == ["answer"]
    assert migrations.current(engine) == "0001"


def test_a_view_of_the_same_name_in_another_schema_is_not_touched(postgres_url):
    admin = open_engine(postgres_url)
    with writing(admin) as connection:
        connection.exec_driver_sql("CREATE VIEW hourly_rates AS SELECT 7 AS answer")
        connection.exec_driver_sql("CREATE SCHEMA plant")
        connection.exec_driver_sql(f"ALTER DATABASE {admin.url.database} SET search_path = plant, public")
    admin.dispose()
    engine = open_engine(postgres_url)
    migrations.upgrade(engine)
    assert set(inspect(engine).get_view_names("plant")) == VIEWS
    assert inspect(engine).get_view_names("public") == ["hourly_rates"]
    engine.dispose()


def test_a_store_without_tables_is_an_error_that_names_the_command(engine):
    with writing(engine) as connection:
        connection.exec_driver_sql("SELECT 1")
    with pytest.raises(StoreError, match="plumbline migrate"):
        open_store(engine)


@pytest.mark.parametrize(("revision", "advice"), [("0000", "plumbline migrate"), ("9999", "newer than this version")])
def test_a_store_of_another_revision_is_refused(store, engine, revision, advice):
    with writing(engine) as connection:
        connection.exec_driver_sql(f"UPDATE plumbline_version SET version_num = '{revision}'")
    with pytest.raises(StoreError, match=advice):
        open_store(engine)


@on_mariadb_too
def test_four_processes_can_migrate_at_once(engine, database_url):
    code = (
        "import sys; from pydantic import SecretStr;"
        "from jobs.store import migrations; from jobs.databases import open_engine;"
        "sys.stdin.read(); migrations.upgrade(open_engine(SecretStr(sys.argv[1])))"
    )
    command = [sys.executable, "-c", code, database_url.get_secret_value()]
    started = [subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(4)]
    for process in started:
        process.stdin.close()
    failures = [process.stderr.read().decode() for process in started if process.wait()]
    for process in started:
        process.stderr.close()
    assert failures == []
    assert migrations.is_current(engine)
