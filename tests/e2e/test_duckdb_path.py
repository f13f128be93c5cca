"""The path from folders of Parquet, CSV and JSON files to flagged rows, through DuckDB, with the store in SQLite."""

import duckdb
import pytest

from tests.workspace import FAULTS, PUMP, RECORDS, readings

DUE = "UPDATE batches SET recount_at = planned_at"  # time passes
LATE = 640  # arrives after the others


def write(folder, name, frame):
    duckdb.from_df(frame).write_parquet(str(folder / "readings" / f"{name}.parquet"))


@pytest.fixture
def plant(workspace):
    """A workspace with the readings of each hour in a file, but for one record, and a monitor on the folder."""
    (workspace.folder / "readings").mkdir()
    frame = readings()
    for hour, part in frame[frame["id"] != LATE].groupby(frame["read_at"].dt.hour):
        write(workspace.folder, hour, part)
    source = 'source = "duckdb:///plant.duckdb"\n'
    workspace.configure("sqlite:///plumbline.db", source + PUMP.replace('"pump_readings"', '"readings/*.parquet"'))
    duckdb.connect(workspace.folder / "plant.duckdb").close()
    return workspace


def test_a_folder_of_files_is_trained_on_scored_and_recounted(plant):
    plant.must("migrate")
    assert [finding["level"] for finding in plant.must("check", "--json").json["pump"]] == ["ok"]
    assert plant.must("train", "pump", "--json").json["is_champion"]
    assert plant.must("score", "pump", "--json").json["records"] == RECORDS - 1
    causes = {int(row["record_key"]): row["top_feature"] for row in plant.must("anomalies", "list", "--json").json}
    assert {fault: causes.get(fault) for fault in FAULTS} == dict.fromkeys(FAULTS, "pressure")
    late = readings()[lambda frame: frame["id"] == LATE]
    write(plant.folder, "late", late)
    plant.query(DUE)
    report = plant.must("score", "pump", "--json").json
    assert (report["rescored"], report["late_records"], report["records"]) == (1, 1, 240)
    rescored = "SELECT record_key FROM anomalies WHERE superseded_at IS NULL ORDER BY id"
    before = plant.query(rescored)
    plant.must("rescore", "pump", "--from", "2026-01-05", "--to", "2026-01-06")
    assert plant.query(rescored) == before
    assert plant.must("plot", "pump", "--json").json["records"] == RECORDS


WRITERS = {
    "parquet": lambda frame, file: duckdb.from_df(frame).write_parquet(file),
    "csv": lambda frame, file: frame.to_csv(file, index=False),
    "csv.gz": lambda frame, file: frame.to_csv(file, index=False),
    "json": lambda frame, file: frame.to_json(
        file, orient="records", lines=True, date_format="iso", double_precision=15
    ),
}
ANOMALIES = "SELECT record_key, anomaly_score, p_value, top_feature FROM anomalies WHERE monitor = :monitor ORDER BY id"


def watch_folder(workspace, name, form):
    """Write the readings to two files of a folder, in order of time, and add a monitor of the folder."""
    (workspace.folder / name).mkdir()
    frame = readings()
    for number, part in enumerate((frame[:400], frame[400:])):
        WRITERS[form](part, str(workspace.folder / name / f"{number}.{form}"))
    pattern = f"{workspace.folder}/{name}/*.{form}"
    workspace.must("init", "--append", "--table", pattern, "--source", "duckdb:///:memory:")


def test_folders_of_every_format_are_watched_from_init_on_and_flag_the_same_records(workspace):
    names = [f"of_{form.replace('.', '_')}" for form in WRITERS]
    for name, form in zip(names, WRITERS, strict=True):
        watch_folder(workspace, name, form)
    workspace.must("migrate")
    checked = workspace.must("check", "--json").json
    assert [finding["level"] for name in names for finding in checked[name]] == ["ok"] * len(names)
    model = workspace.must("train", names[0], "--json").json["model_id"]
    for name in names[1:]:
        workspace.must("models", "promote", model, "--for", name)
    found = []
    for name in names:
        assert workspace.must("score", name, "--json").json["records"] == RECORDS
        found.append(workspace.query(ANOMALIES, monitor=name))
    assert found == [found[0]] * len(names)
    assert {int(row[0]) for row in found[0]} >= set(FAULTS)
