"""A record of a series is scored with its own past, wherever batches are cut and however late records come."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import BigInteger, Boolean, Column, Double, MetaData, Table, Text, insert

from detector.series.scorer import SeriesScorer
from jobs.databases import writing
from jobs.reading.context import in_context, stretches_of
from jobs.reading.source import Source
from schemas.column_types import UtcDateTime
from schemas.config import MonitorConfig
from schemas.errors import MissingColumns
from schemas.frames import Features
from schemas.keys import KeyRange
from tests.level_table import HOSTILE, PLAIN, pages, tank_table
from tests.machines import FEATURES, START, interleaved, machine, trained

LEVEL = Features(numeric=("level",))
ANY_SIZE = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
ARRIVALS = st.lists(
    st.tuples(st.sampled_from(["x", "y", None]), st.one_of(st.integers(0, 12), st.none())), min_size=1, max_size=40
)
PICKED = st.sets(st.integers(0, 39), min_size=1)
IN_ORDER = st.lists(st.tuples(st.sampled_from(["x", "x", "x", "y"]), st.integers(0, 6)), min_size=9, max_size=40).map(
    lambda arrivals: sorted(arrivals, key=lambda arrival: arrival[1])
)


@pytest.fixture(params=[PLAIN, HOSTILE], ids=["plain", "hostile"])
def tanks(engine, request):
    """Return a function that fills a table with arrivals given as (tank, minute); a record's level is its key."""
    names = request.param
    table = tank_table(names)

    def fill(arrivals, **changes):
        rows = [
            {names["key"]: key, names["time"]: minute(at), names["entity"]: tank, "level": float(key)}
            for key, (tank, at) in enumerate(arrivals, 1)
        ]
        with writing(engine) as connection:
            table.drop(connection, checkfirst=True)
            table.create(connection)
            connection.execute(insert(table), rows)
        return Source("tanks", MonitorConfig(**(names | {"series": {}} | changes)), engine)

    return fill


def minute(at):
    return None if at is None else START + pd.Timedelta(minutes=at)


def pasts(page, source, moments, **options):
    """Return for each key of a page the levels of the newest moments before it in its segment."""
    levels_by_key = {}
    for segment in stretches_of(page, source, LEVEL, moments, **options):
        ordered, position = segment.series.ordered()
        for place in position[segment.own].tolist():
            levels, line = ordered.values[:, 0].astype(int), ordered.line
            past = levels[:place] if line is None else levels[line.rows[: line.places[place]]]
            levels_by_key[int(levels[place])] = past.tolist()[-moments:]
    return levels_by_key


def expected_past(arrivals, key, moments):
    """Return the past by definition: earlier in time, smaller key, the last of each moment, the newest moments."""
    tank, at = arrivals[key - 1]
    if tank is None or at is None:
        return []
    last_of = {}
    for earlier, (other, then) in enumerate(arrivals[: key - 1], 1):
        if other == tank and then is not None and then < at:
            last_of[then] = earlier
    return [last_of[then] for then in sorted(last_of)][-moments:]


@ANY_SIZE
@given(arrivals=st.one_of(ARRIVALS, IN_ORDER), cuts=st.lists(st.integers(1, 40)), moments=st.integers(1, 4))
def test_each_record_has_its_own_past_wherever_batches_are_cut(tanks, arrivals, cuts, moments):
    source = tanks(arrivals)
    actual = {}
    for page in pages(source, cuts, len(arrivals)):
        actual |= pasts(page, source, moments)
    source.close()
    assert actual == {key: expected_past(arrivals, key, moments) for key in range(1, len(arrivals) + 1)}


@settings(ANY_SIZE, max_examples=8)
@given(arrivals=st.one_of(ARRIVALS, IN_ORDER), picked=PICKED, moments=st.integers(1, 4))
def test_records_picked_from_several_places_have_their_own_past(tanks, arrivals, picked, moments):
    rows = sorted({place % len(arrivals) for place in picked})
    source = tanks(arrivals)
    page = next(source.pages(None)).iloc[rows].reset_index(drop=True)
    actual = pasts(page, source, moments, is_page=False)
    source.close()
    assert actual == {row + 1: expected_past(arrivals, row + 1, moments) for row in rows}


def test_the_past_is_read_in_order_of_time_with_the_last_record_of_each_moment(tanks):
    source = tanks([("x", 1), ("x", 0), ("x", 1), ("x", 1), ("y", 1), ("x", 2), ("x", 3)])
    assert source.read_past((7,), 2)["level"].tolist() == [4, 6]
    assert source.read_past((7,), 9)["level"].tolist() == [2, 4, 6]
    source.close()


