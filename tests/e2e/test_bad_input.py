"""Invalid input is reported in one sentence with a remedy, and leaves no partial results."""

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url

from tests.workspace import PUMP, ROOT, readings

STORE = "sqlite:///plumbline.db?timeout=0.1"
PLAIN = 'table = "t"\nkey = "id"\nnumeric = ["a", "b"]\nfalse_positive_rate = 0.05'
GOOD = "id INTEGER PRIMARY KEY, a REAL, b REAL"
KEPT = ("models", "batches", "anomalies", "scores")


def refused(workspace, code, sentence, *arguments):
    """Run a command that must fail with a helpful message."""
    result = workspace.plumbline(*arguments)
    assert result.err.startswith("Error: "), result.out
    assert result.err.count("\n") == 1
    assert sentence in result.err
    assert "sekret" not in result.out + result.err
    assert "This is a bug" not in result.err
    assert result.code == code
    return result


def execute(workspace, *statements):
    with closing(sqlite3.connect(workspace.folder / "plumbline.db")) as connection, connection:
        return [connection.execute(statement).fetchall() for statement in statements]


def kept(workspace):
    """Return the rows of the store, except runs."""
    return execute(workspace, *(f"SELECT * FROM {table}" for table in KEPT))


@pytest.fixture
def watch(workspace):
    """Return a function that creates table t of a monitor named pump, in a current store."""

    def watcher(ddl, row, rows=100, monitor=PLAIN, store=STORE):
        workspace.configure(store, monitor)
        workspace.must("migrate")
        values = (f"INSERT INTO t VALUES ({row.format(i=i, odd=i % 2)})" for i in range(1, rows + 1))
        execute(workspace, f"CREATE TABLE t ({ddl})", *values)
        return workspace

    return watcher


@pytest.mark.parametrize("command", ["status", "check", "migrate", "train pump", "score pump", "anomalies list"])
def test_a_missing_configuration(workspace, command):
    refused(workspace, 2, "There is no configuration at config.toml. Write a starter with: plumbline", *command.split())
    assert list(workspace.folder.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[store", "is not valid TOML"),
        ("[stor]", "stor is not a known key; the nearest is 'store'"),
        ('[store]\nurl = "${SEKRET_URL}"', "the environment variable SEKRET_URL, which is not set"),
        ('[monitors.a]\ntable = "t"\nkey = "id"\nnumeri = ["a"]', "the nearest is 'numeric'"),
        ('[monitors.a]\ntable = "t"\nkey = "id"', "no feature is listed"),
        ('[monitors.a]\ntable = "t"\nkey = "id"\nnumeric = "a"\nfalse_positive_rate = 2', "less than 1"),
        (
            '[monitors.a]\ntable = "t"\nkey = "id"\nnumeric = "a"\nlabel = "b"\nthreshold = "f_beta"\nflag = "fdr"',
            'threshold must be "conformal" or "pot"',
        ),
        ('[monitors.a]\ntable = "t"\nkey = "id"\nnumeric = "a"\nlease = "soon"', "expected a duration such as 30s"),
        ('[monitors.a]\ntable = "t"\nkey = "id"\nnumeric = "a"\nlease = "99999999999d"', "from 0s to 36525d"),
        ('[monitors.a]\ntable = "t"\nkey = "id"\nnumeric = "a"\nscore_every = "off"', 'five fields or "never"'),
        ('[store]\nurl = "sekret"', "A database address cannot be read"),
        ('[store]\nurl = "postgresql://u:sekret@host:port/db"', "A database address cannot be read"),
        ('[store]\nurl = "postgrsql://u:sekret@host/db"', "is not a supported kind of database"),
    ],
)
def test_an_invalid_configuration(workspace, text, sentence):
    (workspace.folder / "config.toml").write_text(text)
    refused(workspace, 2, sentence, "migrate")
    assert [path.name for path in workspace.folder.iterdir()] == ["config.toml"]


