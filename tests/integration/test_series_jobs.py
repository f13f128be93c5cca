"""A monitor of series from its table to flagged records, on each database."""

import re
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from fastapi import HTTPException

from detector.core.about import Pace
from jobs.api.scoring import RecordsToScore, score_records
from jobs.champions import load_scorer
from jobs.checks import check_monitor, records
from jobs.databases import writing
from jobs.evaluation import evaluate_monitor, forecast_monitor
from jobs.store import EventQuery
from schemas.errors import ArtifactError
from tests.machines import machine
from tests.series_monitor import readings


def test_a_trained_model_scores_its_table_and_flags_the_faults(mixer):
    report = mixer.train()
    assert (report.is_champion, report.verdict) == (True, "first")
    assert (report.card.training_records, report.card.calibration_records) == (1200, 1200)
    assert (report.card.entities, report.card.own_models, report.card.only_ranked) == (2, 2, 0)
    scored = mixer.score(batch_size=300)
    assert (scored.records, scored.batches) == (1600, 6)
    frame = readings()
    flagged = {key for key, _, _, is_anomaly in mixer.scores() if is_anomaly}
    spike = frame[(frame["machine"] == "a") & (frame["is_fault"] == 1)]["id"]
    stuck = frame[(frame["machine"] == "b") & (frame["is_fault"] == 1)]["id"]
    assert set(spike) & flagged
    assert len(set(stuck) & flagged) > 20


def test_scores_do_not_depend_on_the_batch_size(mixer):
    mixer.train()
    mixer.score(batch_size=170)
    scores = mixer.scores()
    assert {tuple(row[2:]) for row in mixer.vae_scores()} == {(None, None)}  # there is no network
    assert len(scores) == 1600
    mixer.store.recounting.reopen_window(
        "mixer", pd.Timestamp("2026-01-01", tz="UTC"), pd.Timestamp("2027-01-01", tz="UTC")
    )
    with writing(mixer.store.engine) as connection:
        connection.exec_driver_sql("DELETE FROM scores")
    mixer.score(batch_size=10_000)
    assert mixer.scores() == scores


def test_training_again_on_the_same_records_gives_the_same_model(mixer):
    first, second = mixer.train(), mixer.train("never")
    blobs = [mixer.store.models.blob(report.model_id) for report in (first, mixer.train("never"))]
    assert second.verdict == "better"
    assert blobs[0] != blobs[1]  # the later ones hold records out for the comparison
    assert blobs[1] == mixer.store.models.blob(second.model_id)


def test_the_holidays_of_a_country_are_stored_at_training_and_not_looked_up_by_scoring(mixer, monkeypatch):
    mixer.train(series={"holidays": "DE-BY"})
    monkeypatch.setitem(sys.modules, "holidays", None)  # an import fails
    monitor = mixer.source(series={"holidays": "DE-BY"}).monitor
    days = load_scorer(mixer.store, mixer.store.models.champion("mixer"), monitor).model.settings.holidays
    assert "2026-06-04" in days
    assert (days[0][:4], days[-1]) == ("2026", "2036-12-26")
    assert mixer.score(series={"holidays": "DE-BY"}).records == 1600


def test_a_challenger_is_compared_by_the_rate_it_keeps_on_the_newest_records(mixer):
    mixer.train()
    report = mixer.train("if_better")
    compared = mixer.store.models.get(report.model_id).comparison
    assert compared.records == 120
    assert compared.seen_by_champion == 120
    assert "flatters it" in compared.notes[0]
    assert compared.challenger.tolerance == (0, 3)
    assert report.is_champion is (report.verdict == "better")
    assert "| a | 540 | its own | 540 |" in mixer.store.models.card_markdown(report.model_id)


def test_a_challenger_trained_on_outdated_records_is_refused(mixer):
    changed = readings()
    changed.loc[changed["id"] > 900, ["torque", "speed"]] *= 3
    mixer.fill(changed, if_exists="replace")
    mixer.train()
    report = mixer.train("if_better", normal="id <= 600 OR id BETWEEN 1141 AND 1200")
    assert (report.verdict, report.is_champion) == ("degenerate", False)
    assert "of 66 held-out normal records at a requested rate of 1.00%" in report.reason


def test_entities_with_too_few_records_for_the_rate_are_only_ranked_and_reported(mixer, monkeypatch):
    monkeypatch.setattr(records, "needed_normal_records", lambda _rate: 1000)
    report = mixer.train(false_positive_rate=0.0005)
    assert report.card.only_ranked == 2
    assert {entity.threshold for entity in report.card.by_entity.values()} == {None}
    assert mixer.score(false_positive_rate=0.0005).anomalies == 0
    assert "2 entities have too few calibration records" in mixer.store.models.card_markdown(report.model_id)


def test_a_rate_can_be_changed_without_training_again(mixer):
    mixer.train()
    few = mixer.score(false_positive_rate=0.01).anomalies
    mixer.store.recounting.reopen_window(
        "mixer", pd.Timestamp("2026-01-01", tz="UTC"), pd.Timestamp("2027-01-01", tz="UTC")
    )
    assert mixer.score(false_positive_rate=0.1).anomalies > few