def test_records_that_share_times_are_one_segment_and_their_past_is_computed_once(tanks):
    late = [("x", 2), *[("x", 100)] * 9]
    source = tanks([*(("x", at // 9) for at in range(900)), *late])
    page = source.read(KeyRange((500,), (910,)))
    assert [len(segment.series) for segment in stretches_of(page, source, LEVEL, 5)] == [5 + 400, 2 + 1, 5 + 9]
    source.close()


def test_without_entities_all_records_are_one_series(tanks):
    arrivals = [("x", 0), ("y", 1), ("x", 3), ("y", 2)]
    source = tanks(arrivals, entity=None)
    (page,) = pages(source, [], 4)
    assert pasts(page, source, 3) == {1: [], 2: [1], 3: [1, 2], 4: [1, 2]}
    source.close()


def test_only_the_past_of_each_record_is_read(tanks, engine, monkeypatch):
    arrivals = [("x", at) for at in range(1000)] + [("x", 2), ("x", 1000)]  # one comes very late
    source, sizes = tanks(arrivals), []
    fetch = source._reader.fetch
    monkeypatch.setattr(source._reader, "fetch", lambda statement: sizes.append(len(f := fetch(statement))) or f)
    page = source.read(KeyRange((1000,), (1002,)))
    del sizes[:]
    assert pasts(page, source, 5) == {1001: [1, 2], 1002: [996, 997, 998, 999, 1000]}
    assert sum(sizes) < 20
    source.close()


def test_if_many_records_share_a_moment_their_past_is_read_once(tanks, monkeypatch):
    arrivals = [("x", at // 9) for at in range(900)]
    source, count = tanks(arrivals), []
    fetch = source._reader.fetch
    monkeypatch.setattr(source._reader, "fetch", lambda statement: count.append(statement) or fetch(statement))
    page = source.read(KeyRange((500,), (900,)))
    del count[:]
    assert pasts(page, source, 5) == {key: expected_past(arrivals, key, 5) for key in range(501, 901)}
    assert len(count) < 12
    source.close()


@pytest.fixture(scope="module")
def scorer():
    return SeriesScorer(trained())


@pytest.fixture
def machines(engine):
    """Two machines, some of whose records come late, and some twice."""
    readings = interleaved(machine("a", 800, 0), machine("b", 800, 1))
    rng = np.random.default_rng(3)
    late = readings.iloc[np.sort(rng.choice(1400, 12, replace=False))].assign(load=0.0)
    readings = pd.concat([readings.iloc[:1500], late, readings.iloc[1500:]]).reset_index(drop=True)
    readings["id"] = np.arange(1, len(readings) + 1)
    numbers = [Column(name, Double) for name in FEATURES.numeric]
    named = [Column("machine", Text), Column("read_at", UtcDateTime()), Column("is_open", Boolean)]
    table = Table("machines", MetaData(), Column("id", BigInteger, primary_key=True), *numbers, *named)
    with writing(engine) as connection:
        table.create(connection)
        connection.execute(insert(table), readings.drop(columns="is_fault").to_dict("records"))
    features = {"numeric": FEATURES.numeric, "boolean": FEATURES.boolean, "series": {}}
    monitor = MonitorConfig(table="machines", key="id", time="read_at", entity="machine", **features)
    source = Source("machines", monitor, engine)
    yield source
    source.close()


@pytest.mark.parametrize("cuts", [[700, 1300], range(0, 1612, 211), range(1490, 1530)])
def test_scores_are_the_same_bits_wherever_batches_are_cut(machines, scorer, cuts):
    def scores(cuts):
        return pd.concat([in_context(scorer, page, machines).score(page) for page in pages(machines, cuts, 1612)])

    whole, parts = scores([]), scores(cuts)
    np.testing.assert_array_equal(parts.to_numpy(dtype=np.float64), whole.to_numpy(dtype=np.float64))


def test_a_model_whose_features_are_no_longer_watched_is_refused(machines, scorer):
    page = machines.read(KeyRange(None, (5,))).drop(columns="speed")
    with pytest.raises(MissingColumns, match="lack the columns \\['speed'\\]"):
        in_context(scorer, page, machines)


def test_the_past_is_searched_for_by_the_index_on_entity_and_time(machines, engine, monkeypatch):
    statements, fetch = [], machines._reader.fetch
    monkeypatch.setattr(machines._reader, "fetch", lambda statement: statements.append(statement) or fetch(statement))
    machines.read_past((1600,), 10)
    machines.read_between((1500,), (1600,), 10)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE INDEX ix_past ON machines (machine, read_at)")
        connection.exec_driver_sql("ANALYZE machines")
        explain = "EXPLAIN QUERY PLAN" if engine.dialect.name == "sqlite" else "EXPLAIN"
        for statement in statements:
            sql = statement.compile(engine, compile_kwargs={"literal_binds": True})
            assert "ix_past" in str(connection.exec_driver_sql(f"{explain} {sql}").all())
