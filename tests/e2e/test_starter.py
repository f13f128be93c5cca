"""The configuration that `plumbline init` writes for a table passes `check` and trains, whatever the table's name."""

import re
import tomllib

import pytest
from pydantic import SecretStr

from jobs.databases import open_engine, writing
from tests.workspace import readings


@pytest.fixture
def create(database_url, workspace):
    """Return a function that creates a table of n rows and returns the address of its database."""

    def creator(ddl, row, rows=1):
        engine = open_engine(database_url)
        with writing(engine) as connection:
            connection.exec_driver_sql(f"CREATE TABLE readings ({ddl})")
            for i in range(1, rows + 1):
                connection.exec_driver_sql(f"INSERT INTO readings VALUES ({row.format(i=i)})")
        engine.dispose()
        return database_url.get_secret_value()

    return creator


def written(workspace, *options):
    """Return the monitor that `init` writes."""
    workspace.must("init", "--table", "readings", *options)
    return tomllib.loads((workspace.folder / "config.toml").read_text())["monitors"]["readings"]


def test_without_a_table_it_writes_a_template_to_which_monitors_are_added(workspace):
    first = workspace.must("init", "--source", "sqlite:///plant.db").out
    assert first == "Wrote config.toml. Add a monitor for a table: plumbline init --append --table NAME --source URL\n"
    config = workspace.folder / "config.toml"
    template = config.read_text(encoding="utf-8")
    by_hand = re.sub(r"^# (?=\[|source|table|key|numeric|boolean|categorical|false)", "", template, flags=re.MULTILINE)
    assert tomllib.loads(by_hand)["monitors"]["my_monitor"]["source"] == "sqlite:///plant.db"
    assert "Add one: plumbline init --append --table NAME" in workspace.plumbline("check").err
    readings().to_csv(workspace.folder / "r.csv", index=False)
    workspace.must("import", "r.csv", "--table", "readings")
    workspace.must("init", "--append", "--table", "readings")
    assert workspace.must("check", "--json").json.keys() == {"readings"}
    assert workspace.plumbline("init").err.startswith("Error: config.toml already exists")


def test_its_monitor_passes_the_check_and_trains(workspace, database_url):
    url = database_url.get_secret_value()
    readings().to_csv(workspace.folder / "r.csv", index=False)
    workspace.must("init", "first.toml", "--source", url)
    workspace.must("import", "r.csv", "--table", "readings", "--into", url, "--config", "first.toml")
    monitor = written(workspace, "--source", url)
    assert {name: monitor[name] for name in ("key", "time", "entity", "numeric", "boolean", "label", "series")} == {
        "key": "id",
        "time": "read_at",
        "entity": "pump",
        "numeric": ["flow", "pressure"],
        "boolean": ["is_open"],
        "label": "is_fault",
        "series": {"max_gap": "20m"},
    }
    assert monitor["normal"].startswith("is_fault = 0 AND read_at < '2026-01-05 11:12:00")
    assert monitor["false_positive_rate"] == 0.05
    assert not {"threshold", "incident_gap"} & set(monitor)  # both follow the scores
    workspace.must("migrate")
    (finding,) = workspace.must("check", "--json").json["readings"]
    assert finding["message"].startswith("No index begins with (pump, read_at)")
    assert workspace.must("train", "readings", "--json").json["card"]["features"] == 3
    assert "labelled anomalies" in workspace.must("evaluate", "readings").out


def test_useless_columns_are_left_out_with_the_reason(workspace, create):
    url = create(
        "id INTEGER PRIMARY KEY, flow REAL, note TEXT, visit_id INTEGER, gone REAL, made_on DATE",
        "{i}, {i} * 7 - {i} * 7 / 11 * 11, 'note {i}', 60 - {i}, NULL, NULL",
        60,
    )
    assert written(workspace, "--source", url)["numeric"] == ["flow"]
    lines = (workspace.folder / "config.toml").read_text().splitlines()
    reasons = [line for line in lines if line.startswith('#   "')]
    assert [reason.split(": ")[0] for reason in reasons] == [
        '#   "note"',
        '#   "visit_id"',
        '#   "gone"',
        '#   "made_on"',
    ]
    assert "60 distinct values in 60 records" in reasons[0]
    assert "an id by its name" in reasons[1]
    assert "null in all of the 60 records" in reasons[2]
    assert "null in all of the 60 records" in reasons[3]


@pytest.mark.parametrize(
    ("columns", "time"),
    [
        ("shipped TIMESTAMP, created_at TIMESTAMP, updated_at TIMESTAMP", "created_at"),
        ("shipped TIMESTAMP, flow2 REAL, flow3 REAL", "shipped"),
        ("shipped TIMESTAMP, returned TIMESTAMP, flow3 REAL", None),
    ],
)
def test_the_time_is_the_column_named_like_one_or_the_only_one(workspace, create, columns, time):
    ddl = f"id INTEGER PRIMARY KEY, flow REAL, {columns}"
    values = ", ".join("'2026-01-01 10:00:00'" if "TIME" in column else "1" for column in columns.split(", "))
    assert written(workspace, "--source", create(ddl, f"{{i}}, 1.5, {values}")).get("time") == time


def test_a_boolean_label_is_compared_as_the_database_compares(workspace, create):
    url = create('id INTEGER PRIMARY KEY, flow REAL, "Is Fraud" BOOLEAN', "{i}, {i}, {i} = 7", 60)
    monitor = written(workspace, "--source", url)
    assert monitor["normal"] == ('"Is Fraud" = 0' if "sqlite" in url else '"Is Fraud" = false')
    assert monitor["label"] == "Is Fraud"
    workspace.must("migrate")
    workspace.must("check")


