"""Each problem of a monitor is reported with its solution."""

import pandas as pd
import pytest
from sqlalchemy import text

from jobs.checks import check_monitor, check_service, refuse_bad_service
from jobs.databases import writing
from jobs.reading.source import Source
from jobs.reading.table import raw_sql
from schemas.config import Config, MonitorConfig
from schemas.errors import ConfigError

ROWS = 60


PUMP = {"table": "readings", "key": "id", "numeric": "flow"}
SECRET = "s3cret-token"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            {"monitors": {"pump": PUMP | {"score_every": "61 * * * *"}}},
            "Monitor 'pump': .*'61 \\* .*not a valid cron expression",
        ),
        ({"monitors": {"pump": PUMP | {"retrain": {"every": "0 0 31 2 *"}}}}, "Monitor 'pump': .*never falls due"),
        (
            {"monitors": {"pump": PUMP | {"maintenance": [{"cron": "* * * * 8", "duration": "1h"}]}}},
            "Monitor 'pump': .*'8' is not a weekday",
        ),
        (
            {"alerts": {"channels": {"ops": f"nonsense://{SECRET}"}}},
            "Channel 'ops': Apprise does not recognise this address",
        ),
    ],
)
def test_an_invalid_schedule_or_channel_is_refused(config, message):
    with pytest.raises(ConfigError, match=message) as caught:
        refuse_bad_service(Config.model_validate(config))
    assert SECRET not in str(caught.value)


def test_schedules_and_channels_that_fit_are_no_finding():
    window = {"cron": "0 2 * * sun", "duration": "2h"}
    monitor = PUMP | {"score_every": "5m", "retrain": {"every": "0 3 * * 0"}, "maintenance": [window]}
    config = {"monitors": {"pump": monitor}, "alerts": {"channels": {"ops": "json://localhost:1/x"}}}
    assert list(check_service(Config.model_validate(config))) == []


@pytest.fixture
def check(engine):
    """Return a function that makes a table, checks a monitor on it, and returns findings as (level, message)."""

    def checker(
        ddl="id INTEGER PRIMARY KEY, flow DOUBLE PRECISION",
        row="{i}, {flow}",
        rows=ROWS,
        index=None,
        **settings,
    ):
        with writing(engine) as connection:
            connection.execute(text(f'CREATE TABLE "Readings" ({ddl})'))
            if index:
                connection.execute(text(f'CREATE INDEX its_index ON "Readings" ({index})'))
            for i in range(1, rows + 1):
                values = row if isinstance(row, str) else next(row)
                values = values.format(i=i, flow=i * 37 % 60 + 0.5, group=i % 5, number=i % 20)
                connection.exec_driver_sql(f'INSERT INTO "Readings" VALUES ({values})')
        given = {"table": "Readings", "key": "id", "numeric": "flow", "false_positive_rate": 0.1} | settings
        monitor = MonitorConfig(**given)
        source = Source("pump", monitor, engine)
        findings = check_monitor("pump", monitor, source)
        source.close()
        return [(finding.level, finding.message) for finding in findings]

    return checker


def test_a_fitting_monitor_is_ok(check):
    assert [level for level, _ in check()] == ["ok"]


@pytest.mark.parametrize(
    ("ddl", "settings", "message"),
    [
        ("id INTEGER PRIMARY KEY, flow VARCHAR(10)", {}, "'flow' is listed as numeric, but its type is"),
        ("id INTEGER PRIMARY KEY, flow DATE", {}, "'flow' is listed as numeric, but its type is date"),
        ("id INTEGER PRIMARY KEY, flow INTEGER", {"numeric": (), "timestamp": "flow"}, "listed as timestamp"),
        ("id INTEGER PRIMARY KEY, flow INTEGER", {"time": "flow"}, "listed as time"),
        ("id DOUBLE PRECISION PRIMARY KEY, flow INTEGER", {}, "which is not exact"),
        ("id BOOLEAN PRIMARY KEY, flow INTEGER", {}, "boolean, which has two values"),
    ],
)
def test_a_type_that_does_not_fit_is_an_error(check, ddl, settings, message):
    levels = {level for level, text in check(ddl, rows=0, **settings) if message in text.lower()}
    assert levels == {"error"}


@pytest.mark.parametrize(
    ("value", "example"),
    [("'{i},5'", "numbers, such as '1,5'"), ("'{i} kg'", "numbers, such as '1 kg'"), ("'{i}.01.2026'", "times")],
)
def test_texts_that_look_like_numbers_or_times_are_a_warning(check, value, example):
    ddl = "id INTEGER PRIMARY KEY, flow DOUBLE PRECISION, weight TEXT"
    findings = check(ddl, f"{{i}}, 1.5, {value}", rows=30, categorical="weight")
    ((level, message),) = [finding for finding in findings if "weight" in finding[1]]
    assert level == "warning"
    assert message.startswith("Column 'weight' is listed as categorical, and holds texts that look like " + example)