@pytest.mark.parametrize("command", ["check", "train", "score", "forecast", "evaluate", "encode", "models rollback"])
def test_a_missing_monitor(workspace, command):
    workspace.configure(STORE, PLAIN)
    workspace.must("migrate")
    refused(
        workspace,
        2,
        "no monitor 'pmup' in the configuration. Its monitors: pump. Did you mean 'pump'?",
        *command.split(),
        "pmup",
    )


@pytest.mark.parametrize("command", ["check", "train", "forecast", "doctor"])
def test_the_name_of_the_only_monitor_may_be_left_out(workspace, command):
    workspace.configure(STORE, PLAIN)
    workspace.must("migrate")
    assert "Monitor 'pump'" in refused(workspace, 1, "", command).err + workspace.plumbline(command).out
    config = workspace.folder / "config.toml"
    config.write_text(config.read_text() + f"\n[monitors.flow]\n{PLAIN}", encoding="utf-8")
    if command != "check":  # which checks all of them
        refused(workspace, 2, "has several monitors. Name one of them: flow, pump.", command)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("trian",), "There is no command 'trian'. Did you mean 'train'?"),
        (("anomalies", "lst"), "Did you mean 'list'?"),
        (("anomalies", "list", "--limitt", "3"), "Did you mean '--limit'?"),
        (("zzzzz",), "There is no command 'zzzzz'."),
    ],
)
def test_a_mistyped_command_gets_the_nearest_name(workspace, arguments, sentence):
    result = workspace.plumbline(*arguments)
    assert (result.code, sentence in result.err) == (2, True)


@pytest.mark.parametrize("command", ["status", "train pump", "score pump", "anomalies list", "models list"])
def test_a_store_without_tables(workspace, command):
    workspace.configure(STORE, PLAIN)
    refused(workspace, 1, "plumbline migrate", *command.split())
    assert not (workspace.folder / "plumbline.db").exists()


@pytest.mark.parametrize("command", ["score", "forecast", "evaluate", "sample", "encode", "denoise"])
def test_a_monitor_without_a_model(watch, command):
    monitor = PLAIN.replace(', "b"]', ']\nlabel = "b"')
    watched = watch(GOOD, "{i}, 1.5, 0", monitor=monitor)
    refused(watched, 1, "has no champion model yet. Train one: plumbline train pump", command, "pump")


def test_a_database_that_is_down(workspace):
    workspace.configure("postgresql://u:sekret@127.0.0.1:1/db", PLAIN)
    for command in ("migrate", "status", "train pump"):
        refused(workspace, 1, "u:***@127.0.0.1:1/db refused", *command.split())


