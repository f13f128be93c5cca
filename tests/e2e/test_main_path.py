"""The main path on the command line, from a file to flagged rows, on SQLite and PostgreSQL."""

import pandas as pd
import pytest

from tests.workspace import FAULTS, RECORDS


def test_each_step_to_the_first_flagged_row_reports_its_result(plant):
    results = {command: result.json for command, result in plant.results.items()}
    assert results["migrate"]["revision"]
    assert (results["import"]["rows"], results["import"]["key"]) == (RECORDS, "id")
    assert [finding["level"] for finding in results["check"]["pump"]] == ["ok"]
    assert results["train"]["is_champion"]
    assert results["train"]["card"]["training_records"] + results["train"]["card"]["calibration_records"] == 700
    assert (results["score"]["records"], results["score"]["batches"]) == (RECORDS, 3)


def test_the_injected_faults_are_flagged_with_their_cause(plant):
    anomalies = plant.must("anomalies", "list", "pump", "--limit", "200", "--json").json
    assert len(anomalies) == plant.results["score"].json["anomalies"]
    causes = {int(row["record_key"]): row["top_feature"] for row in anomalies}
    assert {fault: causes.get(fault) for fault in FAULTS} == dict.fromkeys(FAULTS, "pressure")
    assert len(anomalies) < 0.05 * RECORDS


def test_a_second_scoring_adds_nothing(plant):
    before = plant.must("anomalies", "list", "--limit", "200", "--json").out
    again = plant.must("score", "pump", "--json").json
    assert (again["records"], again["anomalies"], again["batches"]) == (0, 0, 0)
    assert plant.must("anomalies", "list", "--limit", "200", "--json").out == before


def test_output_for_people_is_tables(plant):
    listed = plant.must("anomalies", "list", "pump")
    assert "pressure" in listed.out
    assert str(FAULTS[-1]) in listed.out
    status = plant.must("status")
    assert "pump" in status.out
    assert f"{RECORDS}" in status.out
    assert "model 1" in status.out


def test_a_monitor_and_an_incident_are_drawn(plant):
    assert plant.must("plot", "pump", "--json").json["records"] == RECORDS
    assert (plant.folder / "pump.png").read_bytes().startswith(b"\x89PNG")
    incident = plant.must("incidents", "list", "pump", "--json").json[0]
    drawn = plant.must("plot", incident["id"], "--out", "i.svg", "--channel", "mode", "--channel", "pressure").out
    assert drawn.startswith("Wrote i.svg: ")
    text = (plant.folder / "i.svg").read_text(encoding="utf-8")
    assert all(name in text for name in (f"incident {incident['id']}", "mode", "pressure", "flagged record"))
    refused = {
        ("pump", "--out", "p.jpg"): "'p.jpg' is not the name of a picture",
        ("pump", "--channel", "presure"): "no feature 'presure'. The nearest is 'pressure'",
        ("pump", "--since", "2030-01-01"): "has no such records",
        ("0",): "no incident 0",
        (incident["id"], "--entity", "a"): "An incident has its own range and entity",
        ("pumpe",): "pump",
    }
    for call, message in refused.items():
        result = plant.plumbline("plot", *call)
        assert result.code == 2
        assert message in result.err


def test_a_report_is_one_page_with_pictures(plant):
    written = plant.must("report", "pump", "--incidents", "1", "--json").json
    text = (plant.folder / "report.html").read_text(encoding="utf-8")
    assert (written["report"], written["incidents"]) == ("report.html", 1)
    assert text.count("<svg") == 2 * 3  # days, an incident, the newest records; each wide and narrow
    assert "since the training records end on 2026-01-05 11:39:00 UTC" in text
    assert "AUROC on anomalies made of" in text


def test_an_anomaly_is_shown_and_labelled(plant):
    newest = plant.must("anomalies", "list", "--json").json[0]["id"]
    shown = plant.must("anomalies", "show", newest)
    assert "Causes" in shown.out
    plant.must("anomalies", "label", newest, "confirmed")
    assert plant.must("anomalies", "show", newest, "--json").json["label"] == "confirmed"
    assert [row["id"] for row in plant.must("anomalies", "list", "--label", "confirmed", "--json").json] == [newest]