def test_a_key_can_be_named(workspace, create):
    url = create("number INTEGER NOT NULL, flow REAL", "{i}, 1.5")
    missing = workspace.plumbline("init", "--table", "readings", "--source", url)
    assert (missing.code, "has no primary key" in missing.err) == (2, True)
    assert written(workspace, "--source", url, "--key", "number")["key"] == "number"


def test_without_a_primary_key_a_number_that_counts_records_is_the_key(workspace, create):
    url = create("flow REAL, id INTEGER, at TIMESTAMP", "1.5, {i}, '2026-01-01 00:{i:02}:00'", 40)
    assert written(workspace, "--source", url)["key"] == "id"


@pytest.mark.parametrize("per_second", [1, 1_000])
def test_a_number_since_1970_is_a_time_of_a_query(workspace, create, per_second):
    ts = f"(1767225600 + {{i}} * 86400) * CAST({per_second} AS BIGINT)"  # days after the beginning of 2026
    row = f"'k' || ({{i}} * 37 - 127 * ({{i}} * 37 / 127)), {ts}, {{i}} * 7 - 11 * ({{i}} * 7 / 11)"
    url = create("id VARCHAR(9) PRIMARY KEY, ts BIGINT, flow REAL", row, 120)
    monitor = written(workspace, "--source", url)
    assert (monitor["key"], monitor["time"], monitor["numeric"]) == (["ts", "id"], "ts_utc", ["flow"])
    assert monitor["normal"].startswith("ts_utc < '2026-04-08")
    assert workspace.must("check", "--json").json["readings"][0]["message"].endswith("and 1 feature fit.")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--table", "raedings"), "There is no table 'raedings' in"),
        (("--table", "readings", "--key", "nr"), "has no column 'nr' for a key. It has: id, flow"),
        (("--table", "readings"), "'id' in the primary key of 'readings' is of type real"),
    ],
)
def test_a_table_that_cannot_be_watched_is_refused(workspace, create, options, sentence):
    url = create("id REAL PRIMARY KEY, flow REAL", "{i}, 1.5")
    result = workspace.plumbline("init", *options, "--source", url)
    assert result.code == 2
    assert sentence in result.err
    assert not (workspace.folder / "config.toml").exists()


def test_a_password_is_not_written_to_the_file(workspace, create, monkeypatch):
    url = create("id INTEGER PRIMARY KEY, flow REAL", "{i}, 1.5")
    with_password = url + ("&" if "?" in url else "?") + "password=sekret"
    if "sqlite" in url:
        pytest.skip("SQLite has no passwords")
    assert written(workspace, "--source", with_password)["source"] == "${PLUMBLINE_SOURCE_URL}"
    assert "sekret" not in (workspace.folder / "config.toml").read_text()


def test_a_file_can_be_imported_into_a_named_database_before_there_is_a_configuration(workspace):
    readings().to_csv(workspace.folder / "readings.csv", index=False)
    workspace.must("import", "readings.csv", "--table", "pump_readings", "--into", "sqlite:///plant.db")
    workspace.must("init", "--table", "pump_readings", "--source", "sqlite:///plant.db")
    assert not (workspace.folder / "plumbline.db").exists()


def test_it_ends_with_five_settings_to_look_at_and_flags_a_day(workspace, create):
    ddl, row = "id INTEGER PRIMARY KEY, at TIMESTAMP, flow REAL", "{i}, '2026-01-01 00:{i:02}:00', {i} * 7 - 0.5"
    url = create(ddl, row, 55)
    result = workspace.must("init", "--table", "readings", "--source", url)
    lines = result.out.splitlines()
    assert lines[0] == "Monitor 'readings'. Look at these settings:"
    assert [line.split()[0] for line in lines[1:6]] == ["key", "series", "features", "normal", "false_positive_rate"]
    assert " a day by chance, of " in lines[5]
    assert lines[6].endswith("Review it, then run: plumbline check")


def test_several_tables_become_one_file(workspace, create):
    url = create("id INTEGER PRIMARY KEY, flow REAL", "{i}, 1.5")
    engine = open_engine(SecretStr(url))
    with writing(engine) as connection:
        for name in ("other", "third"):
            connection.exec_driver_sql(f"CREATE TABLE {name} AS SELECT id AS number, flow FROM readings")
    engine.dispose()
    workspace.must("init", "--table", "readings", "--source", url)
    added = workspace.must("init", "--append", "--table", "other", "--source", url, "--key", "number", "--json").json
    assert list(added["monitors"]) == ["other"]
    workspace.must("init", "--append", "--table", "third", "--source", url, "--key", "number")
    config = tomllib.loads((workspace.folder / "config.toml").read_text())
    assert list(config["monitors"]) == ["readings", "other", "third"]
    again = workspace.plumbline("init", "--append", "--table", "other", "--source", url)
    assert (again.code, "config.toml has a monitor 'other' already" in again.err) == (2, True)


def test_options_about_one_table_are_refused_for_two(workspace):
    result = workspace.plumbline("init", "--table", "a", "--table", "b", "--key", "id")
    assert (result.code, "Add one table at a time: --append" in result.err) == (2, True)


def test_a_key_of_several_columns_can_be_named_in_two_ways(workspace, create):
    url = create("a INTEGER, b INTEGER, flow REAL", "{i}, {i}, 1.5")
    for options in (("--key", "a,b"), ("--key", "a", "--key", "b")):
        assert written(workspace, "--source", url, *options)["key"] == ["a", "b"]
        (workspace.folder / "config.toml").unlink()
