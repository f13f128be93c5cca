"""Records of a series are read on a grid of time, each cell once it is over, wherever batches are cut."""

import re
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from sqlalchemy import Boolean, Column, Date, Double, Index, Integer, MetaData, Table, column, insert, make_url
from sqlalchemy import table as table_clause

from jobs.databases import open_engine, writing
from jobs.dialects import dialect_of
from jobs.reading.context import stretches_of
from jobs.reading.grid import Grid
from jobs.reading.source import Source, keys_of
from jobs.reading.table import WatchedColumn, WatchedTable
from schemas.config import MonitorConfig
from schemas.errors import SourceError
from schemas.frames import Features
from schemas.keys import KeyRange
from tests.level_table import HOSTILE, PLAIN, pages, tank_table
from tests.mariadb_server import on_mariadb_too

START = datetime(2026, 3, 1, tzinfo=UTC)
LEVEL = Features(numeric=("level",))
ANY = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
LEVELS = st.one_of(st.none(), st.floats(-1e6, 1e6))
DELAYS = st.one_of(st.integers(0, 15), st.none())
ARRIVALS = st.lists(st.tuples(st.sampled_from(["x", "x", "y", None]), DELAYS, LEVELS), min_size=12, max_size=40).map(
    lambda rows: [
        (tank, None if delay is None else max(2 * i - delay, 0), level) for i, (tank, delay, level) in enumerate(rows)
    ]
)
CUTS = st.lists(st.integers(1, 40), min_size=1)
BY = st.sampled_from(["mean", "last"])


@pytest.fixture(params=[PLAIN, HOSTILE], ids=["plain", "hostile"])
def tanks(engine, request):
    """Return a function from arrivals (tank, second, level, ...) to a source with them on a grid of 10 s."""
    names = request.param
    table, opened = tank_table(names, Column("is_open", Boolean), Column("is_fault", Integer)), []
    Index("ix_past", table.c[names["entity"]], table.c[names["time"]])

    def fill(arrivals, by="mean", **changes):
        named = (names["entity"], names["time"], "level", "is_open", "is_fault")
        rows = [
            dict.fromkeys(named) | dict(zip(named, row, strict=False)) | {names["key"]: key, names["time"]: at(row[1])}
            for key, row in enumerate(arrivals, 1)
        ]
        with writing(engine) as connection:
            table.drop(connection, checkfirst=True)
            table.create(connection)
            connection.execute(insert(table), rows)
        series = {"resample": "10s", "resample_by": by}
        opened.append(Source("tanks", MonitorConfig(**(names | {"series": series} | changes)), engine))
        return opened[-1]

    yield fill
    for source in opened:
        source.close()


@pytest.fixture
def text_times(sqlite_url):
    """Return a function that fills a table of SQLite with times as given; a record's level is its key."""
    engine = open_engine(sqlite_url)
    monitor = MonitorConfig(table="texts", key="id", time="at", numeric="level", series={"resample": "10s"})
    source = Source("texts", monitor, engine)

    def fill(*times):
        with writing(engine) as connection:
            connection.exec_driver_sql("CREATE TABLE texts (id INTEGER PRIMARY KEY, at, level REAL)")
            rows = [(key, time, key) for key, time in enumerate(times, 1)]
            connection.exec_driver_sql("INSERT INTO texts VALUES (?, ?, ?)", rows)
        return source

    yield fill
    source.close()
    engine.dispose()


def at(second):
    return None if second is None else START + timedelta(seconds=second)


def value(rows, by):
    """Return the value by definition: the mean of the levels that are not null, or the last by time and key."""
    levels = [level for _, _, level in sorted(rows, key=lambda row: row[:2]) if level is not None]
    if not levels:
        return None
    return pytest.approx(np.mean(levels), rel=1e-12, abs=1e-9) if by == "mean" else levels[-1]