def test_texts_of_codes_are_no_finding(check):
    ddl = "id INTEGER PRIMARY KEY, flow DOUBLE PRECISION, zip TEXT"
    assert [level for level, _ in check(ddl, "{i}, {flow}, '0{group}'", categorical="zip")] == ["ok"]


def test_a_uuid_as_key_is_a_warning(check):
    findings = check("id UUID PRIMARY KEY, flow REAL", "'{i:08x}-0000-7000-8000-000000000000', {flow}")
    assert [(level, "version 7 grow; random ones do not" in message) for level, message in findings] == [
        ("warning", True)
    ]


def test_a_text_key_is_a_warning(check):
    findings = check("id VARCHAR(20) PRIMARY KEY, flow REAL", "'{i}', {flow}")
    assert [(level, "new records sort after old" in message) for level, message in findings] == [("warning", True)]


@pytest.mark.parametrize(
    ("row", "message"),
    [("NULL, {i}", "'id' in the key is null"), ("{i} / 2, 1.5", "not unique: ")],
)
def test_a_key_that_is_null_or_repeats_is_an_error(check, row, message):
    findings = check("id INTEGER, flow DOUBLE PRECISION", row, index="id")
    assert [level for level, text in findings if message in text] == ["error"]


def test_a_unique_index_makes_a_key_and_pages_it(check):
    assert [level for level, _ in check("id INTEGER NOT NULL UNIQUE, flow REAL")] == ["ok"]


def test_a_missing_index_comes_with_the_statement_that_makes_it(check, engine):
    findings = check("id INTEGER PRIMARY KEY, line INTEGER NOT NULL, flow REAL", "{i}, 1, {flow}", key=["line", "id"])
    (finding,) = findings
    assert finding[0] == "warning"
    statement = finding[1].partition("Create one: ")[2]
    assert statement == 'CREATE INDEX "ix_Readings_line_id" ON "Readings" (line, id);'
    with writing(engine) as connection:
        connection.exec_driver_sql(statement)


def test_the_error_of_too_few_normal_records_has_the_number_needed(check):
    findings = check(normal="id > 50", false_positive_rate=0.05)
    assert [level for level, _ in findings] == ["error"]
    assert "Found 10 normal records" in findings[0][1]
    assert "needs 38" in findings[0][1]


def test_the_records_needed_are_enough(check):
    assert [level for level, _ in check(rows=38, false_positive_rate=0.05)] == ["ok"]


@pytest.mark.parametrize(
    ("settings", "level", "message"),
    [
        ({"rows": 0}, "error", "holds no records"),
        ({"row": "{i}, NULL"}, "error", "'flow' is null in every record"),
        ({"normal": "stat = = 1"}, "error", "`normal` is 'stat = = 1', and the database "),
        ({"updated": "flow"}, "error", "'flow' is listed as updated, but its type is "),
        ({"table": "Reading"}, "error", "nearest is 'Readings'"),
        ({"label": "is_fault"}, "error", "'is_fault'"),
        ({"numeric": ["flow", "pressure", "Flow"]}, "error", "'pressure', 'Flow' (the nearest is 'flow')"),
    ],
)
def test_missing_tables_columns_and_records_are_reported(check, settings, level, message):
    assert [actual_level for actual_level, text in check(**settings) if message in text] == [level]


def test_the_nearest_table_is_named_in_another_schema_too(check, engine):
    if engine.dialect.name == "sqlite":
        pytest.skip("SQLite has no schemas")
    with writing(engine) as connection:
        connection.exec_driver_sql('CREATE SCHEMA "Fin"; CREATE TABLE "Fin"."Cards" (id INTEGER)')
    ((level, message),) = check(table="fin.Card")
    assert (level, "The nearest is 'Fin.Cards'" in message) == ("error", True), message


def test_a_text_that_hides_in_a_numeric_column_is_an_error(check, engine):
    if engine.dialect.name == "postgresql":
        pytest.skip("PostgreSQL keeps texts out of it")
    findings = check(row="{i}, 'n/a'")
    assert [(level, "'n/a'" in message) for level, message in findings] == [("error", True)]


