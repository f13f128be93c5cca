"""The pasts of many entities are read in few statements, each through the index, with the rows of one at a time."""

import pandas as pd
import pytest
from sqlalchemy import insert

from jobs.databases import reading, writing
from jobs.reading.context import stretches_of
from jobs.reading.source import Source
from schemas.config import MonitorConfig
from schemas.errors import SourceTimeout
from schemas.frames import Features
from schemas.keys import KeyRange
from tests.level_table import PLAIN, tank_table
from tests.machines import START
from tests.mariadb_server import on_mariadb_too

TANKS, ROUNDS, MOMENTS = 110, 9, 4
LEVEL = Features(numeric=("level",))
PAGE = KeyRange(((ROUNDS - 2) * TANKS,), (ROUNDS * TANKS + 9,))  # the last two rounds, and what comes after them


def levels():
    """Return a record of each tank in each minute, then late ones: one between those of its tank, and one twice."""
    at = [START + pd.Timedelta(minutes=number) for number in range(ROUNDS)]
    rows = [{"tank": f"t{tank}", "at": at[number]} for number in range(ROUNDS) for tank in range(TANKS)]
    rows += [{"tank": "t8", "at": at[2]}, {"tank": "t9", "at": at[-1] + pd.Timedelta(minutes=1)}]
    rows[TANKS * (ROUNDS - 3) + 7]["at"] = at[ROUNDS - 4]  # two records of t7 have one time
    return [row | {"id": key, "level": float(key)} for key, row in enumerate(rows, 1)]


@pytest.fixture
def tanks(engine):
    table = tank_table(PLAIN)
    with writing(engine) as connection:
        table.create(connection)
        connection.execute(insert(table), levels())
        connection.exec_driver_sql("CREATE INDEX ix_past ON levels (tank, at)")
    source = Source("tanks", MonitorConfig(**PLAIN, series={}), engine)
    yield source
    source.close()


def statements_of(source, monkeypatch):
    """Return the list to which the statements of a source are added."""
    statements, fetch = [], source._reader.fetch
    monkeypatch.setattr(source._reader, "fetch", lambda statement: statements.append(statement) or fetch(statement))
    return statements


def past_and_records(page, source):
    """Return the levels of the segments of each entity, each the past of some records and then these records."""
    found = {}
    for segment in stretches_of(page, source, LEVEL, MOMENTS):
        found.setdefault(segment.entity, []).append(segment.series.values[:, 0].tolist())
    return found


def of(tank, *rounds):
    return [float(number * TANKS + tank + 1) for number in rounds]


@on_mariadb_too
def test_the_pasts_of_all_entities_of_a_page_take_few_statements(tanks, monkeypatch):
    page = tanks.read(PAGE)
    statements = statements_of(tanks, monkeypatch)
    found = past_and_records(page, tanks)
    late, newest = (float(ROUNDS * TANKS + number) for number in (1, 2))
    expected = {f"t{tank}": [of(tank, 3, 4, 5, 6, 7, 8)] for tank in range(TANKS)}
    expected["t7"] = [of(7, 2, 3, 4, 6, 7, 8)]
    expected["t8"] += [[*of(8, 0, 1), late]]
    expected["t9"][0] += [newest]
    assert found == expected
    # Two statements for the pasts of 110 tanks, and two for what lies between; one for the late record, two for t7.
    assert len(statements) == 2 + 2 + 1 + 2


@on_mariadb_too
def test_the_index_serves_every_past_of_a_statement(tanks, engine, monkeypatch):
    page = tanks.read(PAGE)
    statements = statements_of(tanks, monkeypatch)
    past_and_records(page[page["tank"].isin([f"t{tank}" for tank in range(20, 50)])].reset_index(drop=True), tanks)
    dialect = engine.dialect.name
    with reading(engine) as connection:
        if dialect == "postgresql":  # small tables are read whole
            for kind in ("seqscan", "bitmapscan"):
                connection.exec_driver_sql(f"SET LOCAL enable_{kind} = off")
        assert len(statements) == 2
        for statement in statements:
            sql = statement.compile(engine, compile_kwargs={"literal_binds": True})
            explain = "EXPLAIN QUERY PLAN" if dialect == "sqlite" else "EXPLAIN"
            plan = str(connection.exec_driver_sql(f"{explain} {sql}").all())
            assert plan.count("ix_past") >= 30, plan


