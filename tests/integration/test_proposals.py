"""`init` proposes what an expert would, for tables of many kinds."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from jobs.databases import reading, writing
from jobs.dialects import dialect_of
from jobs.reading.source import Source
from jobs.reading.table import raw_sql
from jobs.starter.monitor_text import monitor_text, rate_in_words
from jobs.starter.proposing import Choices, propose_monitor
from jobs.starter.proposing import _describe as describe
from jobs.starter.rates import Rate
from jobs.starter.sample import read_sample
from schemas.config import MonitorConfig
from schemas.errors import RecordsError, UsageError
from tests.mariadb_server import on_mariadb_too
from tests.schemas_of_tables import SCHEMAS


def create(engine, schema, name="observed"):
    """Create and fill the table of a schema."""
    records = schema.records(np.random.default_rng(0))
    key = f", PRIMARY KEY ({schema.primary_key})" if schema.primary_key else ""
    holders = ", ".join(["?" if engine.dialect.name == "sqlite" else "%s"] * len(records.columns))
    rows = [tuple(None if pd.isna(value) else value for value in row) for row in plain(records)]
    with writing(engine) as connection:
        connection.exec_driver_sql(f"CREATE TABLE {name} ({schema.ddl}{key})")
        connection.exec_driver_sql(f"INSERT INTO {name} VALUES ({holders})", rows)


def plain(records):
    """Return the rows of a frame as plain values."""
    return zip(*(records[name].astype("object").tolist() for name in records), strict=True)


def parts(proposal):
    """Return what a test may expect of a proposal."""
    return {
        "key": proposal.key.columns,
        "time": proposal.times.time,
        "updated": proposal.times.updated,
        "entity": proposal.entity,
        "step": proposal.readings and proposal.readings.step.total_seconds(),
        "is_series": proposal.readings is not None,
        "label": proposal.labels.label,
        "normal": proposal.labels.normal,
        "cut_off": proposal.cut_off is not None,
        "condition": proposal.cut_off and proposal.cut_off.condition,
        "rate": proposal.rate.value,
        "per_day": proposal.rate.per_day,
        "left_out": set(proposal.columns.left_out),
        **proposal.columns.features,
    }


@pytest.fixture
def propose(sqlite_engine):
    """Return a function that creates a table in SQLite, and returns a proposal for it and its columns."""

    def proposer(schema, choices=Choices()):  # noqa: B008 - it is frozen
        create(sqlite_engine, schema)
        columns = schema.records(np.random.default_rng(0)).columns
        return propose_monitor(sqlite_engine, "observed", choices), columns

    return proposer


@pytest.mark.parametrize("kind", SCHEMAS)
def test_a_table_of_this_kind_gets_the_monitor_of_an_expert(propose, kind):
    proposal, columns = propose(SCHEMAS[kind])
    found = parts(proposal)
    assert {part: found[part] for part in SCHEMAS[kind].expected} == SCHEMAS[kind].expected
    named = [*found["key"], found["time"], found["updated"], found["entity"], found["label"], *found["left_out"]]
    used = {*named, *found["numeric"], *found["boolean"], *found["categorical"]} - {None}
    assert used == set(columns)


@pytest.mark.parametrize(
    "kind",
    [
        "the standard sensor table, device first in its key",
        "daily sales of shops",
        "a label that is null where nobody looked",
        "texts as keys, with a time",
        "no primary key, as in a hypertable",
        "times of later events next to the time of a record",
    ],
)
def test_a_table_in_postgresql_gets_the_same_monitor(postgres_engine, kind):
    create(postgres_engine, SCHEMAS[kind])
    found = parts(propose_monitor(postgres_engine, "observed", Choices()))
    assert {part: found[part] for part in SCHEMAS[kind].expected} == SCHEMAS[kind].expected


TYPES_OF_POSTGRESQL = """
CREATE TYPE mood AS ENUM ('calm', 'busy');
CREATE TABLE observed (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(), at TIMESTAMPTZ NOT NULL,
    state mood, amount NUMERIC(12, 2), is_defect BOOLEAN, payload JSONB, spare TIMESTAMPTZ
);
INSERT INTO observed (at, state, amount, is_defect, payload)
SELECT '2026-01-05 00:00+00'::timestamptz + random() * interval '30 days',
    CASE WHEN random() < .5 THEN 'calm' ELSE 'busy' END::mood, random() * 100, mod(n, 50) = 0, '{}'