def test_a_machine_that_comes_later_is_scored_by_the_shared_model_and_reported_once_a_model(mixer):
    mixer.train()
    newer = machine("c", 30, 2).assign(id=np.arange(1601, 1631))
    newer.loc[20, "machine"] = None
    mixer.fill(newer, if_exists="append")
    mixer.score(batch_size=10)
    assert len(mixer.scores()) == 1630
    for models in (1, 2):
        events = mixer.store.events.page(EventQuery("mixer", "new_entity"))
        assert [(event.entity, event.counts["model_id"]) for event in events] == [("c", 2), ("c", 1)][-models:]
        assert "Entity 'c' of monitor 'mixer' was not in the training records of model 1" in events[-1].message
        mixer.train()
        mixer.store.recounting.reopen_window(
            "mixer", pd.Timestamp("2026-01-01", tz="UTC"), pd.Timestamp("2027-01-01", tz="UTC")
        )
        mixer.score()


@pytest.mark.parametrize("threshold", ["conformal", "online"])
def test_without_a_shared_model_a_new_machine_is_not_scored_and_reported_and_stops_no_other(mixer, threshold):
    settings = {"series": {"models": "per_entity"}, "threshold": threshold}
    mixer.train(**settings)
    newer = machine("c", 30, 2).assign(id=np.arange(1601, 1631))
    newer.loc[20:22, "machine"] = [None, "a", "b"]
    mixer.fill(newer, if_exists="append")
    report = mixer.score(**settings, batch_size=800)
    assert report.records == 1630
    assert len(mixer.scores()) == 1602
    messages = {event.entity: event.message for event in mixer.store.events.page(EventQuery("mixer", "new_entity"))}
    assert messages.keys() == {"c", None}
    assert "Entity 'c' of monitor 'mixer' was not in the training records of model 1; without a" in messages["c"]
    assert "A record without an entity" in messages[None]
    assert mixer.score(**settings).batches == 0
    assert evaluate_monitor(mixer.source(**settings), mixer.store).evaluation.records == 402
    assert forecast_monitor(mixer.source(**settings), mixer.store).records == 402


def test_records_without_a_time_or_a_machine_are_left_out_of_training_and_scored(mixer):
    odd = readings()
    odd.loc[[5, 9], "machine"] = None
    odd.loc[11, "read_at"] = pd.NaT
    mixer.fill(odd, if_exists="replace")
    report = mixer.train()
    about = mixer.store.models.get(report.model_id).about
    assert about.training.left_out == {"without a time": 1, "without an entity": 2}
    assert mixer.store.models.pace(report.model_id) == about.pace == Pace(60.0, 60.0)
    mixer.score(batch_size=100)
    assert len(mixer.scores()) == 1600


def test_without_entities_the_table_is_one_series(mixer):
    mixer.fill(readings().query("machine == 'a'"), if_exists="replace")
    report = mixer.train(entity=None)
    assert list(report.card.by_entity) == ["all"]
    assert mixer.score(entity=None).records == 800


def test_it_is_evaluated_and_forecast_with_the_past_of_each_record(mixer):
    mixer.train()
    evaluation = evaluate_monitor(mixer.source(batch_size=90), mixer.store).evaluation
    assert (evaluation.records, evaluation.anomalies) == (400, 38)
    assert evaluation.auroc > 0.9
    forecast = forecast_monitor(mixer.source(batch_size=70), mixer.store)
    assert (forecast.records, forecast.flagged) == (400, evaluation.flagged)


def test_a_model_of_single_records_is_not_taken_for_one_of_series(mixer):
    mixer.train(model={"members": 1, "steps": 20}, series=None)
    champion = mixer.store.models.champion("mixer")
    with pytest.raises(ArtifactError, match="wrong kind: Field required.*train again"):
        load_scorer(mixer.store, champion, mixer.source().monitor)
    report = mixer.train("if_better")
    assert report.is_champion
    assert "cannot score these records" in mixer.store.models.get(report.model_id).comparison.notes[0]


def test_a_missing_index_is_a_warning_with_its_measured_cost_and_its_statement_creates_it(mixer):
    def findings():
        return [
            (finding.level, finding.message)
            for finding in check_monitor("mixer", mixer.source().monitor, mixer.source())
        ]

    ((level, message),) = findings()
    assert level == "warning"
    assert re.search(
        r"No index begins with \(machine, read_at\), .*, which took \d\S* s for one record just now", message
    )
    mixer.train()
    with writing(mixer.store.engine) as connection:
        connection.exec_driver_sql(message.partition("Create one: ")[2])
    assert findings()[0][0] == "ok"


def test_the_api_refuses_records_of_a_series_for_lack_of_their_past(mixer):
    mixer.train()
    monitor = mixer.source().monitor
    scorer = load_scorer(mixer.store, mixer.store.models.champion("mixer"), monitor)
    config = SimpleNamespace(monitor=lambda _name: monitor, service=SimpleNamespace(max_records=10))
    service = SimpleNamespace(config=config, settings=config.monitor, scorer_for=lambda _name: (1, scorer))
    sent = RecordsToScore(records=[{"torque": 1.0, "speed": 1.0, "load": 1.0, "is_open": True}])
    with pytest.raises(HTTPException, match="409: Monitor 'mixer' learns series: .*Write records to the watched table"):
        score_records("mixer", sent, service)
