"""Retraining from request to champion: real trainings on both databases, refusals, failures and takeovers."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydantic import SecretStr
from sqlalchemy import text

from detector.core.comparison import FlaggedCount
from detector.records.scorer import RecordScorer
from jobs.databases import open_engine, writing
from jobs.reading.source import Source
from jobs.scoring.run import score_monitor
from jobs.store import AlertQuery, AnomalyQuery, RequestQuery
from jobs.store.events import EventQuery
from jobs.store.requests import RETRY_DELAYS
from jobs.training import retraining
from jobs.training.retraining import work_requests
from jobs.training.train import TrainingOrder, train_monitor
from schemas.config import Config, parse_config
from schemas.errors import SourceAway, StoreError, UsageError

TINY = {"members": 1, "hidden": 8, "steps": 40}
FLOW, NOTE = 'flow" | <b>', "no `te`\n# x"
RECORDS = 600


def readings(first, count, shift=0.0, seed=1):
    rng = np.random.default_rng([seed, first])
    load = rng.normal(size=count)
    columns = {FLOW: load + shift, "pressure": 2 * load + 0.1 * rng.normal(size=count) + shift, NOTE: load > 0}
    times = pd.date_range("2026-01-01", periods=first + count, freq="min", tz="UTC")[first:]
    return pd.DataFrame({"read_at": times} | columns, index=pd.RangeIndex(first, first + count, name="id"))


class Plant:
    """A monitor named pump whose table grows, and a store."""

    def __init__(self, engine, store, now):
        self.engine, self.store, self.now, self.opened = engine, store, now, []
        self.grow(0, RECORDS)

    def grow(self, first, count, **what):
        readings(first, count, **what).to_sql("readings", self.engine, if_exists="append")

    def config(self, **settings):
        watched = {"table": "readings", "key": "id", "time": "read_at", "numeric": [FLOW, "pressure"]}
        given = watched | {"boolean": [NOTE], "false_positive_rate": 0.02, "model": TINY} | settings
        alerts = {"channels": {"ops": "json://host"}}
        return parse_config({"monitors": {"pump": given}, "alerts": alerts}, Path("config.toml"))

    def source(self, **settings):
        self.opened.append(Source("pump", self.config(**settings).monitor("pump"), self.engine))
        return self.opened[-1]

    def train(self, policy="always", **settings):
        return train_monitor(self.source(**settings), self.store, self.clock, order=TrainingOrder(policy))

    def retrain(self, **settings):
        self.store.requests.add("pump", "test", self.now)
        return self.work(**settings)

    def work(self, **settings):
        (done,) = work_requests(self.config(**settings), self.store, lambda _: self.source(**settings), self.clock)
        return done

    def clock(self):
        self.now += timedelta(seconds=1)
        return self.now

    def events(self, kind):
        return [event.message for event in self.store.events.page(EventQuery("pump", kind))]


@pytest.fixture
def plant(engine, store, now):
    plant = Plant(engine, store, now)
    yield plant
    for source in plant.opened:
        source.close()


def test_a_request_ends_in_a_champion_that_was_compared_on_records_new_to_both(plant):
    first = plant.train()
    assert (first.is_champion, first.verdict) == (True, "first")
    plant.grow(RECORDS, 400)
    done = plant.retrain()
    assert (done.state, done.training.is_champion, done.training.verdict) == ("done", True, "better"), done.message
    model = plant.store.models.get(done.training.model_id)
    compared = model.comparison
    assert (compared.champion_id, compared.records, compared.seen_by_champion) == (first.model_id, 100, 0)
    assert (compared.is_promoted, compared.notes) == (True, ())
    assert compared.challenger.elbo == pytest.approx(compared.champion.elbo, abs=0.5)
    assert model.card.training_records + model.card.calibration_records == 900
    (request,) = plant.store.requests.page(RequestQuery("pump"))
    assert (request.state, request.model_id, request.message) == ("done", model.id, compared.reason)
    assert plant.events("promoted")[0] == f"Model {model.id} is the champion of monitor 'pump'."


def test_labelled_records_count_in_the_comparison_and_stay_out_of_training(plant):
    plant.train()
    plant.grow(RECORDS, 300)
    plant.grow(RECORDS + 300, 4, shift=25.0)
    score_monitor(plant.source(), plant.store, plant.clock)
    for row in plant.store.anomalies.page(AnomalyQuery("pump")):
        is_fault = int(row.record_key) >= RECORDS + 300
        plant.store.anomalies.label(row.id, "confirmed" if is_fault else "false_positive", plant.now)
    model = plant.store.models.get(plant.retrain().training.model_id)
    assert model.about.training.left_out == {"labelled as an anomaly": 4}
    assert model.comparison.challenger.found["confirmed"] == FlaggedCount(4, 4)
    assert model.comparison.champion.found["false_alarms"].records > 0
    assert "4 labelled as an anomaly" in plant.store.models.card_markdown(model.id)


def test_ten_labels_raise_the_scores_of_what_deviates_alike_unless_switched_off(plant):
    plant.train()
    plant.grow(RECORDS, 300)
    plant.grow(RECORDS + 300, 12, shift=25.0)
    score_monitor(plant.source(), plant.store, plant.clock)
    for row in plant.store.anomalies.page(AnomalyQuery("pump")):
        label = "confirmed" if int(row.record_key) >= RECORDS + 300 else "false_positive"
        plant.store.anomalies.label(row.id, label, plant.now)
    model = plant.store.models.get(plant.retrain().training.model_id)
    assert (model.card.labels["confirmed"], model.card.labels["is_used"]) == (12, True)
    assert "they raise scores" in plant.store.models.card_markdown(model.id)
    silent = plant.store.models.get(plant.retrain(retrain={"learn_labels": False}).training.model_id)
    assert silent.card.labels is None


def test_a_fault_that_ended_without_a_label_is_not_learned_and_the_next_one_is_flagged(plant):
    plant.train()
    plant.grow(RECORDS, 300)
    plant.grow(RECORDS + 300, 40, shift=4.0)
    plant.grow(RECORDS + 340, 200)
    plant.now += timedelta(days=3)
    score_monitor(plant.source(), plant.store, plant.clock)
    done = plant.retrain()
    model = plant.store.models.get(done.training.model_id)
    assert done.training.is_champion, done.message
    assert 38 <= model.about.training.left_out["in an incident that nobody labelled as normal"] <= 44
    assert model.comparison.challenger.found["flagged"].flagged >= 36
    assert "flagged records that nobody labelled as normal" in model.comparison.reason
    plant.grow(RECORDS + 540, 40, shift=4.0)
    score_monitor(plant.source(), plant.store, plant.clock)
    flagged = plant.store.anomalies.page(AnomalyQuery("pump", limit=1_000))
    assert sum(int(row.record_key) >= RECORDS + 540 for row in flagged) >= 36


def test_a_worse_challenger_is_refused_reported_and_promoted_by_force_only(plant):
    champion = plant.train().model_id
    plant.grow(RECORDS, 300)
    poor = {"model": TINY | {"steps": 1, "score": "reconstruction_error"}}
    done = plant.retrain(**poor)
    assert (done.training.verdict, plant.store.models.champion("pump").model_id) == ("worse", champion)
    (message,) = plant.events("retrain_refused")
    assert message == f"Model {done.training.model_id} of monitor 'pump' was refused. {done.training.reason}"
    with writing(plant.engine) as connection:
        assert connection.execute(text("SELECT channel, reason FROM alerts")).all() == []  # whoever asked sees it
    with pytest.raises(UsageError, match=f"It is worse than model {champion}.*models promote 2 --force"):
        plant.store.models.promote(done.training.model_id, plant.now)
    plant.store.models.promote(done.training.model_id, plant.now, force=True)
    assert plant.store.models.champion("pump").model_id == done.training.model_id


def test_a_degenerate_model_is_refused_whoever_asks(plant, monkeypatch):
    champion = plant.train().model_id
    score = RecordScorer.score
    monkeypatch.setattr(RecordScorer, "score", lambda self, records: score(self, records).assign(anomaly_score=np.nan))
    for policy in ("always", "if_better"):
        report = plant.train(policy)
        assert (report.verdict, report.is_champion) == ("degenerate", False)
    assert plant.store.models.champion("pump").model_id == champion


def test_an_equal_challenger_waits_for_a_person_if_configured(plant):
    champion = plant.train().model_id
    plant.grow(RECORDS, 400)
    training = plant.retrain(retrain={"promote": "manual"}).training
    assert (training.verdict, training.is_champion) == ("better", False), training.reason
    plant.store.models.promote(training.model_id, plant.now)
    assert plant.store.models.roll_back("pump", plant.now) == champion


def test_without_new_records_a_note_says_that_the_champion_is_flattered(plant):
    plant.train()
    model = plant.store.models.get(plant.retrain().training.model_id)
    assert model.comparison.seen_by_champion == model.comparison.records == 60
    assert model.comparison.notes == ("The champion was made from 60 of the held-out records, which flatters it.",)


def test_other_features_are_compared_without_their_elbo(plant):
    plant.train(boolean=[])
    plant.grow(RECORDS, 300)
    compared = plant.store.models.get(plant.retrain().training.model_id).comparison
    assert compared.notes == ("The ELBOs do not compare, as their features differ.",)
    assert compared.challenger.elbo is compared.champion.elbo is None
    assert compared.champion.flagged < 20


def test_a_champion_that_lacks_a_column_now_gives_way(plant):
    plant.train()
    plant.grow(RECORDS, 300)
    training = plant.retrain(boolean=[]).training
    assert (training.verdict, training.is_champion) == ("first", True)
    (note,) = plant.store.models.get(training.model_id).comparison.notes
    assert note.startswith("The champion cannot score these records: The records lack the columns")


def test_a_champion_that_was_tampered_with_gives_way(plant):
    plant.train()
    with writing(plant.engine) as connection:
        connection.execute(text("UPDATE models SET sha256 = 'ab'"))
    training = plant.retrain().training
    assert training.is_champion
    assert "SHA-256" in plant.store.models.get(training.model_id).comparison.notes[0]


def test_a_training_that_cannot_work_fails_with_its_sentence_and_others_go_on(plant):
    config = plant.config().model_dump()
    lost = config["monitors"]["pump"] | {"table": "nowhere"}
    both = Config.model_validate(config | {"monitors": {"ghost": lost, "pump": config["monitors"]["pump"]}})
    for name in both.monitors:
        plant.store.requests.add(name, "test", plant.now)

    def open_source(name):
        plant.opened.append(Source(name, both.monitor(name), plant.engine))
        return plant.opened[-1]

    done = work_requests(both, plant.store, open_source, plant.clock)
    assert [(item.monitor, item.state) for item in done] == [("ghost", "failed"), ("pump", "done")]
    (failed,) = plant.store.requests.page(RequestQuery("ghost"))
    assert (failed.state, failed.message) == ("failed", done[0].message)
    assert "watches the table 'nowhere'" in failed.message


def test_a_training_whose_source_is_away_is_tried_again_and_given_up_with_an_alert(plant, tmp_path):
    away = open_engine(SecretStr(f"sqlite:///{tmp_path / 'away.db'}"))
    plant.store.requests.add("pump", "test", plant.now)

    def work():
        source = Source("pump", plant.config().monitor("pump"), away)
        return [done.state for done in work_requests(plant.config(), plant.store, lambda _: source, plant.clock)]

    for delay in RETRY_DELAYS:
        assert (work(), work(), plant.events("training_failed")) == (["put off"], [], [])
        plant.now += delay
    assert (work(), work()) == (["failed"], [])
    (request,) = plant.store.requests.page(RequestQuery("pump"))
    assert (request.state, request.message[:28]) == ("failed", "Given up after 6 attempts. T")
    (message,) = plant.events("training_failed")
    (alert,) = plant.store.outbox.page(AlertQuery())
    assert (alert.reason, alert.channel, "Given up after 6 attempts" in message) == ("event", "ops", True)


def test_a_defect_fails_the_request_too(plant, monkeypatch):
    def broken(*_args, **_more):
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(retraining, "train_monitor", broken)
    assert (plant.retrain().message, plant.store.models.all()) == ("ZeroDivisionError: division by zero", [])


@pytest.mark.parametrize(("raised", "state"), [(KeyboardInterrupt(), "pending"), (StoreError("away"), "running")])
def test_who_is_stopped_gives_the_request_back_and_a_store_that_is_away_waits_for_the_lease(
    plant, monkeypatch, raised, state
):
    def stopped(*_args, **_more):
        raise raised

    monkeypatch.setattr(retraining, "train_monitor", stopped)
    with pytest.raises(type(raised)):
        plant.retrain()
    assert plant.store.requests.page(RequestQuery("pump"))[0].state == state
    monkeypatch.undo()
    plant.now += timedelta(hours=1)
    assert plant.work().state == "done"


@pytest.mark.parametrize("raised", [None, SourceAway("away"), ValueError("a defect")])
def test_a_worker_that_outlived_its_lease_stores_nothing(plant, monkeypatch, raised):
    def overtaken(*arguments, **more):
        plant.now += timedelta(hours=1)
        assert plant.store.requests.claim("pump", plant.now, timedelta(hours=1)).attempts == 2
        if raised is not None:
            raise raised
        return train_monitor(*arguments, **more)

    monkeypatch.setattr(retraining, "train_monitor", overtaken)
    assert plant.retrain().state == "lost"
    assert plant.store.models.all() == []
    assert plant.store.requests.page(RequestQuery("pump"))[0].state == "running"


def test_a_card_shows_hostile_names_as_text(plant):
    card = plant.store.models.card_markdown(plant.train().model_id)
    assert 'flow" \\| \\<b\\>' in card
    assert "no \\`te\\` \\# x" in card
    assert "<b>" not in card
    assert [line for line in card.splitlines() if line.startswith("#")] == [
        "# Model card of monitor pump",
        *(f"## {title}" for title in ("Data", "Model", "Comparison with simple peers", "Comparison with the champion")),
        "## Decision",
        "## Limits",
    ]