FROM generate_series(1, 400) n
"""


def test_types_of_postgresql_are_used_or_left_out_with_the_reason(postgres_engine):
    with writing(postgres_engine) as connection:
        for statement in TYPES_OF_POSTGRESQL.split(";"):
            connection.exec_driver_sql(statement)
    proposal = propose_monitor(postgres_engine, "observed", Choices())
    found = parts(proposal)
    assert found["key"] == ("at", "id")
    assert (found["time"], found["label"], found["normal"]) == ("at", "is_defect", "is_defect = false")
    assert (found["numeric"], found["categorical"]) == (["amount"], ["state"])
    assert proposal.columns.left_out["payload"] == "of type jsonb"
    assert found["left_out"] == {"payload", "spare"}
    assert found["condition"].endswith("00:00:00+00:00'")


def test_a_user_decides_key_time_entity_and_label(propose):
    choices = Choices(("booked_at, id",), time="booked_at", entity="country", label="is_fraud")
    proposal, _ = propose(SCHEMAS["card transactions with a label"], choices)
    found = parts(proposal)
    assert (found["key"], found["time"], found["entity"]) == (("booked_at", "id"), "booked_at", "country")
    assert (found["label"], found["categorical"]) == ("is_fraud", ["country"])


def test_of_two_times_of_a_record_the_one_in_utc_is_proposed(sqlite_engine):
    rows = ", ".join(f"({i}, '2026-01-{i:02} 01:00', '2026-01-{i:02} 00:00', {i % 7})" for i in range(1, 31))
    columns = "id INTEGER PRIMARY KEY, ts TIMESTAMP, ts_utc TIMESTAMP, a REAL"
    with writing(sqlite_engine) as connection:
        connection.exec_driver_sql(f"CREATE TABLE observed ({columns})")
        connection.exec_driver_sql(f"INSERT INTO observed VALUES {rows}")
    assert propose_monitor(sqlite_engine, "observed", Choices()).times.time == "ts_utc"


@pytest.mark.parametrize("option", ["key", "time", "entity", "label"])
def test_a_column_that_does_not_exist_is_refused_with_the_nearest(propose, option):
    value = ("sped",) if option == "key" else "sped"
    with pytest.raises(UsageError, match=f"no column 'sped' for a {option}.*The nearest is 'speed'.*--{option}"):
        propose(SCHEMAS["a staging table of texts"], Choices(**{option: value}))


def test_texts_that_look_like_numbers_or_times_are_pointed_out(propose):
    proposal, _ = propose(SCHEMAS["a staging table of texts"])
    left_out = proposal.columns.left_out
    assert left_out["weight"].startswith("texts that look like numbers, such as '")
    assert left_out["taken"].startswith("texts that look like times, such as '")


@on_mariadb_too
@pytest.mark.parametrize(
    ("type_", "ts"),
    [
        ("BIGINT", 1_791_100_800),
        ("DOUBLE PRECISION", 1_791_100_800.5),
        ("BIGINT", 1_791_100_800_500),
        ("BIGINT", 1_791_100_800_500_000_000),
    ],
)
def test_a_number_since_1970_is_the_same_time_on_every_database(engine, type_, ts):
    with writing(engine) as connection:
        connection.exec_driver_sql(f"CREATE TABLE observed (id INTEGER PRIMARY KEY, ts {type_}, flow INTEGER)")
        connection.exec_driver_sql(f"INSERT INTO observed VALUES (1, {ts}, 7)")
    proposal = propose_monitor(engine, "observed", Choices())
    with reading(engine) as connection:
        (time,) = connection.exec_driver_sql(f"SELECT ts_utc FROM ({proposal.query.sql}) AS q").one()
    second = 1_791_100_800 if ts == 1_791_100_800 else 1_791_100_800.5
    assert pd.to_datetime(time, utc=True) == pd.Timestamp(second, unit="s", tz="UTC")
    assert (proposal.times.time, proposal.columns.left_out["ts"][:9]) == ("ts_utc", "a time as")


@on_mariadb_too
def test_a_day_of_a_spreadsheet_is_the_same_time_on_every_database(engine):
    days = [46_272 + n / 144 for n in range(60)]
    rows = ", ".join(f"({n}, {day:.6f}, {n * 7 % 50}, {41_000 - n})" for n, day in enumerate(days))
    with writing(engine) as connection:
        columns = "id INTEGER PRIMARY KEY, day_time DOUBLE PRECISION, flow INTEGER, run_time INTEGER"
        connection.exec_driver_sql(f"CREATE TABLE observed ({columns})")
        connection.exec_driver_sql(f"INSERT INTO observed VALUES {rows}")
    proposal = propose_monitor(engine, "observed", Choices())
    with reading(engine) as connection:
        times = connection.exec_driver_sql(
            f"SELECT day_time_utc FROM ({proposal.query.sql}) AS q ORDER BY id"
        ).scalars()
        found = pd.to_datetime(list(times), utc=True)
    assert list(found[[0, 1, 59]]) == list(pd.to_datetime("2026-09-07T00:00Z") + pd.to_timedelta([0, 10, 590], "min"))
    assert (proposal.readings.step.total_seconds(), proposal.columns.features["numeric"]) == (600, ["flow", "run_time"])


@on_mariadb_too
@pytest.mark.parametrize("part", ["uhrzeit", "Hour"])
def test_a_date_and_a_time_of_day_in_two_columns_are_one_time(engine, part):
    days = [(f"2026-03-{1 + n // 24:02}", n % 24) for n in range(96)]
    hour = (lambda h: f"'{h:02}:00'") if part == "uhrzeit" else str
    rows = ", ".join(f"({n}, '{day}', {hour(h)}, {n * 7 % 50})" for n, (day, h) in enumerate(days))
    column = engine.dialect.identifier_preparer.quote(part)
    with writing(engine) as connection:
        type_ = "VARCHAR(5)" if part == "uhrzeit" else "INTEGER"
        connection.exec_driver_sql(
            f"CREATE TABLE observed (id INTEGER PRIMARY KEY, day DATE, {column} {type_}, flow INTEGER)"
        )
        connection.exec_driver_sql(f"INSERT INTO observed VALUES {rows}")
    proposal = propose_monitor(engine, "observed", Choices())
    assert (proposal.times.time, proposal.readings.step.total_seconds()) == (f"day_{part}", 3_600)
    assert (proposal.columns.features["numeric"], set(proposal.columns.left_out)) == (["flow"], {"day", part})
    with reading(engine) as connection:
        records = connection.execute(raw_sql(f"{proposal.query.sql} ORDER BY id")).mappings().all()
    assert pd.Timestamp(records[95][f"day_{part}"]) == pd.Timestamp("2026-03-04 23:00")


@pytest.mark.parametrize(("name", "type_"), [("run_hours", "INTEGER"), ("last_service", "TEXT")])
def test_hours_of_work_and_other_times_of_day_are_no_part_of_the_time(sqlite_engine, name, type_):
    hours = np.random.default_rng(0).integers(24, size=120).tolist()
    values = [f"'{hour:02}:00'" if type_ == "TEXT" else str(hour) for hour in hours]
    rows = ", ".join(f"({n}, '2026-03-{1 + n // 6:02}', {value}, {n * 7 % 50})" for n, value in enumerate(values))
    with writing(sqlite_engine) as connection:
        connection.exec_driver_sql(
            f"CREATE TABLE observed (id INTEGER PRIMARY KEY, day DATE, {name} {type_}, flow REAL)"
        )
        connection.exec_driver_sql(f"INSERT INTO observed VALUES {rows}")
    proposal = propose_monitor(sqlite_engine, "observed", Choices())
    assert (proposal.query, proposal.times.time) == (None, "day")


def test_a_time_of_day_that_is_not_valid_is_null_in_postgresql(postgres_engine):
    rows = ", ".join(f"({n}, '2026-03-{1 + n // 24:02}', '{n % 24:02}:00', {n * 7 % 50})" for n in range(96))
    with writing(postgres_engine) as connection:
        connection.exec_driver_sql("CREATE TABLE observed (id INTEGER PRIMARY KEY, day DATE, at TEXT, flow INTEGER)")
        connection.exec_driver_sql(f"INSERT INTO observed VALUES {rows}")
    query = propose_monitor(postgres_engine, "observed", Choices()).query.sql
    with writing(postgres_engine) as connection:
        connection.exec_driver_sql("INSERT INTO observed VALUES (100, '2026-03-05', '25:00', 7)")
    with reading(postgres_engine) as connection:
        assert connection.execute(raw_sql(f"SELECT day_at FROM ({query}) AS q WHERE id = 100")).scalar() is None


@pytest.mark.parametrize("ts", ["TIMESTAMP", "BIGINT"])
def test_records_of_channels_become_one_record_for_each_moment(engine, ts):
    channels = ("flow", 'it\'s 100 %: "x"')
    times = [(f"'2026-01-01 00:{i:02}:00'" if ts == "TIMESTAMP" else 1_767_225_600 + 60 * i) for i in range(30)]
    moments = [(time, device, c) for time in times for device in ("a", "b") for c in range(2)]
    name = [channel.replace("'", "''") for channel in channels]
    rows = ", ".join(f"({n}, {time}, '{d}', '{name[c]}', {10 * c + n % 7})" for n, (time, d, c) in enumerate(moments))
    with writing(engine) as connection:
        columns = f"id INTEGER PRIMARY KEY, ts {ts}, device VARCHAR(9), channel VARCHAR(20), value DOUBLE PRECISION"
        connection.exec_driver_sql(f"CREATE TABLE observed ({columns})")
        connection.execute(raw_sql(f"INSERT INTO observed VALUES {rows}"))
    proposal = propose_monitor(engine, "observed", Choices())
    found = parts(proposal)
    time = "ts" if ts == "TIMESTAMP" else "ts_utc"
    assert (found["key"], found["time"], found["entity"]) == ((time, "device"), time, "device")
    assert (found["is_series"], found["numeric"]) == (True, list(channels))
    with reading(engine) as connection:
        records = pd.DataFrame(connection.execute(raw_sql(f"{proposal.query.sql} ORDER BY {time}, device")))
    assert (len(records), records.iloc[1].tolist()[1:]) == (60, ["b", 2.0, 13.0])


@on_mariadb_too
def test_names_of_channels_are_no_sql_and_their_values_may_be_booleans(engine):
    channels, escape = ("a\\", "\\' OR 1=1 -- "), dialect_of(engine).text_literal
    moments = [(f"'2026-01-01 00:{i:02}:00'", d, c) for i in range(30) for d in "ab" for c in range(2)]
    rows = ", ".join(f"({t}, '{d}', {escape(channels[c])}, {c} = 1 AND '{d}' = 'b')" for t, d, c in moments)
    with writing(engine) as connection:
        columns = "ts TIMESTAMP, device VARCHAR(9), channel VARCHAR(20), is_on BOOLEAN"
        connection.exec_driver_sql(f"CREATE TABLE observed ({columns}, PRIMARY KEY (ts, device, channel))")
        connection.execute(raw_sql(f"INSERT INTO observed VALUES {rows}"))
    proposal = propose_monitor(engine, "observed", Choices())
    with reading(engine) as connection:
        records = pd.DataFrame(connection.execute(raw_sql(f"{proposal.query.sql} ORDER BY ts, device")))
    assert list(records.columns) == ["ts", "device", channels[1], channels[0]]
    assert [bool(value) for value in records[channels[1]]] == [False, True] * 30
    assert not records[channels[0]].any()


@on_mariadb_too
@pytest.mark.parametrize("type_", ["BIGINT", "DOUBLE PRECISION"])
def test_a_number_that_is_no_time_is_null_and_hinders_no_other(engine, type_):
    with writing(engine) as connection:
        connection.exec_driver_sql(f"CREATE TABLE observed (id INTEGER PRIMARY KEY, ts {type_}, flow INTEGER)")
        connection.exec_driver_sql("INSERT INTO observed VALUES (1, 1791100800999960, 7)")
    query = propose_monitor(engine, "observed", Choices()).query.sql
    with writing(engine) as connection:
        connection.exec_driver_sql("INSERT INTO observed VALUES (2, 9223372036854775807, 7)")
    with reading(engine) as connection:
        first, other = connection.exec_driver_sql(f"SELECT ts_utc FROM ({query}) AS q ORDER BY id").scalars()
    assert abs(pd.to_datetime(first, utc=True).timestamp() - 1_791_100_800.99996) < 0.001
    assert other is None


@pytest.mark.parametrize("channels", [("cafe", "café"), ("flow", "Flow"), ("flow", "flow "), ("flow", "")])
def test_channels_that_a_database_may_take_as_equal_stay_values(sqlite_engine, channels):
    moments = [(f"'2026-01-01 00:{i:02}:00'", d, c) for i in range(30) for d in "ab" for c in channels]
    rows = ", ".join(f"({n}, {t}, '{d}', '{c}', {n % 7})" for n, (t, d, c) in enumerate(moments))
    with writing(sqlite_engine) as connection:
        columns = "id INTEGER PRIMARY KEY, ts TIMESTAMP, device TEXT, channel TEXT, value REAL"
        connection.exec_driver_sql(f"CREATE TABLE observed ({columns})")
        connection.execute(raw_sql(f"INSERT INTO observed VALUES {rows}"))
    assert propose_monitor(sqlite_engine, "observed", Choices()).query is None


@on_mariadb_too
def test_numbers_that_mark_a_missing_value_are_null_in_a_query(engine):
    name = "100% load"
    column = engine.dialect.identifier_preparer.quote(name).replace("%%", "%")
    rows = ", ".join(f"({n}, {-999 if n in (3, 40) else 20 + n % 7}, {n * 7 % 50})" for n in range(120))
    with writing(engine) as connection:
        columns = f"id INTEGER PRIMARY KEY, {column} DOUBLE PRECISION, flow DOUBLE PRECISION"
        connection.execute(raw_sql(f"CREATE TABLE observed ({columns})"))
        connection.execute(raw_sql(f"INSERT INTO observed VALUES {rows}"))
    proposal = propose_monitor(engine, "observed", Choices())
    assert (parts(proposal)["key"], parts(proposal)["numeric"]) == (("id",), [name, "flow"])
    with reading(engine) as connection:
        records = pd.DataFrame(connection.execute(raw_sql(f"{proposal.query.sql} ORDER BY id")))
    assert list(records["id"][records[name].isna()]) == [3, 40]
    assert (records[name].min(), records["flow"].isna().sum()) == (20, 0)


@pytest.mark.parametrize(("name", "choices"), [("machine_id", Choices()), ("machine", Choices(entity="machine"))])
def test_the_number_of_an_entity_is_no_missing_value(sqlite_engine, name, choices):
    rows = ", ".join(f"('2026-01-01 00:{n // 3:02}:00', {(1, 2, 9999)[n % 3]}, {n * 7 % 50})" for n in range(150))
    with writing(sqlite_engine) as connection:
        connection.exec_driver_sql(f"CREATE TABLE observed (at TIMESTAMP, {name} INTEGER, flow INTEGER)")
        connection.exec_driver_sql(f"INSERT INTO observed VALUES {rows}")
    proposal = propose_monitor(sqlite_engine, "observed", choices)
    assert (proposal.query, proposal.entity, proposal.key.columns) == (None, name, ("at", name))


@on_mariadb_too
def test_texts_of_two_truth_values_are_booleans_of_a_series(engine):
    rows = ", ".join(
        f"({n}, '2026-01-01 0{n // 60}:{n % 60:02}:00', {n * 7 % 50}, '{'Ja' if n % 3 else 'nein'}', '{'xyz'[n % 3]}')"
        for n in range(120)
    )
    with writing(engine) as connection:
        columns = "id INTEGER PRIMARY KEY, at TIMESTAMP, flow INTEGER, is_on VARCHAR(9), mode VARCHAR(9)"
        connection.exec_driver_sql(f"CREATE TABLE observed ({columns})")
        connection.exec_driver_sql(f"INSERT INTO observed VALUES {rows}")
    proposal = propose_monitor(engine, "observed", Choices())
    found = parts(proposal)
    assert (found["boolean"], found["numeric"], found["left_out"]) == (["is_on"], ["flow"], {"mode"})
    source = Source("m", MonitorConfig(query=proposal.query.sql, key="id", numeric="flow", boolean="is_on"), engine)
    assert list(source.read_normal(4)["is_on"]) == [True, False, True, True]
    source.close()


@pytest.mark.parametrize("kind", ["another step", "the same number of records"])
def test_the_past_of_the_slowest_machine_is_not_reset_by_its_own_step(sqlite_engine, kind):
    slow = 60 if kind == "another step" else 300
    times = [(m, s * n) for m, s, count in (("a", 60, 300), ("b", 900, slow)) for n in range(count)]
    rows = ", ".join(f"('{m}', datetime({1_767_225_600 + t}, 'unixepoch'), {t * 7 % 50})" for m, t in times)
    with writing(sqlite_engine) as connection:
        connection.exec_driver_sql("CREATE TABLE observed (machine TEXT, at TIMESTAMP, flow REAL)")
        connection.exec_driver_sql(f"INSERT INTO observed VALUES {rows}")
    proposal = propose_monitor(sqlite_engine, "observed", Choices())
    assert proposal.readings.longest_step.total_seconds() == 900
    assert proposal.readings.per_day == 1_440 + 96
    assert 'max_gap = "3h"' in monitor_text(proposal, "")


@pytest.mark.parametrize(("name", "is_signal"), [("tag", True), ("shop", False)])
def test_numbers_of_signals_at_irregular_times_are_put_on_a_grid(engine, name, is_signal):
    rng = np.random.default_rng(0)
    steps = [(signal, rng.exponential(mean, 300).cumsum()) for signal, mean in (("ti1", 60), ("li2", 300))]
    times = sorted((second, signal) for signal, seconds in steps for second in seconds)
    stamps = [pd.Timestamp("2026-03-01") + pd.Timedelta(seconds=int(second)) for second, _ in times]
    rows = ", ".join(f"({n}, '{stamps[n]}', '{signal}', {n * 7 % 50})" for n, (_, signal) in enumerate(times))
    with writing(engine) as connection:
        columns = f"id INTEGER PRIMARY KEY, ts TIMESTAMP, {name} VARCHAR(9), val DOUBLE PRECISION"
        connection.exec_driver_sql(f"CREATE TABLE observed ({columns})")
        connection.exec_driver_sql(f"INSERT INTO observed VALUES {rows}")
    proposal = propose_monitor(engine, "observed", Choices())
    assert (proposal.entity, proposal.readings is not None) == (name, is_signal)
    assert ('resample = "5m"\nmax_gap = "50m"' in monitor_text(proposal, "")) == is_signal
    assert not is_signal or (proposal.readings.per_day, proposal.rate.normal_records) == (
        576,
        pytest.approx(460, rel=0.2),
    )


def test_the_rate_holds_in_spite_of_a_time_in_a_far_future(sqlite_engine):
    rows = ", ".join(f"({n}, datetime({1_767_225_600 + 7 * n * n % 864_000}, 'unixepoch'), 5)" for n in range(1_000))
    with writing(sqlite_engine) as connection:
        connection.exec_driver_sql("CREATE TABLE observed (id INTEGER PRIMARY KEY, created_at TIMESTAMP, amount REAL)")
        connection.exec_driver_sql(f"INSERT INTO observed VALUES {rows}, (1000, '2062-01-01 00:00:00', 5)")
    rate = propose_monitor(sqlite_engine, "observed", Choices()).rate
    assert 95 < rate.per_day < 105


@pytest.mark.parametrize(("per_day", "words"), [(1_000, "10 a day by chance, of 1,000"), (1 / 7, "2.6 a year")])
def test_flags_are_counted_by_a_period_that_has_some(sqlite_engine, per_day, words):
    create(sqlite_engine, SCHEMAS["few records"])
    proposal = propose_monitor(sqlite_engine, "observed", Choices())
    rate = Rate(0.01 if per_day > 1 else 0.05, 1_000, per_day)
    assert rate_in_words(replace(proposal, rate=rate)).startswith(f"about {words}")


def test_an_empty_table_is_refused(sqlite_engine):
    with writing(sqlite_engine) as connection:
        connection.exec_driver_sql("CREATE TABLE observed (id INTEGER PRIMARY KEY, flow REAL)")
    with pytest.raises(RecordsError, match="The table 'observed' holds no records"):
        propose_monitor(sqlite_engine, "observed", Choices())


def test_a_large_table_is_sampled_at_both_ends_by_its_key(sqlite_engine):
    with writing(sqlite_engine) as connection:
        connection.exec_driver_sql("CREATE TABLE observed (id INTEGER PRIMARY KEY, at TIMESTAMP, flow REAL)")
        connection.exec_driver_sql(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 120000) INSERT INTO observed "
            "SELECT i, datetime('2026-01-01', i || ' minutes'), (i * 7919) % 1000 / 10.0 FROM n"
        )
    with reading(sqlite_engine) as connection:
        sample = read_sample(sqlite_engine, connection, describe(connection, "observed"))
    assert (len(sample.records), sample.count, sample.is_counted) == (10_000, 100_000, False)
    assert (sample.records["id"].min(), sample.records["id"].max()) == (1, 120_000)
    proposal = propose_monitor(sqlite_engine, "observed", Choices())
    assert proposal.cut_off.condition == "at < '2026-03-08'"
    assert round(proposal.rate.per_day) == 1_440
