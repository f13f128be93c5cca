"""`check --source-conformance` on the databases that are tested; a fault of a source is named."""

import duckdb
from pydantic import SecretStr
from sqlalchemy import text

from jobs.conformance import IMPATIENT, check_conformance
from jobs.conformance.run import ASPECTS
from jobs.databases import open_engine, writing
from jobs.reading.source import Source
from schemas.config import MonitorConfig
from schemas.service import SourceTimeouts
from tests.mariadb_server import on_mariadb_too
from tests.workspace import PUMP, Workspace, readings

RECORDS = 400
CREATE = "CREATE TABLE readings (pump VARCHAR(9), id {integer} {key}, read_at {time}, flow {float}, changed_at {time})"
ROW = "('{pump}', {id}, '2026-03-01 {hour:02}:{minute:02}:00.250000', {id} / 8.0, '2026-03-01 00:00:00')"
TYPES = {"integer": "BIGINT", "key": "PRIMARY KEY", "time": "TIMESTAMP", "float": "DOUBLE PRECISION"}


def statements(**types):
    """Return the statements that make a table with records."""
    rows = [ROW.format(pump="äB"[at % 2], id=at, hour=at // 60, minute=at % 60) for at in range(1, RECORDS + 1)]
    return CREATE.format(**TYPES | types), f"INSERT INTO readings VALUES {', '.join(rows)}"


def outcomes(url, **settings):
    """Return the level and the detail of each aspect."""
    given = {"table": "readings", "key": "id", "time": "read_at", "updated": "changed_at", "entity": "pump"}
    monitor = MonitorConfig(**given | {"numeric": ["flow"]} | settings)
    engines = [open_engine(url, timeouts) for timeouts in (SourceTimeouts(), SourceTimeouts(statement=IMPATIENT))]
    sources = [Source("pump", monitor, engine) for engine in engines]
    found = {outcome.aspect: (outcome.level, outcome.detail) for outcome in check_conformance(*sources)}
    for source in sources:
        source.close()
        source.engine.dispose()
    return found


def fill(url, *lines):
    engine = open_engine(url)
    with writing(engine) as connection:
        for line in lines:
            connection.execute(text(line.replace(":", r"\:")))
    engine.dispose()


@on_mariadb_too
def test_every_aspect_of_a_tested_server_works(database_url):
    is_mariadb = database_url.get_secret_value().startswith("mysql")
    types = {"time": "DATETIME(6)", "float": "DOUBLE"} if is_mariadb else {}
    fill(database_url, *statements(**types))
    found = outcomes(database_url)
    assert list(found) == list(ASPECTS)
    assert {aspect: seen for aspect, seen in found.items() if seen[0] != "works"} == {}


def test_every_aspect_of_duckdb_works(tmp_path):
    file = tmp_path / "plant.duckdb"
    with duckdb.connect(file) as connection:
        for line in statements():
            connection.execute(line)
    found = outcomes(SecretStr(f"duckdb:///{file}"))
    assert {aspect: seen for aspect, seen in found.items() if seen[0] != "works"} == {}
    assert found["end of long statements"][1] == "ended after 1 s, and the next statement works"


def test_a_source_that_is_unfit_is_named_with_the_reason(sqlite_url):
    fill(sqlite_url, *statements(integer="REAL", key="", time="TEXT"))
    fill(sqlite_url, "UPDATE readings SET read_at = '2026-03-01T02:00:00+02:00' WHERE id <= 200")
    found = outcomes(sqlite_url)
    assert found["types of the key"] == ("fails", "id real: id has no order")
    assert found["cells of `resample`"] == ("untried", "for the same reason as 'values'")
    assert outcomes(sqlite_url, table="nowhere")["tables and columns"][0] == "fails"


def test_keys_are_in_order_although_the_records_next_to_the_tried_ones_cannot_be_read(sqlite_url):
    fill(sqlite_url, *statements(), "UPDATE readings SET flow = 'broken' WHERE id IN (2, 60, 119)")
    found = outcomes(sqlite_url)
    assert found["values"] == ("limited", "3 of 300 records cannot be read: plumbline check")
    assert {aspect: seen for aspect, seen in found.items() if seen[0] == "fails"} == {}
    assert found["order of keys"] == ("works", "6 pairs of neighbours")


def test_an_empty_table_is_no_proof(sqlite_url):
    fill(sqlite_url, statements()[0])
    found = outcomes(sqlite_url)
    assert found["values"] == ("fails", "The table is empty. Name one with at least 10 records.")
    assert found["order of keys"] == ("untried", "for the same reason as 'values'")
    assert found["large integers"][0] == "works"


def test_a_database_that_is_away_is_tried_once():
    levels = [level for level, _ in outcomes(SecretStr("postgresql://u@127.0.0.1:1/plant")).values()]
    assert levels == ["fails", *["untried"] * (len(ASPECTS) - 1)]


def test_the_command_prints_the_aspects_and_fails_if_one_does(tmp_path):
    workspace = Workspace(tmp_path)
    workspace.configure("sqlite:///plumbline.db", PUMP, model="")
    readings(100).to_csv(tmp_path / "readings.csv", index=False)
    workspace.must("import", "readings.csv", "--table", "pump_readings")
    shown = workspace.must("check", "--source-conformance")
    assert all(aspect in shown.out for aspect in ASPECTS)
    assert "Monitor 'pump': pump_readings in sqlite:///" in shown.out
    assert f"All {len(ASPECTS)} aspects work" in shown.out
    workspace.query("DELETE FROM pump_readings")
    failed = workspace.plumbline("check", "pump", "--source-conformance", "--json")
    assert [item["aspect"] for item in failed.json["outcomes"] if item["level"] == "fails"] == ["values"]
    assert (failed.code, "This source does not work as it is: values. The details" in failed.err) == (1, True)
