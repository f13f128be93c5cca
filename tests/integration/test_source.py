"""Records are read exactly, in key order, past a key; and never written."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Double,
    Integer,
    MetaData,
    Numeric,
    String,
    Table,
    Text,
    Uuid,
    insert,
    make_url,
    text,
    update,
)

from jobs.databases import open_engine, reading, writing
from jobs.dialects import dialect_of
from jobs.reading.source import Source, keys_of
from schemas.config import MonitorConfig
from schemas.errors import SourceAway, SourceError
from schemas.keys import KeyRange
from tests.mariadb_server import on_mariadb_too

START = datetime(2026, 1, 1, tzinfo=UTC)
NAIVE = START.replace(tzinfo=None)
BIG = 2**53 + 1


def fill(engine, name, columns, rows):
    """Create a table with rows."""
    table = Table(name, MetaData(), *columns)
    with writing(engine) as connection:
        table.create(connection)
        if rows:
            connection.execute(insert(table), rows)


def watch(engine, **settings):
    settings = {"table": "readings", "key": "id", "numeric": ["flow"], "batch_size": 4} | settings
    return Source("pump", MonitorConfig(**settings), engine)


@pytest.fixture
def open_source(engine):
    """Return a function that makes sources, which are closed after the test."""
    opened = []

    def opener(**settings):
        opened.append(watch(engine, **settings))
        return opened[-1]

    yield opener
    for source in opened:
        source.close()


@pytest.fixture
def readings(engine):
    """Ten records, a minute apart; odd ones are not normal."""
    columns = [
        Column("id", BigInteger, primary_key=True),
        Column("read_at", DateTime(timezone=True)),
        Column("pump_id", Integer),
        Column("flow", Double),
        Column("strokes", BigInteger),
        Column("is_open", Boolean),
        Column("mode", Text),
        Column("price", Numeric(20, 3, asdecimal=False)),
        Column("status", String(10)),
        Column("is_fault", Integer),
    ]
    rows = [
        {
            "id": BIG + i,
            "read_at": START + timedelta(minutes=i),
            "pump_id": i % 2,
            "flow": i / 2,
            "strokes": BIG + i,
            "is_open": i % 2 == 0,
            "mode": "high",
            "price": i + 0.125,
            "status": "a:b" if i % 2 else "ok",
            "is_fault": i % 2,
        }
        for i in range(9)
    ]
    fill(engine, "readings", columns, [*rows, dict.fromkeys(rows[0]) | {"id": BIG + 9}])


FULL = {
    "time": "read_at",
    "entity": "pump_id",
    "numeric": ["flow", "strokes", "price"],
    "boolean": ["is_open"],
    "categorical": ["mode"],
    "label": "is_fault",
}


def test_every_type_arrives_as_documented(readings, open_source):
    frame = open_source(**FULL).read(KeyRange(None, (BIG + 9,)), with_label=True)
    assert frame.dtypes.astype(str).to_dict() == {
        "id": "int64",
        "read_at": "datetime64[us, UTC]",
        "pump_id": "str",
        "flow": "float64",
        "strokes": "Int64",
        "price": "float64",
        "is_open": "boolean",
        "mode": "str",
        "is_fault": "boolean",
    }
    assert len(frame) == 10
    last, missing = frame.iloc[8], frame.iloc[9]
    assert last["read_at"] == START + timedelta(minutes=8)
    assert (last["pump_id"], last["mode"], last["price"]) == ("0", "high", 8.125)
    assert last["strokes"] == BIG + 8
    assert bool(last["is_open"]) is True
    assert missing.drop("id").isna().all()


def test_keys_beyond_the_integers_of_a_float_stay_exact(readings, open_source):
    source = open_source()
    frame = source.read(KeyRange((BIG,), (BIG + 2,)))
    assert keys_of(frame, ("id",)) == [(BIG + 1,), (BIG + 2,)]
    assert "is_fault" not in frame


def test_ranges_follow_one_another_to_the_end(readings, open_source):
    source = open_source()
    ranges, after = [], None
    while (key_range := source.next_range(after, 4, None)) is not None:
        ranges.append((source.count(key_range), len(source.read(key_range))))
        after = key_range.upto
    assert ranges == [(4, 4), (4, 4), (2, 2)]
    assert after == (BIG + 9,)


@pytest.mark.parametrize(("minutes", "last"), [(2.5, 2), (3, 3), (100, 3), (-1, None)])
def test_a_range_ends_before_the_first_record_that_is_not_settled(readings, open_source, minutes, last):
    source = open_source(**FULL)
    key_range = source.next_range(None, 4, START + timedelta(minutes=minutes))
    assert key_range == (None if last is None else KeyRange(None, (BIG + last,)))


def test_a_record_without_a_time_is_settled(readings, open_source):
    source = open_source(**FULL)
    assert source.next_range((BIG + 8,), 4, START) == KeyRange((BIG + 8,), (BIG + 9,))


def test_the_newest_normal_records_come_in_key_order(readings, open_source):
    source = open_source(**FULL, normal="status = 'ok' -- a:b 100%")
    frame = source.read_normal(3)
    assert frame["id"].tolist() == [BIG + 4, BIG + 6, BIG + 8]
    assert source.read_normal(100)["id"].tolist() == [BIG + 2 * i for i in range(5)]


def test_the_newest_known_anomalies_come_in_key_order(readings, open_source):
    source = open_source(**FULL)
    assert source.read_anomalies(3)["id"].tolist() == [BIG + 3, BIG + 5, BIG + 7]
    assert source.read_anomalies(100)["id"].tolist() == [BIG + 1, BIG + 3, BIG + 5, BIG + 7]
    with pytest.raises(SourceError, match="no label column"):
        open_source().read_anomalies(3)


def test_a_label_may_be_a_truth_value(readings, open_source):
    source = open_source(label="is_open")
    assert source.read_anomalies(2)["id"].tolist() == [BIG + 6, BIG + 8]


def test_pages_cover_the_table_in_bounded_frames(readings, open_source):
    source = open_source()
    assert [len(frame) for frame in source.pages(None)] == [4, 4, 2]
    assert [frame["id"].tolist() for frame in source.pages((BIG + 1,), (BIG + 3,))] == [[BIG + 2, BIG + 3]]


def test_a_query_is_watched_like_a_table(readings, open_source):
    query = "SELECT id, flow * 2 AS flow, read_at FROM readings WHERE status LIKE 'a:%' OR mode = ':mode'; "
    source = open_source(table=None, query=query, time="read_at")
    assert source.read(source.next_range(None, 2, START + timedelta(hours=1)))["flow"].tolist() == [1.0, 3.0]


HOSTILE = 'a"; drop table x; -- %s :x $1 `é'


def test_hostile_names_are_only_names(engine, open_source):
    columns = [Column(f"{HOSTILE} id", Integer, primary_key=True), Column(f"{HOSTILE} flow", Double, key="flow")]
    fill(engine, HOSTILE, columns, [{f"{HOSTILE} id": 1, "flow": 0.5}])
    source = open_source(table=HOSTILE, key=f"{HOSTILE} id", numeric=[f"{HOSTILE} flow"])
    frame = source.read(source.next_range(None, 4, None))
    assert frame.iloc[0].tolist() == [1, 0.5]
    assert source.read_normal(5).shape == (1, 2)


KEYS = {
    "text": ([Text], [("a",), ("b'",), ("é",)]),
    "composite": ([Text, BigInteger], [("a", 7), ("a", BIG), ("b", 1)]),
    "uuid": ([Uuid], [(UUID(int=1),), (UUID(int=2),), (UUID(int=3),)]),
    "instant": ([DateTime(timezone=True)], [(START + timedelta(microseconds=i),) for i in range(3)]),
    "timestamp": ([DateTime], [(NAIVE + timedelta(days=i),) for i in range(3)]),
    "date": ([Date], [(date(2026, 1, day),) for day in (1, 2, 3)]),
    "decimal": ([Numeric(30, 0)], [(Decimal(10) ** 25 + i,) for i in range(3)]),
}
PLAIN_IN_SQLITE = {"text", "composite"}  # the others are texts or floats there


@pytest.mark.parametrize("kind", KEYS)
def test_keys_of_every_kind_page_and_stay_exact(request, engine, open_source, kind):
    types, keys = KEYS[kind]
    if engine.dialect.name == "sqlite" and kind == "decimal":
        pytest.skip("SQLite has no exact decimals")
    names = [f"k{i}" for i in range(len(types))]
    columns = [Column(name, type_, primary_key=True) for name, type_ in zip(names, types, strict=True)]
    rows = [dict(zip(names, key, strict=True)) | {"flow": 1.0} for key in keys]
    fill(engine, "readings", [*columns, Column("flow", Double)], rows)
    source = open_source(key=names)
    first = source.next_range(None, 1, None)
    rest = source.next_range(first.upto, 5, None)
    read_keys = keys_of(source.read(first), names) + keys_of(source.read(rest), names)
    assert source.next_range(rest.upto, 5, None) is None
    assert [first.upto, rest.upto] == [read_keys[0], read_keys[-1]]
    assert len(read_keys) == 3
    if engine.dialect.name == "postgresql" or kind in PLAIN_IN_SQLITE:
        assert read_keys == keys


def test_a_time_in_the_key_is_read_as_a_time_and_kept_exact_as_a_key(engine, open_source):
    columns = [Column("read_at", DateTime, primary_key=True), Column("flow", Double)]
    fill(
        engine,
        "readings",
        columns,
        [{"read_at": NAIVE + timedelta(minutes=minute), "flow": 1.0} for minute in (1, 2, 3)],
    )
    source = open_source(key="read_at", time="read_at", batch_size=2)
    frames = list(source.pages(None))
    assert [frame["read_at"].iloc[0].to_pydatetime() for frame in frames] == [
        START + timedelta(minutes=1),
        START + timedelta(minutes=3),
    ]
    upto = source.next_range(None, 5, START + timedelta(minutes=2)).upto
    assert keys_of(frames[0], ("read_at",))[-1] == upto


def test_a_text_among_numbers_is_named_with_its_key(engine, open_source):
    columns = [Column("id", Integer, primary_key=True), Column("flow", Text)]
    fill(engine, "readings", columns, [{"id": 1, "flow": None}, {"id": 7, "flow": "n/a"}])
    source = open_source()
    with pytest.raises(SourceError, match=r"'flow' of monitor 'pump' should hold a number.*key 7 holds 'n/a'"):
        source.read(KeyRange(None, (9,)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"table": "reading"}, "'reading', which is not in .* The nearest is 'readings'"),
        ({"table": "plant.readings"}, "'plant.readings', which is not in"),
        ({"numeric": ["Flaw"]}, r"'Flaw' \(the nearest is 'flow'\).*It has: id, read_at"),
        ({"normal": "stat = 1"}, "stat"),
    ],
)
def test_a_missing_table_or_column_is_named(readings, open_source, settings, message):
    with pytest.raises(SourceError, match=message):
        open_source(**settings).read_normal(1)


def test_a_column_that_vanished_is_named(readings, engine, open_source):
    source = open_source()
    source.read_normal(1)
    with writing(engine) as connection:
        connection.execute(text("ALTER TABLE readings RENAME COLUMN flow TO flow_lpm"))
    with pytest.raises(SourceError, match=r"'flow' \(the nearest is 'flow_lpm'\)"):
        source.read_normal(1)


@pytest.mark.parametrize(("keys", "message"), [([None, 1], "'id' .*is null"), ([1, 1], r"have the key 1")])
def test_null_and_duplicate_keys_are_refused(engine, open_source, keys, message):
    fill(engine, "readings", [Column("id", Integer), Column("flow", Double)], [{"id": key} for key in keys])
    source = open_source()
    with pytest.raises(SourceError, match=message):
        source.read(source.next_range(None, 5, None))


def test_an_empty_table_has_no_range_and_empty_frames_with_every_column(engine, open_source):
    fill(engine, "readings", [Column("id", Integer, primary_key=True), Column("flow", Double)], [])
    source = open_source()
    assert source.next_range(None, 5, None) is None
    assert source.read_normal(5).columns.tolist() == ["id", "flow"]
    assert list(source.pages(None)) == []


def test_a_source_cannot_write(readings, engine, open_source):
    with pytest.raises(SourceError, match=r"read.?only"), reading(engine, SourceError) as connection:
        connection.execute(text("DELETE FROM readings"))
    assert len(open_source().read_normal(20)) == 10


def test_a_condition_in_the_configuration_cannot_write(readings, engine, open_source):
    if engine.dialect.name == "sqlite":
        pytest.skip("no expression writes in SQLite")
    with writing(engine) as connection:
        connection.execute(text("CREATE SEQUENCE counter"))
    with pytest.raises(SourceError, match="read-only transaction"):
        open_source(normal="nextval('counter') > 0").read_normal(1)


def test_reading_a_missing_sqlite_file_does_not_create_it(tmp_path, sqlite_url):
    source = watch(open_engine(sqlite_url))
    with pytest.raises(SourceError, match="There is no SQLite file"):
        source.read_normal(1)
    assert list(tmp_path.iterdir()) == []


@on_mariadb_too
def test_a_condition_that_is_wrong_is_no_source_that_is_away(open_source, readings):
    source = open_source(normal="nowhere = 1", false_positive_rate=0.2)
    with pytest.raises(SourceError, match="nowhere") as caught:
        source.read_normal(10)
    assert not isinstance(caught.value, SourceAway)


@pytest.mark.parametrize(
    ("address", "detail"),
    [
        ("mysql://", '(2003, "Can\'t connect")'),
        ("mysql://", "(1213, 'Deadlock found')"),
        ("sqlite://", "unable to open database file"),
        ("postgresql://", "connection refused"),
    ],
)
def test_a_database_that_cannot_be_reached_is_away(address, detail):
    assert dialect_of(make_url(address)).is_away(detail)


def test_a_schema_may_be_named(postgres_url):
    engine = open_engine(postgres_url)
    with writing(engine) as connection:
        connection.execute(text('CREATE SCHEMA "Plant"'))
        connection.execute(text('CREATE TABLE "Plant".readings AS SELECT 1 AS id, 2.5::real AS flow'))
    source = watch(engine, table="Plant.readings")
    assert source.read_normal(5).iloc[0].tolist() == [1, 2.5]
    source.close()
    engine.dispose()


def test_a_column_of_integers_keeps_its_type_if_a_page_is_all_missing(engine, open_source):
    columns = [Column("id", Integer, primary_key=True), Column("flow", BigInteger)]
    fill(engine, "readings", columns, [{"id": i, "flow": None if i < 5 else i} for i in range(1, 9)])
    frame = open_source().read_normal(8)
    assert frame["flow"].dtype == ("Int64" if engine.dialect.name == "postgresql" else "float64")
    assert frame["flow"].isna().tolist() == [True] * 4 + [False] * 4


def test_a_connection_that_broke_while_idle_is_opened_again(postgres_url):
    engine = open_engine(postgres_url)
    source = watch(engine, table=None, query="SELECT 1 AS id, pg_backend_pid() AS flow")
    backend = source.read_normal(1)["flow"].item()
    with writing(engine) as connection:
        assert connection.scalar(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": backend})
    assert source.read_normal(1)["flow"].item() != backend
    source.close()
    engine.dispose()


def test_a_failed_read_leaves_the_source_usable(readings, engine, open_source):
    source = open_source(normal="1 / (id - id) > 0" if engine.dialect.name == "postgresql" else "json(mode) = 1")
    for _ in range(2):
        with pytest.raises(SourceError, match=r"division by zero|malformed JSON"):
            source.read_normal(3)
    assert len(source.read(KeyRange(None, (BIG + 9,)))) == 10


@pytest.mark.parametrize("type_", ["timestamp", "timestamptz"])
def test_times_are_utc_whatever_the_zone_of_the_session(postgres_url, type_):
    engine = open_engine(postgres_url)
    with writing(engine) as connection:
        connection.execute(text(f"ALTER DATABASE {engine.url.database} SET timezone = 'Asia/Tokyo'"))
        zone = "+00" if type_ == "timestamptz" else ""
        row = f"SELECT 1 AS id, 0.5 AS flow, '2026-01-01 00:00:00{zone}'::{type_} AS at"
        connection.execute(text(f"CREATE TABLE readings AS {row}"))
    engine.dispose()
    source = watch(engine, time="at")
    assert source.read_normal(1)["at"].item() == START
    assert source.next_range(None, 1, START - timedelta(seconds=1)) is None
    assert source.next_range(None, 1, START) == KeyRange(None, (1,))
    source.close()
    engine.dispose()


COUNTED_KEYS = [
    (BigInteger, [-BIG, BIG], BIG + 1),
    (Text, ["a'b", "ü"], "z"),
    (Uuid, [UUID(int=1), UUID(int=2)], UUID(int=3)),
    (Date, [date(2026, 1, 1), date(2026, 1, 2)], date(2026, 1, 3)),
    (DateTime, [NAIVE, NAIVE + timedelta(days=1)], NAIVE + timedelta(days=2)),
]


@pytest.mark.parametrize(("type_", "before", "other"), COUNTED_KEYS)
def test_a_fingerprint_changes_if_one_record_replaces_another(engine, open_source, type_, before, other):
    rows = [{"id": key, "flow": 1.0} for key in before]
    fill(engine, "readings", [Column("id", type_, primary_key=True), Column("flow", Double)], rows)
    source = open_source()
    everything = KeyRange(None, source.next_range(None, 9, None).upto)
    tally = source.fingerprint(everything)
    assert tally.records == 2
    assert not source.fingerprint(everything).differs_from(tally)
    key = Column("id", type_)
    readings = Table("readings", MetaData(), key)
    with writing(engine) as connection:
        connection.execute(update(readings).where(key == before[0]).values(id=other))
    changed = source.fingerprint(KeyRange(None, source.next_range(None, 9, None).upto))
    assert changed.records == 2
    assert changed.differs_from(tally)


@pytest.mark.parametrize("changed_at", [NAIVE + timedelta(milliseconds=1), None, "infinity"])
def test_a_fingerprint_changes_with_a_time_of_change(engine, open_source, changed_at):
    if engine.dialect.name == "sqlite" and changed_at == "infinity":
        pytest.skip("SQLite has no such time")
    columns = [Column("id", Integer, primary_key=True), Column("flow", Double), Column("changed_at", DateTime)]
    fill(engine, "readings", columns, [{"id": key, "flow": 1.0, "changed_at": NAIVE} for key in (1, 2)])
    source = open_source(updated="changed_at")
    tally = source.fingerprint(KeyRange(None, (2,)))
    assert not source.fingerprint(KeyRange(None, (2,))).differs_from(tally)
    typed = "CAST(:at AS timestamp)" if engine.dialect.name == "postgresql" else ":at"
    with writing(engine) as connection:
        stored = None if changed_at is None else str(changed_at)
        connection.execute(text(f"UPDATE readings SET changed_at = {typed} WHERE id = 1"), {"at": stored})
    assert source.fingerprint(KeyRange(None, (2,))).differs_from(tally)


NO_TIMES = ["infinity", "-infinity", "0044-03-15 BC", "20000-01-01", "9999-12-31", "0001-01-01", None]


@pytest.mark.parametrize("type_", ["timestamptz", "timestamp", "date"])
def test_times_outside_the_calendar_of_python_are_missing(postgres_url, type_):
    engine = open_engine(postgres_url)
    with writing(engine) as connection:
        connection.execute(text(f"CREATE TABLE readings (id integer PRIMARY KEY, flow real, at {type_})"))
        rows = [{"id": i, "at": at} for i, at in enumerate([*NO_TIMES, "2026-01-01"])]
        connection.execute(text(f"INSERT INTO readings VALUES (:id, 1.5, CAST(:at AS {type_}))"), rows)
    for settings in ({"time": "at"}, {"timestamp": "at"}):
        source = watch(engine, **settings)
        assert source.read_normal(9)["at"].isna().tolist() == [*(True for _ in NO_TIMES), False]
        source.close()
    source = watch(engine, time="at", batch_size=2)
    assert source.next_range(None, 9, START) == KeyRange(None, (7,))
    assert source.next_range(None, 9, START - timedelta(days=1)) == KeyRange(None, (6,))
    assert source.read_past((7,), 9).empty
    source.close()
    engine.dispose()


def test_times_at_the_ends_of_the_calendar_are_missing_in_sqlite(sqlite_url):
    engine = open_engine(sqlite_url)
    times = ["0001-01-01 00:00:00", "9999-12-31T23:59:59", "2026-01-01 00:00:00"]
    columns = [Column("id", Integer, primary_key=True), Column("flow", Double), Column("at", Text)]
    fill(engine, "readings", columns, [{"id": i, "flow": 1.5, "at": at} for i, at in enumerate(times)])
    source = watch(engine, time="at")
    assert source.read_normal(9)["at"].isna().tolist() == [True, True, False]
    assert source.next_range(None, 9, START) == KeyRange(None, (2,))
    assert source.read_past((2,), 9).empty
    engine.dispose()


def test_an_infinite_time_in_the_key_is_refused(postgres_url):
    engine = open_engine(postgres_url)
    with writing(engine) as connection:
        rows = "SELECT unnest('{2026-01-01, 2026-01-02, infinity}'::timestamp[]) AS at, 1.5 AS flow"
        connection.execute(text(f"CREATE TABLE readings AS {rows}"))
    source = watch(engine, key="at")
    with pytest.raises(SourceError, match=r"timestamp too large \(after year 10K\): 'infinity'"):
        source.next_range(None, 9, None)
    with pytest.raises(SourceError, match=r"null or infinite key \(at\)"):
        source.read_normal(9)
    source.close()
    engine.dispose()


def test_a_key_longer_than_the_store_holds_is_refused(engine, open_source):
    columns = [Column("id", Text, primary_key=True), Column("flow", Double)]
    fill(engine, "readings", columns, [{"id": key, "flow": 1.0} for key in ("a", "b" * 600, "c")])
    source = open_source()
    assert source.next_range(None, 1, None) == KeyRange(None, ("a",))
    message = "A key of monitor 'pump' has 604 characters: bbbb"
    with pytest.raises(SourceError, match=message):
        source.next_range(("a",), 1, None)
    with pytest.raises(SourceError, match=message):
        source.read(source.next_range(("a",), 2, None))


LABELS = [
    (Double, [0.4, -0.5, 3e9, 0.0, None], 3),
    (BigInteger, [1, 3_000_000_000, 0, None], 2),
    (Numeric(20, 3), [Decimal("0.4"), Decimal("0.000"), None], 1),
    (Boolean, [True, False, None], 1),
]


@pytest.mark.parametrize(("type_", "values", "anomalies"), LABELS)
def test_a_label_means_the_same_in_sql_as_in_records(engine, open_source, type_, values, anomalies):
    rows = [{"id": i, "flow": 1.0, "fault": value} for i, value in enumerate(values)]
    fill(
        engine,
        "readings",
        [Column("id", Integer, primary_key=True), Column("flow", Double), Column("fault", type_)],
        rows,
    )
    source = open_source(label="fault")
    records = source.read_normal(9, with_label=True)
    assert source.read_anomalies(9)["id"].tolist() == records["id"][records["fault"].fillna(value=False)].tolist()
    assert len(source.read_anomalies(9)) == anomalies


def test_a_label_that_is_not_a_number_is_missing(postgres_url):
    engine = open_engine(postgres_url)
    with writing(engine) as connection:
        rows = "SELECT unnest('{1,2,3}'::int[]) AS id, unnest('{NaN,0.4,Infinity}'::{type}[]) AS fault, 1.5 AS flow"
        for type_ in ("real", "numeric"):
            connection.execute(text(f"CREATE TABLE of_{type_} AS {rows.replace('{type}', type_)}"))
    for type_ in ("real", "numeric"):
        source = watch(engine, table=f"of_{type_}", label="fault")
        assert source.read_normal(9, with_label=True)["fault"].fillna(value=False).tolist() == [False, True, True]
        assert source.read_anomalies(9)["id"].tolist() == [2, 3]
        source.close()
    engine.dispose()


@pytest.mark.parametrize("type_", [Text, None])
def test_a_label_written_as_text_counts_as_its_number(engine, open_source, type_):
    rows = [{"id": i, "flow": 1.0, "fault": value} for i, value in enumerate(["1", "0", "0.4", "0.0", None])]
    fill(
        engine,
        "readings",
        [Column("id", Integer, primary_key=True), Column("flow", Double), Column("fault", Text)],
        rows,
    )
    whole = {} if type_ else {"table": None, "query": "SELECT id, flow, fault FROM readings"}
    assert open_source(label="fault", **whole).read_anomalies(9)["id"].tolist() == [0, 2]
