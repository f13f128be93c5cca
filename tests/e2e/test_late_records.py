"""Late records and rescoring on the command line, on SQLite and PostgreSQL."""

from tests.workspace import FAULTS

ANY = "SELECT id, record_key, anomaly_score, flagged_at FROM anomalies WHERE superseded_at IS NULL ORDER BY id"
DUE = "UPDATE batches SET recount_at = planned_at"  # time passes
WHOLE = ("--from", "2026-01-05", "--to", "2026-01-06")


def test_rescoring_with_the_same_model_gives_the_same_bits(plant):
    before = plant.query(ANY)
    result = plant.must("rescore", "pump", "--from", "2026-01-05T00:00:00", "--to", "2026-01-05T05:01:00")
    assert result.out.startswith("Reopened 2 batches of 2026-01-05 00:00:00 to 2026-01-05 05:01:00 UTC")
    assert "2 of the batches had been scored before" in result.out
    assert plant.query(ANY) == before != []


def test_a_record_that_vanished_and_returned_is_flagged_again_with_its_label(plant):
    flagged = {int(key): row_id for row_id, key, *_ in plant.query(ANY)}
    plant.must("anomalies", "label", flagged[FAULTS[0]], "confirmed")
    plant.query("CREATE TABLE aside AS SELECT * FROM pump_readings WHERE id = :id", id=FAULTS[0])
    plant.query("DELETE FROM pump_readings WHERE id = :id", id=FAULTS[0])
    plant.query(DUE)
    assert plant.must("score", "pump", "--json").json["rescored"] == 1
    assert FAULTS[0] not in {int(key) for _, key, *_ in plant.query(ANY)}
    plant.query("INSERT INTO pump_readings SELECT * FROM aside")
    plant.query(DUE)
    report = plant.must("score", "pump", "--json").json
    assert (report["rescored"], report["late_records"], report["too_late_records"]) == (1, 1, 0)
    shown = plant.must("anomalies", "show", flagged[FAULTS[0]], "--json").json
    assert (shown["label"], shown["superseded_at"]) == ("confirmed", None)


def test_a_new_champion_supersedes_the_rows_of_the_old_one(plant):
    model = plant.must("train", "pump", "--json").json["model_id"]
    report = plant.must("rescore", "pump", *WHOLE, "--json").json
    assert (report["reopened"], report["scoring"]["batches"], report["scoring"]["model_id"]) == (3, 3, model)
    models = "SELECT DISTINCT model_id FROM anomalies WHERE superseded_at IS"
    assert plant.query(f"{models} NULL") == [(model,)]
    assert plant.query(f"{models} NOT NULL") == [(1,)]


def test_a_window_that_ends_before_it_begins_is_refused(plant):
    refused = plant.plumbline("rescore", "pump", "--from", "2026-01-06", "--to", "2026-01-05")
    assert refused.code == 2
    assert "not after its start" in refused.err
    assert plant.plumbline("rescore", "pump").code == 2
