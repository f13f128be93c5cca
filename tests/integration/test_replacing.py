"""A table is replaced beneath the views that read it."""

import pytest
from sqlalchemy import text

from jobs.databases import reading, writing
from jobs.importing.importing import import_file
from jobs.join_view import create_join_view
from jobs.reading.source import Source
from schemas.config import MonitorConfig
from schemas.errors import UsageError

on_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)  # SQLite bars nothing


@pytest.fixture
def load(store, tmp_path):
    """Return a function that imports a CSV file in place of the table readings."""

    def loader(content):
        path = tmp_path / "readings.csv"
        path.write_text(content, encoding="utf-8")
        return import_file(path, store.engine, "readings", if_exists="replace")

    return loader


@pytest.fixture
def view(store, load):
    """Load the table readings, and create the view that a training creates."""
    load("id,flow\n1,10\n2,20\n")
    source = Source("pump", MonitorConfig(table="readings", key="id", numeric="flow"), store.engine)
    create_join_view(store, source)
    source.close()


def query(store, sql):
    with reading(store.engine) as connection:
        return [tuple(row) for row in connection.execute(text(sql))]


def execute(store, sql):
    with writing(store.engine) as connection:
        connection.execute(text(sql))


@pytest.mark.usefixtures("view")
def test_a_table_that_was_trained_on_can_be_replaced_and_keeps_its_view(store, load):
    assert load("id,flow,note\n1,11.5,100%: a\n").rows == 1
    assert query(store, "SELECT flow FROM readings") == [(11.5,)]
    assert query(store, "SELECT record_key, flow FROM anomalies_pump") == []


@on_postgresql
@pytest.mark.usefixtures("view")
def test_a_view_of_others_bars_the_replacement_and_is_named(store, load):
    execute(store, "CREATE VIEW mine AS SELECT flow FROM readings")
    with pytest.raises(UsageError, match=r"readings cannot be replaced, since views read it: public\.mine\. Drop them"):
        load("id,flow\n3,30\n")
    assert query(store, "SELECT flow FROM mine ORDER BY flow") == [(10,), (20,)]
    assert query(store, "SELECT * FROM anomalies_pump") == []


@on_postgresql
@pytest.mark.parametrize("content", ["id,level\n1,2\n", "id,flow\na,2\n"], ids=["no column", "another key type"])
@pytest.mark.usefixtures("view")
def test_a_view_that_does_not_fit_the_new_table_leaves_the_old_one(store, load, content):
    with pytest.raises(UsageError, match=r"anomalies_pump does not fit the new readings: .* does not exist.*DROP VIEW"):
        load(content)
    assert query(store, "SELECT flow FROM readings ORDER BY id") == [(10,), (20,)]
    execute(store, "DROP VIEW anomalies_pump")
    assert load(content).rows == 1