def test_a_wrong_password(workspace, postgres_url):
    """One user of the server needs a password, unlike in other tests."""
    address = make_url(postgres_url.get_secret_value())
    engine = create_engine(address, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        rules = connection.exec_driver_sql("SHOW hba_file").scalar_one()
        before = Path(rules).read_text()
        connection.exec_driver_sql("CREATE ROLE guarded LOGIN PASSWORD 'right'")
        Path(rules).write_text("local all guarded scram-sha-256\n" + before)
        connection.exec_driver_sql("SELECT pg_reload_conf()")
        wrong = address.set(username="guarded", password="sekret").render_as_string(hide_password=False)
        workspace.configure(wrong, PLAIN)
        refused(workspace, 1, "password authentication failed for user", "migrate")
        connection.exec_driver_sql("DROP ROLE guarded")
    engine.dispose()


@pytest.mark.parametrize(
    ("ddl", "row", "rows", "sentence"),
    [
        ("id INTEGER, a REAL, b REAL", "{odd}, 1.5 * {i}, {odd}", 100, "occurs twice. Choose a unique key."),
        ("id INTEGER, a REAL, b REAL", "nullif({i}, 50), {i}, {odd}", 100, "'id' in the key is null in a record"),
        ("id REAL, a REAL, b REAL", "{i} + 0.5, {i}, {odd}", 100, "of type real, which is not exact"),
        (GOOD, "{i}, {i}, {odd}", 0, "The table holds no records"),
        (GOOD, "{i}, {i}, {odd}", 30, "Found 30 normal records to train on; a false-positive rate of 0.05 needs 38"),
        (GOOD, "{i}, {i}, NULL", 100, "'b' is null in every record"),
        (GOOD, "{i}, 1, 2", 100, "Every feature is constant"),
        ("id INTEGER PRIMARY KEY, a REAL, b TEXT", "{i}, {i}, 'x'", 100, "'b' is listed as numeric, but its type is"),
        ("id INTEGER PRIMARY KEY, a REAL, b REAL", "{i}, {i}, 'x'", 100, "should hold a number, but the record"),
        (
            "id INTEGER PRIMARY KEY, a REAL, c REAL",
            "{i}, {i}, 1",
            100,
            "names columns that the table 't' does not have",
        ),
    ],
)
def test_a_table_that_cannot_be_trained_on(watch, ddl, row, rows, sentence):
    watched = watch(ddl, row, rows)
    refused(watched, 1, sentence, "train", "pump")
    assert kept(watched) == [[], [], [], []]
    assert execute(watched, "SELECT outcome FROM runs") == [[("failed",)]]


def test_a_missing_table(workspace):
    workspace.configure(STORE, PLAIN.replace('"t"', '"modles"'))
    workspace.must("migrate")
    sentence = "watches the table 'modles', which is not in"
    refused(workspace, 1, sentence, "train", "pump")
    assert sentence in refused(workspace, 1, "The check found 1 error", "check").out


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("ALTER TABLE t RENAME COLUMN b TO c", "names columns that the table 't' does not have: 'b'"),
        ("UPDATE t SET b = 'high'", "should hold a number, but the record with key 1 holds 'high'"),
    ],
)
def test_a_column_that_changed_since_training(watch, change, sentence):
    watched = watch(GOOD, "{i}, {i} % 7, {i} % 5", 150, monitor=PLAIN)
    watched.must("train", "pump")
    execute(watched, change)
    refused(watched, 1, sentence, "score", "pump")
    assert execute(watched, "SELECT state FROM batches WHERE state = 'running'") == [[]]
    assert execute(watched, "SELECT outcome FROM runs WHERE kind = 'score'") == [[("failed",)]]


def test_features_that_the_model_was_not_trained_on_wait_for_the_next_training(watch):
    watched = watch("id INTEGER PRIMARY KEY, a REAL, b REAL, c REAL", "{i}, {i} % 7, {i} % 5, {i}")
    watched.must("train", "pump")
    watched.configure(STORE, PLAIN.replace('"b"', '"c"'))
    watched.must("score", "pump")
    assert "features changed since" in watched.must("status").out
    watched.must("train", "pump")
    watched.must("score", "pump")
    assert "features changed since" not in watched.must("status").out


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"id,a\n1,2\n2,3,4\n", "Line 3 of readings.csv has 3 cells, expected 2"),
        ("id,a\n1,gr\u00fcn\n".encode("latin-1"), "Line 2 of readings.csv is not UTF-8"),
        (b"id,a\n", "names its columns but holds no records"),
        (b"", "is empty"),
        (b"id,a\n1,2\n1,3\n", "Nothing was imported"),
    ],
)
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_a_file_that_cannot_be_imported(workspace, request, content, sentence, database):
    url = STORE if database == "sqlite" else request.getfixturevalue("postgres_url").get_secret_value()
    workspace.configure(url, PLAIN)
    workspace.must("migrate")
    (workspace.folder / "readings.csv").write_bytes(content)
    refused(workspace, 1, sentence, "import", "readings.csv", "--table", "t")
    assert "There is no table 't'" in workspace.plumbline("init", "x.toml", "--table", "t", "--source", url).err