@pytest.mark.parametrize(
    ("row", "is_error"),
    [
        ("{i}, 1.5, '2026-01-01 00:00:00'", False),
        ("{i}, 1.5, CASE WHEN {i} < 5 THEN NULL ELSE '2026-01-01 00:00:00' END", False),
        ("{i}, 1.5, CASE WHEN {i} < 5 THEN '2026-01-01T00:00:00' ELSE '2026-01-01 00:00:00' END", True),
        ("{i}, 1.5, CASE WHEN {i} < 5 THEN '2026-01-01 00:00:00.5' ELSE '2026-01-01 00:00:00' END", True),
        ("{i}, 1.5, CASE WHEN {i} < 5 THEN '2026-01-01 00:00:00Z' ELSE '2026-01-01 00:00:00 ' END", True),
        ("{i}, 1.5, '2026-10-25 02:30:00+02:00'", False),
        ("{i}, 1.5, '2026-10-25 02:30:00-05:00'", False),
        ("{i}, 1.5, CASE WHEN {i} < 5 THEN '2026-10-25 02:30:00+02:00' ELSE '2026-10-25 02:10:00+01:00' END", True),
        ("{i}, 1.5, CASE WHEN {i} < 5 THEN '2026-11-01T01:30:00-05:00' ELSE '2026-11-01T01:10:00-06:00' END", True),
    ],
)
def test_times_of_a_series_in_more_than_one_form_have_no_order_in_sqlite(check, engine, row, is_error):
    columns = "id INTEGER PRIMARY KEY, flow DOUBLE PRECISION, read_at TIMESTAMP"
    if engine.dialect.name == "postgresql":
        row, is_error = row.replace("CASE", "(CASE").replace("END", "END)::timestamp"), False
    findings = check(columns, row, index="read_at", time="read_at", series={})
    assert [level for level, text in findings if "more than one form" in text] == ["error"] * is_error


DEVICES = "device INTEGER NOT NULL, at TIMESTAMP NOT NULL, flow DOUBLE PRECISION, PRIMARY KEY (device, at)"


def readings(key, check, **settings):
    """Check a table of readings, each of one of five devices, with the times of successive minutes."""
    moments = pd.date_range("2026-01-01", periods=101, freq="min")
    rows = iter(f"{i % 5}, '{moments[i]}', {i * 37 % 60 + 0.5}" for i in range(1, 101))
    return [
        text for _, text in check(DEVICES, rows, rows=100, key=key, time="at", **settings) if "does not grow" in text
    ]


def test_a_key_by_which_new_records_sort_below_older_ones_comes_with_one_that_grows(check):
    (message,) = readings(["device", "at"], check)
    assert "The key (device, at) does not grow: 16 of the newest 20 records by 'at' sort below older" in message
    assert 'Set key = ["at", "device"] under [monitors.pump].' in message


def test_a_key_with_the_time_first_grows(check):
    assert readings(["at", "device"], check) == []


def test_without_a_time_a_unique_number_shows_that_a_key_does_not_grow(check):
    ddl = "tenant INTEGER NOT NULL, id INTEGER NOT NULL, flow DOUBLE PRECISION, PRIMARY KEY (tenant, id)"
    findings = check(ddl, "{group}, {i}, {flow}", rows=100, key=["tenant", "id"])
    assert [level for level, text in findings if 'Set key = "id" under [monitors.pump].' in text] == ["warning"]


def test_a_number_that_restarts_within_the_key_is_no_sign_that_it_does_not_grow(check):
    ddl = "year INTEGER NOT NULL, id INTEGER NOT NULL, flow DOUBLE PRECISION, PRIMARY KEY (year, id)"
    findings = check(ddl, "2000 + {i} / 20, {number}, {flow}", rows=100, key=["year", "id"])
    assert [level for level, _ in findings] == ["ok"]


def test_a_feature_that_rises_with_the_key_is_a_warning(check):
    ((level, message),) = check(row="{i}, {i} + 0.5")
    assert (level, "'flow' rises with the key" in message) == ("warning", True)


def test_a_number_that_marks_a_missing_value_is_a_warning(check):
    ((level, message),) = check(row="{i}, CASE WHEN {i} IN (7, 30) THEN -9999 ELSE {flow} END")
    assert (level, "Feature 'flow' is -9999 in 2 records" in message) == ("warning", True)
    assert "NULLIF(flow, -9999)" in message


def test_the_statement_that_makes_an_index_has_names_as_they_are(engine):
    with writing(engine) as connection:
        connection.execute(raw_sql('CREATE TABLE "100% load" (id INTEGER, flow REAL)'))
        connection.execute(raw_sql('INSERT INTO "100% load" VALUES (1, 0.5)'))
    source = Source("pump", MonitorConfig(table="100% load", key="id", numeric="flow"), engine)
    messages = [finding.message for finding in check_monitor("pump", source.monitor, source)]
    source.close()
    assert any('ON "100% load" (id);' in message for message in messages)


def test_an_angle_that_turns_is_a_warning(check):
    ddl, row = (
        "id INTEGER PRIMARY KEY, flow REAL, wind_direction REAL, gate_angle REAL",
        "{i}, {flow}, {flow} * 6, {flow}",
    )
    findings = check(ddl, row, numeric=["flow", "wind_direction", "gate_angle"])
    assert [message.split("'")[1] for _, message in findings if "COS(RADIANS(" in message] == ["wind_direction"]


def test_a_series_of_too_few_records_is_an_error(check):
    ddl, row = "id INTEGER PRIMARY KEY, at TIMESTAMP, flow REAL", "{i}, '2026-01-01 00:{i:02}:00', {flow}"
    findings = check(ddl, row, 49, time="at", series={})
    assert [level for level, message in findings if "a series needs at least 50" in message] == ["error"]