def test_anomalies_are_listed_by_entity_time_and_page(plant):
    everything = plant.must("anomalies", "list", "pump", "--newest", "--json").json
    of_a = plant.must("anomalies", "list", "pump", "--entity", "a", "--newest", "--json").json
    assert of_a == [row for row in everything if row["entity"] == "a"] != []
    late = plant.must("anomalies", "list", "pump", "--since", "2026-01-05T13:00:00", "--newest", "--json").json
    assert late == [row for row in everything if row["record_time"] >= "2026-01-05T13:00:00"] != []
    page = plant.must("anomalies", "list", "pump", "--limit", "2", "--before", everything[0]["id"], "--json").json
    assert page == everything[1:3]


def test_anomalies_are_listed_by_score_against_threshold_and_counted(plant):
    listed = plant.must("anomalies", "list", "--json").json
    ratios = [row["threshold_ratio"] for row in listed]
    assert ratios == sorted(ratios, reverse=True)
    assert ratios[0] == listed[0]["anomaly_score"] / listed[0]["threshold"] > 1
    shown = plant.must("anomalies", "list", "--limit", "2").out
    assert f"2 of {len(listed)} anomalies" in shown
    assert max(map(len, shown.splitlines())) <= 100
    assert "muted" not in shown
    assert plant.must("anomalies", "list", "--since", "1h", "--json").json == []


def test_several_anomalies_and_incidents_are_labelled_at_once_or_not_at_all(plant):
    first, second, third, *_ = plant.must("anomalies", "list", "--newest", "--json").json
    plant.must("anomalies", "label", first["id"], second["id"], "known", "--incident", third["incident_id"])
    known = plant.must("anomalies", "list", "--label", "known", "--newest", "--json").json
    assert {row["id"] for row in (first, second, third)} <= {row["id"] for row in known}
    refused = plant.plumbline("anomalies", "label", first["id"], 999_999, "confirmed")
    assert (refused.code, "There is no anomaly 999999" in refused.err) == (2, True)
    assert plant.must("anomalies", "list", "--label", "known", "--newest", "--json").json == known
    plant.must("anomalies", "label", *(row["id"] for row in known), "open")
    assert plant.must("anomalies", "list", "--label", "known", "--json").json == []


def test_the_most_anomalous_records_are_shown_whether_flagged_or_not(plant):
    before = standing(plant)
    ranking = plant.must("top", "--limit", "300", "--json").json
    flagged = [record["record_key"] for record in ranking["top"] if record["is_anomaly"]]
    listed = [row["record_key"] for row in plant.must("anomalies", "list", "--json").json]
    assert flagged == [record["record_key"] for record in ranking["top"][: len(flagged)]] == listed
    assert (ranking["records"], len(ranking["top"]), ranking["is_stored"]) == (RECORDS, 300, False)
    ratios = [record["threshold_ratio"] for record in ranking["top"]]
    assert ratios == sorted(ratios, reverse=True)
    late = plant.must("top", "pump", "--since", "2026-01-05T13:00:00", "--json").json
    assert (late["records"], late["top"][0]["causes"][0]["feature"]) == (RECORDS - 780, "pressure")
    assert f"5 of {RECORDS} records, by model" in plant.must("top", "pump", "--limit", "5").out
    assert standing(plant) == before


def test_lists_and_rankings_have_the_same_vae_scores_and_print_them_as_columns(plant):
    def vae_scores(rows):
        return {row["record_key"]: (row["reconstruction_error"], row["elbo"]) for row in rows}

    listed = vae_scores(plant.must("anomalies", "list", "--json").json)
    ranked = vae_scores(plant.must("top", "--limit", "300", "--json").json["top"])
    assert listed == {key: ranked[key] for key in listed}
    assert None not in {number for numbers in ranked.values() for number in numbers}
    for command in ("anomalies list", "top"):
        printed = plant.must(*command.split(), "--columns", "record_key,elbo").out
        assert any(line.split() == ["record_key", "elbo"] for line in printed.splitlines())


def test_a_training_ends_with_its_most_anomalous_held_out_records(plant):
    top = plant.results["train"].json["top"]
    ratios = [record["threshold_ratio"] for record in top]
    assert (len(top), ratios == sorted(ratios, reverse=True)) == (5, True)
    assert all(560 < int(record["record_key"]) <= 700 for record in top)


def test_a_diagnosis_names_what_keeps_records_from_being_flagged(plant):
    result = plant.plumbline("doctor", "--json")
    messages = " ".join(problem["message"] for problem in result.json["problems"])
    assert (result.code, result.json["records"]) == (1, RECORDS)
    assert "its source stopped sending" in messages
    assert "highest calibration score is the threshold" in messages
    assert f"Found {len(result.json['problems'])} problems of monitor 'pump'" in result.err
    assert "1. " in plant.plumbline("doctor").out


