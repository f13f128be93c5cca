"""The model card: its peers find easy anomalies, and it warns if the simplest peer is good enough."""

import json
from dataclasses import replace

import numpy as np
import pytest

from detector.core.baselines import RECORD_BASELINES
from detector.core.blob import digest
from detector.records.artifact import dump_artifact, load_artifact
from detector.records.card import PeerComparison, RecordCard
from detector.records.fitting import DecisionRule, fit_artifact
from detector.records.normal_records import NormalRecords
from detector.records.peer_comparison import compare_with_peers, realised_rates
from jobs.commands.card import describe_card
from jobs.kinds.record_card import knn_advice, rate_range
from jobs.output import Output
from tests.samples import FEATURES, SMALL

METHODS = {"model", *RECORD_BASELINES}


@pytest.fixture(scope="module")
def normal(normal_records):
    return NormalRecords(normal_records.iloc[:1000], normal_records.iloc[1000:])


@pytest.fixture(scope="module")
def card(artifact, normal):
    return compare_with_peers(artifact, normal)


def card_with(model, knn):
    kinds = {"perturbed": 0.01, "shuffled": -0.01}  # the mean decides, not one kind
    auroc = {kind: dict.fromkeys(METHODS, 0.5) | {"model": model + by, "knn": knn} for kind, by in kinds.items()}
    return PeerComparison(compared_records=100, auroc=auroc, realised_rates={})


@pytest.mark.parametrize("name", RECORD_BASELINES)
def test_a_peer_separates_records_off_a_line_from_records_on_it(name):
    rng = np.random.default_rng(0)
    line = rng.normal(size=(600, 1)) * [1.0, 2.0, 3.0] + 0.05 * rng.normal(size=(600, 3))
    score = RECORD_BASELINES[name](line[:500], 0)
    off = line[500:] + np.array([4.0, -4.0, 0.0])
    assert score(off).min() > np.quantile(score(line[500:]), 0.95)
    np.testing.assert_array_equal(score(off), RECORD_BASELINES[name](line[:500], 0)(off))


def test_principal_components_forgive_what_lies_in_their_plane():
    rng = np.random.default_rng(0)
    line = rng.normal(size=(600, 1)) * [1.0, 2.0, 3.0] + 0.05 * rng.normal(size=(600, 3))
    score = RECORD_BASELINES["pca"](line, 0)
    assert score(np.array([[10.0, 20.0, 30.0]])) < score(np.array([[0.0, 1.0, -1.0]]))


def test_a_card_compares_the_model_with_every_peer_on_every_kind(card):
    assert set(card.auroc) == {"perturbed", "shuffled", "scaled"}
    assert all(set(areas) == METHODS for areas in card.auroc.values())
    assert card.compared_records == 500
    assert card.auroc["perturbed"]["model"] > 0.9
    assert all(0.5 < areas["model"] <= 1 for areas in card.auroc.values())


def test_the_same_model_has_the_same_card_even_from_the_store(artifact, normal, card):
    blob = dump_artifact(artifact)
    assert compare_with_peers(load_artifact(blob, digest(blob)), normal) == card


def test_a_card_is_json(card):
    document = json.loads(json.dumps(card.to_json(), allow_nan=False))
    assert document["auroc"] == card.auroc
    assert document["mean_auroc"]["knn"] == pytest.approx(np.mean([areas["knn"] for areas in card.auroc.values()]))
    assert set(document["realised_rates"]) == {"0.1", "0.05", "0.01"}
    assert document["is_beaten_by_knn"] is card.is_beaten_by_knn


def test_knn_has_to_lead_clearly_for_a_warning():
    assert card_with(model=0.90, knn=0.93).is_beaten_by_knn
    assert not card_with(model=0.90, knn=0.91).is_beaten_by_knn
    assert not card_with(model=0.93, knn=0.90).is_beaten_by_knn


def test_a_model_that_learned_nothing_is_beaten_by_knn(normal):
    config = SMALL.model_copy(update={"steps": 1, "score": "elbo"})
    untrained = fit_artifact(normal, FEATURES, config, rule=DecisionRule(rate=0.01))
    assert compare_with_peers(untrained, normal).is_beaten_by_knn


def test_without_synthetic_anomalies_there_is_nothing_to_warn_of():
    card = PeerComparison(compared_records=100, auroc={}, realised_rates={})
    assert (card.mean_auroc, card.is_beaten_by_knn) == ({}, False)


def test_the_later_half_is_counted_against_a_threshold_of_the_earlier():
    steady = np.concatenate([np.arange(0.0, 400.0, 2), np.arange(1.0, 400.0, 2)])
    assert realised_rates(steady) == {0.1: 0.1, 0.05: 0.05, 0.01: 0.01}
    assert realised_rates(np.sort(steady))[0.1] == 1.0  # a process that drifts


def test_rates_that_too_few_records_cannot_resolve_are_left_out():
    assert list(realised_rates(np.arange(40.0))) == [0.1, 0.05]
    assert realised_rates(np.arange(2.0)) == {}


def test_the_range_of_the_realised_rate_is_that_of_the_scores_that_set_the_threshold():
    card = RecordCard(
        calibration_records=118, outliers=3, false_positive_rate=0.05, threshold=1.0, threshold_method="conformal"
    )
    assert rate_range(card) == "1.43% to 8.67%"
    assert rate_range(replace(card, threshold_method="pot")) is None
    assert rate_range(replace(card, outliers=117)) is None


def test_the_warning_gives_advice():
    card = RecordCard(score="combined", peers=card_with(model=0.90, knn=0.93))
    advice = knn_advice(card, "pump")
    assert "mean AUROC 0.930 against 0.900" in advice
    assert 'score = "joint_knn" under [monitors.pump.model]' in advice
    assert advice.endswith("plumbline evaluate pump")
    assert "joint_knn" not in knn_advice(replace(card, score="joint_knn"), "pump")
    assert knn_advice(replace(card, peers=card_with(model=0.93, knn=0.90)), "pump") is None


def test_a_shown_card_does_not_depend_on_the_order_of_its_keys(capsys, card):
    stored = RecordCard(score="combined", peers=card)
    describe_card(Output(is_json=False), stored, "pump")
    shown = capsys.readouterr().out
    again = RecordCard.from_json(json.loads(json.dumps(stored.to_json(), sort_keys=True)))
    describe_card(Output(is_json=False), again, "pump")
    assert capsys.readouterr().out == shown
    assert "isolation forest" in shown


def test_a_card_of_an_earlier_version_shows_nothing(capsys):
    describe_card(Output(is_json=False), RecordCard.from_json({"training_records": 700}), "pump")
    assert not capsys.readouterr().out
