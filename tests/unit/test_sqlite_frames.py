"""Rows of SQLite as frames."""

import sqlite3
from datetime import datetime

import pytest
from sqlalchemy import DateTime, Text, column, create_engine, literal_column, select, text

from jobs.dialects.sqlite_frames import frame_of

VALUES = "(SELECT 1.5 AS f, 1 AS i, 'a' AS t, 2.5 AS m, NULL AS n UNION ALL SELECT NULL, 2, NULL, 3, NULL)"


@pytest.fixture
def connection():
    engine = create_engine("sqlite://")
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def test_columns_of_floats_are_floats_and_all_others_the_values_of_the_driver(connection):
    statement = select(*map(column, "fitmn")).select_from(text(VALUES))
    frame = frame_of(connection.execute(statement))
    assert [str(kind) for kind in frame.dtypes] == ["float64", *["object"] * 4]
    assert frame["f"].isna().tolist() == [False, True]
    values = [frame[name].tolist() for name in "itmn"]
    assert values == [[1, 2], ["a", None], [2.5, 3], [None, None]]
    assert type(values[2][1]) is int


def test_a_result_without_rows_has_its_columns(connection):
    frame = frame_of(connection.execute(select(column("f")).select_from(text(VALUES)).limit(0)))
    assert (list(frame), len(frame)) == (["f"], 0)


def test_values_that_sqlalchemy_converts_are_left_to_it(connection):
    time = literal_column("'2026-01-31 12:00:00.000000'", DateTime())
    result = connection.execute(select(time))
    assert frame_of(result) is None
    assert result.scalar() == datetime(2026, 1, 31, 12)  # noqa: DTZ001 - as SQLAlchemy returns it


def test_a_value_that_is_no_text_leaves_no_statement_unfinished(connection):
    result = connection.execute(select(literal_column("CAST(X'ff31' AS TEXT)", Text())))
    with pytest.raises(sqlite3.OperationalError, match="UTF-8"):
        frame_of(result)
    assert result.closed