def test_status_counts_what_was_scored(plant):
    (status,) = plant.must("status", "--json").json
    assert (status["records"], status["anomalies"]) == (RECORDS, plant.results["score"].json["anomalies"])
    assert (status["pending_batches"], status["running_batches"]) == (0, 0)
    assert {kind: run["outcome"] for kind, run in status["last_runs"].items()} == {"train": "done", "score": "done"}


def test_evaluation_uses_records_after_those_of_the_model(plant):
    report = plant.must("evaluate", "pump", "--json").json
    assert (report["evaluation"]["records"], report["evaluation"]["anomalies"]) == (RECORDS - 700, len(FAULTS))
    assert report["evaluation"]["auroc"] > 0.99
    assert plant.must("evaluate", "pump", "--all", "--json").json["evaluation"]["records"] == RECORDS
    assert "AUROC" in plant.must("evaluate", "pump").out


def standing(plant):
    """Return the status without the values that depend on the current time."""
    return [{**status, "lag_seconds": None} for status in plant.must("status", "--json").json]


def test_a_forecast_counts_alarms_and_writes_nothing(plant):
    before = standing(plant)
    forecast = plant.must("forecast", "pump", "--json").json
    assert forecast["records"] == RECORDS - 700
    assert len(FAULTS) <= forecast["flagged"] == forecast["by_rate"]["0.01"] <= forecast["by_rate"]["0.1"]
    assert "would have been flagged" in plant.must("forecast", "pump").out
    assert standing(plant) == before


@pytest.mark.parametrize(
    ("command", "columns"),
    [
        ("sample", {"flow", "pressure", "is_open", "mode"}),
        ("encode", {"id", "z0"}),
        ("denoise", {"id", "flow", "pressure", "is_open", "mode"}),
    ],
)
def test_the_generator_prints_and_writes_records(plant, command, columns):
    count = ("-n", "5") if command == "sample" else ("--limit", "5")
    rows = plant.must(command, "pump", *count, "--json").json
    assert len(rows) == 5
    assert columns <= rows[0].keys()
    assert "pressure" in plant.must(command, "pump", *count).out or command == "encode"
    for name in ("made.csv", "made.parquet"):
        assert plant.must(command, "pump", *count, "--out", name, "--json").json["records"] == 5
    written = pd.read_csv(plant.folder / "made.csv"), pd.read_parquet(plant.folder / "made.parquet")
    assert [list(frame.columns) == list(rows[0]) for frame in written] == [True, True]


def test_a_challenger_is_promoted_and_rolled_back(plant):
    made = plant.must("train", "pump", "--challenger", "--json").json
    assert not made["is_champion"]
    states = {model["id"]: model["state"] for model in plant.must("models", "list", "pump", "--json").json}
    champion = next(model for model, state in states.items() if state == "champion")
    assert states[made["model_id"]] == "challenger"
    plant.query("DROP VIEW anomalies_pump")
    promoted = plant.must("models", "promote", made["model_id"], "--json").json
    assert (promoted["state"], promoted["join_view"]) == ("champion", "anomalies_pump")
    assert len(plant.query("SELECT flow FROM anomalies_pump")) > 0
    assert plant.must("models", "show", champion, "--json").json["state"] == "retired"
    assert plant.must("models", "rollback", "pump", "--json").json["model_id"] == champion
    assert plant.plumbline("models", "promote", champion, "--for", "nobody").code == 2
    copied = plant.must("models", "promote", champion, "--for", "pump", "--json").json
    assert (copied["id"] > made["model_id"], copied["state"], copied["monitor"]) == (True, "champion", "pump")
    assert plant.must("models", "rollback", "pump", "--json").json["model_id"] == champion
    assert "champion" in plant.must("models", "list").out
    assert "held-out ELBO" in plant.must("models", "show", champion).out


def test_a_model_is_compared_with_baselines(plant):
    card = plant.results["train"].json["card"]
    assert {"model", "knn", "isolation_forest", "pca"} == set(card["auroc"]["perturbed"])
    assert plant.must("models", "show", 1, "--json").json["card"] == card
    shown = plant.must("models", "show", 1).out
    assert "AUROC on synthetic anomalies" in shown
    assert all(kind in shown for kind in ("perturbed", "shuffled", "scaled", "isolation forest"))
    assert "realised on the later held-out half" in shown