@pytest.mark.parametrize("table", ["batches", "Events", "open_anomalies", "anomalies_pump", "plumbline_version"])
def test_an_import_in_place_of_the_store_s_own_tables(workspace, table):
    workspace.configure(STORE, PLAIN)
    (workspace.folder / "readings.csv").write_text("id,a,b\n1,2,3\n")
    call = ("import", "readings.csv", "--table", table, "--if-exists", "replace")
    refused(workspace, 2, f"{table} is a name of Plumbline's own tables and views", *call)
    workspace.must("migrate")
    refused(workspace, 2, f"{table} is a name of Plumbline's own", *call, "--into", STORE)
    workspace.must(*call, "--into", "sqlite:///other.db")
    assert kept(workspace) == [[], [], [], []]


def test_a_missing_file(workspace):
    workspace.configure(STORE, PLAIN)
    workspace.must("migrate")
    refused(workspace, 2, "readings.csv cannot be read: No such file", "import", "readings.csv", "--table", "t")


def test_a_store_that_another_program_locks(watch):
    watched = watch(GOOD, "{i}, {i}, {odd}")
    with closing(sqlite3.connect(watched.folder / "plumbline.db", isolation_level=None)) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        refused(watched, 1, "database is locked. Another program holds the file", "train", "pump")
    assert kept(watched) == [[], [], [], []]


def test_a_folder_that_cannot_be_written(workspace):
    """Root may write anywhere unless it drops that capability."""
    workspace.configure(STORE, PLAIN)
    (workspace.folder / "readings.csv").write_text("id,a,b\n1,2,3\n")
    give_up = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    if give_up and shutil.which("setpriv") is None:
        pytest.skip("root writes anywhere")
    workspace.folder.chmod(0o555)
    for command, code in (("migrate", 1), ("import readings.csv --table t", 1), ("init my.toml", 2)):
        process = subprocess.run(
            [*give_up, sys.executable, "-m", "jobs.cli", *command.split()],
            cwd=workspace.folder,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert process.returncode == code, process.stderr
        assert process.stderr.count("\n") == 1
        assert "writ" in process.stderr or "read-only" in process.stderr
    workspace.folder.chmod(0o755)
    assert sorted(path.name for path in workspace.folder.iterdir()) == ["config.toml", "readings.csv"]


def test_a_rate_that_the_records_cannot_resolve(workspace):
    readings().to_csv(workspace.folder / "readings.csv", index=False)
    workspace.configure(STORE, PUMP.replace("0.01", "0.0001"))
    workspace.must("migrate")
    workspace.must("import", "readings.csv", "--table", "pump_readings")
    refused(
        workspace,
        1,
        "Found 700 normal records to train on; a false-positive rate of 0.0001 needs 19998",
        "train",
        "pump",
    )
    assert kept(workspace) == [[], [], [], []]


def test_a_file_that_cannot_be_written(watch):
    watched = watch(GOOD, "{i}, {i} % 7, {i} % 5")
    watched.must("train", "pump")
    (watched.folder / "taken.csv").mkdir()
    for command in ("sample", "encode", "denoise"):
        for file in ("nowhere/x.csv", "nowhere/x.parquet", "taken.csv"):
            refused(watched, 2, f"{file} cannot be written: ", command, "pump", "--out", file)
        refused(watched, 2, "x.txt ends in neither .csv nor .parquet", command, "pump", "--out", "x.txt")


def test_an_invalid_call(workspace):
    for arguments in (["trian", "pump"], ["train"], ["score", "pump", "--fast"], ["anomalies", "label", "1", "bad"]):
        result = workspace.plumbline(*arguments)
        assert result.code == 2
        assert "Error: " in result.err
    assert "-1 is not in the range x>=0" in workspace.plumbline("sample", "pump", "--seed", "-1").err