def cells(arrivals, before):
    """Return the cells by definition: the rows with smaller keys by tank and cell, as (second, key, level)."""
    rows_by_cell = {}
    for key, (tank, second, level) in enumerate(arrivals[: before - 1], 1):
        if tank is not None and second is not None:
            rows_by_cell.setdefault((tank, second // 10), []).append((second, key, level))
    return rows_by_cell


def known(level):
    return None if pd.isna(level) else level


@ANY
@given(arrivals=ARRIVALS, cuts=CUTS, by=BY)
def test_each_cell_is_one_record_wherever_batches_are_cut(tanks, arrivals, cuts, by):
    source = tanks(arrivals, by)
    time, tank = source.monitor.time, source.monitor.entity
    actual = [
        (key, row[tank], row[time], known(row["level"]))
        for page in pages(source, cuts, len(arrivals))
        for (key,), (_, row) in zip(keys_of(page, source.monitor.key), page.iterrows(), strict=True)
    ]
    expected = [
        (max(key for _, key, _ in rows), tank, at(10 * cell + 10), value(rows, by))
        for (tank, cell), rows in cells(arrivals, len(arrivals) + 1).items()
    ]
    assert actual == sorted(expected, key=lambda record: record[0])


@ANY
@given(arrivals=ARRIVALS, cuts=CUTS, by=BY, moments=st.integers(1, 4))
def test_the_past_of_a_record_is_as_it_was_when_its_last_row_came(tanks, arrivals, cuts, by, moments):
    source = tanks(arrivals, by)
    for page in pages(source, cuts, len(arrivals)):
        seen = []
        for segment in stretches_of(page, source, LEVEL, moments):
            ordered, position = segment.series.ordered()
            for row, place in zip(segment.rows.tolist(), position[segment.own].tolist(), strict=True):
                record = page.iloc[row]
                key, own = record[source.monitor.key[0]], record[source.monitor.time]
                rows = cells(arrivals, key)
                past = sorted(cell for tank, cell in rows if tank == segment.entity and at(10 * cell + 10) < own)
                expected = [value(rows[segment.entity, cell], by) for cell in past[-moments:]]
                assert [known(level) for level in ordered.values[:place, 0][-moments:]] == expected
                seen.append(row)
        assert sorted(seen) == list(range(len(page)))


def test_a_cell_that_gets_a_row_later_is_past_for_a_record_as_it_was(tanks):
    source = tanks([("x", 1, 1.0), ("x", 15, 2.0), ("x", 25, 3.0), ("x", 16, 4.0), ("x", 35, 5.0)])
    (page,) = pages(source, [], 5)
    assert page["level"].tolist() == [1.0, 3.0, 3.0, 5.0]
    pasts = {
        tuple(segment.rows.tolist()): segment.series.ordered()[0].values[:-1, 0].tolist()
        for segment in stretches_of(page, source, LEVEL, 9)
    }
    assert pasts == {(0,): [], (1,): [1.0, 2.0], (2, 3): [1.0, 3.0, 3.0]}


@on_mariadb_too
def test_the_past_is_read_across_gaps_to_its_start(tanks):
    seconds = [5, 1005, 1006, 90_005, 90_015, 500_000]
    source = tanks([("x", second, float(second)) for second in seconds])
    assert source.read_past((6,), 3)["level"].tolist() == [1005.5, 90_005, 90_015]
    assert source.read_past((6,), 9)["level"].tolist() == [5, 1005.5, 90_005, 90_015]
    assert source.read_past((1,), 9).empty


MIXED = [
    # tank, second, level, is_open, is_fault
    ("x", 3, 1.0, True, 0),
    ("x", 1, 4.0, False, 1),
    ("x", 9, None, None, None),
    ("x", 9, 2.5, None, 0),
    ("x", 11, None, None, 0),
    ("x", 19, None, True, 0),
    ("x", 18, 7.0, False, 0),
    ("x", 13, 8.0, False, 0),
]


@pytest.mark.parametrize(
    ("by", "levels", "is_open"), [("mean", [2.5, 7.5], [True, False]), ("last", [2.5, 7.0], [True, True])]
)
def test_nulls_do_not_count_and_one_fault_makes_a_fault(tanks, by, levels, is_open):
    source = tanks(MIXED, by, boolean="is_open", label="is_fault")
    frame = source.read(KeyRange(None, (8,)), with_label=True)
    assert frame["level"].tolist() == levels
    assert frame["is_open"].tolist() == is_open
    assert frame["is_fault"].tolist() == [True, False]
    assert frame.dtypes.astype(str).tolist()[0] == "int64"
    assert str(frame.dtypes["is_open"]) == str(frame.dtypes["is_fault"]) == "boolean"


def test_a_channel_without_a_value_in_a_cell_is_null(tanks):
    source = tanks([("x", 1, None), ("x", 2, None), ("x", 15, 2.0)], boolean="is_open")
    frame = source.read(KeyRange(None, (3,)))
    assert frame["level"].isna().tolist() == [True, False]
    assert frame["is_open"].isna().all()


def test_without_entities_a_cell_holds_all_rows_of_its_time(tanks):
    source = tanks([("x", 1, 1.0), ("y", 2, 3.0), (None, 12, 5.0), ("x", None, 9.0)], entity=None)
    frame = source.read(KeyRange(None, (4,)))
    assert frame["level"].tolist() == [2.0, 5.0]
    assert source.read_past((3,), 2)["level"].tolist() == [2.0]


@on_mariadb_too
@pytest.mark.parametrize(("second", "last"), [(9.99, None), (10, 2), (19, 2), (20, 4), (1000, 6)])
def test_a_cell_is_read_once_it_is_over(tanks, second, last):
    source = tanks([("x", 1, 1.0), ("y", 9, 1.0), ("x", 10, 1.0), ("y", 19, 1.0), ("y", 20, 1.0), ("x", None, 1.0)])
    key_range = source.next_range(None, 100, at(second))
    assert key_range == (None if last is None else KeyRange(None, (last,)))


@on_mariadb_too
def test_training_and_comparison_read_cells(tanks, engine):
    arrivals = [("x", second, float(second), None, int(second == 22)) for second in range(0, 40, 2)]
    key = engine.dialect.identifier_preparer.quote(tanks([("x", 1, 1.0)]).monitor.key[0])
    source = tanks(arrivals, batch_size=3, normal=f"{key} <> 8", label="is_fault")
    assert source.read_normal(2)["level"].tolist() == [24, 34]
    assert source.read_normal(9)["level"].tolist() == [4, 24, 34]
    assert source.read_normal_past((5,), 9)["level"].tolist() == [24, 34]
    assert source.read_newest(1)["level"].tolist() == [34]
    anomalies = source.read_anomalies(9)
    assert (anomalies["level"].tolist(), "is_fault" in anomalies) == ([24], False)
    assert source.read_keys([(5,), (7,), (20,)])["level"].tolist() == [4, 34]
    assert source.read_keys([]).empty
    assert [page["level"].tolist() for page in source.pages((5,))] == [[14], [24], [34]]
    assert [page["level"].tolist() for page in source.pages(None, (12,))] == [[4], [14]]


@on_mariadb_too
def test_any_change_of_the_rows_of_a_cell_changes_the_fingerprint(tanks):
    arrivals = [("x", 1, 1.0), ("x", 2, 1.0), ("y", 3, 1.0), ("x", 12, 1.0)]
    source = tanks(arrivals)
    before = source.fingerprint(KeyRange(None, (4,)))
    assert (before.records, source.count(KeyRange(None, (3,)))) == (3, 2)
    for changed in ([*arrivals[1:]], [arrivals[0], arrivals[0], *arrivals[2:], ("x", 5, 1.0)]):
        assert tanks(changed).fingerprint(KeyRange(None, (4,))).differs_from(before)
    moved = tanks([*arrivals, ("x", 5, 1.0)]).fingerprint(KeyRange(None, (4,)))
    assert moved.records == 2
    assert tanks(arrivals).fingerprint(KeyRange(None, (4,))) == before


def test_rows_are_looked_up_by_the_indexes_alone(tanks, engine, monkeypatch):
    source = tanks([(tank, second, 1.0) for second in range(2000) for tank in "xy"])
    statements, fetch = [], source._reader.fetch
    monkeypatch.setattr(source._reader, "fetch", lambda statement: statements.append(statement) or fetch(statement))
    source.read(KeyRange((3000,), (3300,)))
    source.read_past((3900,), 5)
    statements.append(source._records().fingerprint(KeyRange((3000,), (3300,))))
    with engine.begin() as connection:
        connection.exec_driver_sql("ANALYZE")
        explain = "EXPLAIN QUERY PLAN" if engine.dialect.name == "sqlite" else "EXPLAIN"
        for statement in statements:
            compiled = statement.compile(engine, compile_kwargs={"literal_binds": True})
            rest = tuple(compiled.params[name] for name in compiled.positiontup) if compiled.positional else None
            plan = str(connection.exec_driver_sql(f"{explain} {compiled}", rest).all())
            assert "ix_past" in plan or "USING INDEX sqlite_autoindex" in plan  # of the past, or of the key
            assert "Seq Scan" not in plan
            assert f"SCAN {source.monitor.table}" not in plan


@pytest.mark.parametrize("form", ["2026-03-01T00:00:{}Z", "2026-03-01T00:00:{}.250+00:00", "2026-03-01 00:00:{}"])
def test_sqlite_reads_times_in_any_one_form(text_times, form):
    source = text_times(*(form.format(second) for second in ("03", "09", "10", "11")))
    frame = source.read(KeyRange(None, (4,)))
    assert frame["level"].tolist() == [1.5, 3.5]
    assert frame["at"].tolist() == [at(10), at(20)]
    assert source.next_range(None, 9, at(15)) == KeyRange(None, (2,))
    assert source.read_past((4,), 5)["level"].tolist() == [1.5]


@pytest.mark.parametrize(
    "odd",
    ["2026-03-01T00:00:05", "2026-03-01 00:00:05+01:00", "2026-03-01 00:00", "2026-02-31 00:00:05", "now", 1772323205],
)
def test_sqlite_refuses_a_time_in_another_form(text_times, odd):
    source = text_times("2026-03-01 00:00:03", None, odd)
    message = f"'at' of monitor 'texts' should hold a time in .* key 3 holds '?{re.escape(str(odd))}'?"
    with pytest.raises(SourceError, match=message):
        source.read(KeyRange(None, (3,)))
    with pytest.raises(SourceError, match="written like '2026-03-01 12:30:00'"):
        source.read_normal(5)


def test_sqlite_does_not_wait_for_a_time_in_another_form(text_times):
    source = text_times("2026-03-01 00:00:03", "unknown", "2026-03-01 00:00:09")
    settled = source.next_range(None, 9, at(3600))
    assert settled == KeyRange(None, (3,))
    with pytest.raises(SourceError, match="key 2 holds 'unknown'"):
        source.read(settled)


def test_a_column_that_is_no_timestamp_is_refused(engine):
    table = Table(
        "days", MetaData(), Column("id", Integer, primary_key=True), Column("day", Date), Column("level", Double)
    )
    with writing(engine) as connection:
        table.create(connection)
        connection.execute(insert(table), [{"day": START.date(), "level": 1.0}])
    monitor = MonitorConfig(table="days", key="id", time="day", numeric="level", series={"resample": "1m"})
    source = Source("days", monitor, engine)
    with pytest.raises(SourceError, match="type date; `resample` needs a timestamp|key 1 holds '2026-03-01'"):
        source.read(KeyRange(None, (1,)))
    source.close()


def test_another_database_is_refused():
    dialect = dialect_of(make_url("oracle://host/database"))
    table = WatchedTable(
        table_clause("t", column("at")), {"at": WatchedColumn("at", "DATETIME", "timestamp")}, ("id",), None, dialect
    )
    with pytest.raises(SourceError, match="`resample` does not work with this database"):
        Grid.of(None, table, "at", timedelta(seconds=10))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"key": ["site", "id"]}, "resample needs a key of one column"),
        ({"key": "at"}, "which is neither the time nor the entity"),
        ({"key": "tank"}, "which is neither the time nor the entity"),
        ({"series": {"resample": "500ms"}}, r"resample must be whole seconds, not 0.5 s"),
        ({"series": {"resample": "1.5s"}}, r"resample must be whole seconds, not 1.5 s"),
        ({"series": {"resample": "0s"}}, "resample must be whole seconds"),
        ({"series": {"resample": "1m", "max_gap": "59s"}}, "max_gap must not be shorter than resample"),
        ({"series": {"resample_by": "median"}}, "resample_by"),
    ],
)
def test_settings_that_conflict_with_a_grid_are_refused(changes, message):
    with pytest.raises(ValidationError, match=message):
        MonitorConfig(**(PLAIN | {"series": {"resample": "10s"}} | changes))