@on_mariadb_too
def test_the_pasts_of_cells_take_two_statements_for_a_hundred_entities(tanks, engine, monkeypatch):
    cells = Source("cells", MonitorConfig(**PLAIN, series={"resample": "1m"}), engine)
    page = cells.read(KeyRange(((ROUNDS - 1) * TANKS,), (ROUNDS * TANKS,)))  # the last round
    statements = statements_of(cells, monkeypatch)
    found = past_and_records(page, cells)
    expected = {f"t{tank}": [of(tank, 4, 5, 6, 7, 8)] for tank in range(TANKS)}
    expected["t7"] = [[*of(7, 3, 4), (of(7, 5)[0] + of(7, 6)[0]) / 2, *of(7, 7, 8)]]
    assert found == expected
    assert len(statements) < 2 * 2 + 5  # and some for t7, whose past has a gap
    cells.close()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_pasts_of_cells_with_many_rows_take_no_more_memory_than_a_batch(tanks, engine, monkeypatch):
    config = MonitorConfig(**PLAIN, series={"resample": "3m"}, batch_size=60)
    cells, rows = Source("cells", config, engine), []
    page = cells.read(KeyRange(((ROUNDS - 1) * TANKS,), (ROUNDS * TANKS,))).query("tank not in ['t7', 't8', 't9']")
    fetch = cells._reader.fetch
    monkeypatch.setattr(cells._reader, "fetch", lambda sql: rows.append(fetch(sql)) or rows[-1])
    segments = stretches_of(page.reset_index(drop=True), cells, LEVEL, 2)
    means = {segment.entity: segment.series.values[:, 0].tolist() for segment in segments}
    assert means == {f"t{tank}": of(tank, 1, 4, 7) for tank in range(TANKS) if tank not in (7, 8, 9)}
    assert max(map(len, rows)) == 61  # one more than a batch: too many
    assert len(rows) < len(page)
    cells.close()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("resample", [None, "1m"])
def test_pasts_that_take_too_long_together_are_read_one_by_one(tanks, engine, monkeypatch, resample):
    source = Source("slow", MonitorConfig(**PLAIN, series={"resample": resample} if resample else {}), engine)
    page = source.read(PAGE)
    expected, fetch = past_and_records(page, source), source._reader.fetch

    def slow(statement):
        if "UNION ALL" in str(statement):
            raise SourceTimeout("took too long")
        return fetch(statement)

    monkeypatch.setattr(source._reader, "fetch", slow)
    assert past_and_records(page, source) == expected
    source.close()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_record_that_cannot_be_read_is_no_past(tanks, engine):
    with writing(engine) as connection:
        connection.exec_driver_sql(f"UPDATE levels SET level = 'broken' WHERE id = {TANKS * (ROUNDS - 3) + 4}")
    found = past_and_records(tanks.read(PAGE).head(20), tanks)
    rounds = {3: (2, 3, 4, 5, 7), 7: (2, 3, 4, 6, 7)}
    assert found == {f"t{tank}": [of(tank, *rounds.get(tank, (3, 4, 5, 6, 7)))] for tank in range(20)}


@on_mariadb_too
def test_pasts_have_columns_with_the_longest_names(engine):
    name = "level_" * 10 + "top"
    with writing(engine) as connection:
        connection.exec_driver_sql(
            f"CREATE TABLE levels (id INTEGER PRIMARY KEY, at TIMESTAMP, tank INTEGER, {name} REAL)"
        )
        rows = ", ".join(f"({n}, '2026-01-01 00:{n:02}:00', {n % 2}, {n})" for n in range(40))
        connection.exec_driver_sql(f"INSERT INTO levels VALUES {rows}")
    settings = {"table": "levels", "key": "id", "time": "at", "entity": "tank", "numeric": name}
    source = Source("tanks", MonitorConfig(**settings, series={}), engine)
    page = source.read(KeyRange((20,), (40,)))
    found = {
        segment.entity: segment.series.values[:, 0].tolist()
        for segment in stretches_of(page, source, Features((name,)), MOMENTS)
    }
    source.close()
    assert found == {"0": [*map(float, range(14, 40, 2))], "1": [*map(float, range(13, 40, 2))]}
