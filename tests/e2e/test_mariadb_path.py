"""The whole path on MariaDB: proposed, trained, scored, corrected, retrained, by two workers, down and up again."""

import tomllib

import pytest

from tests.workspace import FAULTS, RECORDS, readings

pytestmark = pytest.mark.parametrize("plant", ["mariadb"], indirect=True, scope="module")

CURRENT = "SELECT record_key FROM anomalies WHERE superseded_at IS NULL ORDER BY id"


def current(plant):
    return {int(key) for (key,) in plant.query(CURRENT)}


def test_each_step_to_the_first_flagged_row_reports_its_result(plant):
    results = {command: result.json for command, result in plant.results.items()}
    assert results["import"]["rows"] == results["score"]["records"] == RECORDS
    assert [finding["level"] for finding in results["check"]["pump"]] == ["ok"]
    anomalies = plant.must("anomalies", "list", "pump", "--limit", "200", "--json").json
    causes = {int(row["record_key"]): row["top_feature"] for row in anomalies}
    assert {fault: causes.get(fault) for fault in FAULTS} == dict.fromkeys(FAULTS, "pressure")
    assert len(anomalies) < 0.05 * RECORDS


def test_the_monitor_that_init_proposes_fits(plant):
    plant.must("init", "proposed.toml", "--table", "pump_readings", "--source", plant.url)
    (monitor,) = tomllib.loads((plant.folder / "proposed.toml").read_text())["monitors"].values()
    assert (monitor["key"], monitor["time"], monitor["label"]) == ("id", "read_at", "is_fault")
    assert (monitor["boolean"], monitor["entity"]) == (["is_open"], "pump")
    checked = plant.must("check", "--config", "proposed.toml", "--json").json["pump_readings"]
    (finding,) = checked
    assert finding["message"].startswith("No index begins with (pump, read_at)")


def test_views_and_incidents_show_what_was_flagged(plant):
    flagged = {int(key) for (key,) in plant.query("SELECT record_key FROM open_anomalies")}
    assert flagged == current(plant)
    joined = dict(plant.query("SELECT CAST(record_key AS UNSIGNED), pressure FROM anomalies_pump"))
    assert set(joined) == flagged
    assert min(joined[fault] for fault in FAULTS) > 9
    assert plant.query("SELECT SUM(records) FROM hourly_rates") == [(RECORDS,)]
    assert len(plant.must("incidents", "list", "--json").json) > 0


def test_a_record_that_vanished_and_returned_is_rescored(plant):
    plant.query("CREATE TABLE aside AS SELECT * FROM pump_readings WHERE id = :id", id=FAULTS[0])
    for change in ("DELETE FROM pump_readings WHERE id = :id", "INSERT INTO pump_readings SELECT * FROM aside"):
        plant.query(change, **({"id": FAULTS[0]} if "DELETE" in change else {}))
        plant.query("UPDATE batches SET recount_at = planned_at")  # time passes
        assert plant.must("score", "pump", "--json").json["rescored"] == 1
        assert (FAULTS[0] in current(plant)) == ("INSERT" in change)
    plant.query("DROP TABLE aside")


def test_two_workers_share_new_records(plant):
    more = readings(2 * RECORDS, faults=())[RECORDS:]
    more.to_csv(plant.folder / "more.csv", index=False)
    plant.must("import", "more.csv", "--table", "pump_readings", "--if-exists", "append")
    workers = [plant.start("score", "pump", "--json") for _ in range(2)]
    ends = [(worker.communicate()[1], worker.returncode) for worker in workers]
    assert [code for _, code in ends] == [0, 0], ends
    ranges = plant.query("SELECT COUNT(*), COUNT(DISTINCT after_key), SUM(records) FROM batches WHERE state = 'done'")
    assert ranges == [(ranges[0][0], ranges[0][0], 2 * RECORDS)]


def test_a_request_that_a_dashboard_inserts_is_trained(plant):
    plant.query("INSERT INTO retrain_requests (monitor) VALUES ('pump')")
    (done,) = plant.must("retrain", "--work", "--json").json
    assert done["state"] == "done"
    assert plant.query("SELECT state, attempts FROM retrain_requests") == [("done", 1)]
    assert len(plant.must("models", "list", "pump", "--json").json) == 2


def test_the_schema_goes_down_and_up_and_keeps_flagged_rows(plant):
    flagged = current(plant)
    plant.must("migrate", "--to", "0001")
    assert {int(key) for (key,) in plant.query("SELECT record_key FROM anomalies")} >= flagged
    plant.must("migrate")
    assert plant.must("score", "pump", "--json").json["batches"] == 0
