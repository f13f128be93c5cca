"""Measuring: results of a trained model on held-out, known and synthetic records."""

from dataclasses import replace

import numpy as np
import pytest

from detector.core.calibration import Calibration
from detector.core.comparison import Comparison
from detector.records.fitting import DecisionRule, fit_artifact
from detector.records.held_out import HeldOutRecords, flagged_tolerance, measure
from detector.records.held_out_elbo import elbo_difference, held_out_elbo
from detector.records.normal_records import NormalRecords
from detector.records.scorer import RecordScorer
from tests.samples import FEATURES, SMALL, make_records

NEWER = make_records(800, seed=1)


@pytest.fixture(scope="module")
def faults():
    return NEWER.tail(20).assign(pressure=90.0)


@pytest.fixture(scope="module")
def trial(artifact, faults):
    labelled = {"confirmed": faults, "labelled": faults.head(0)}
    return HeldOutRecords.of(NEWER.head(600), NEWER.head(0), labelled, artifact.encoder, 0)


@pytest.fixture(scope="module")
def performance(scorer, trial):
    return measure(scorer, trial, 0.01, with_elbo=True)


def trained(records, **settings):
    split = NormalRecords(records.iloc[:1000], records.iloc[1000:])
    return RecordScorer(fit_artifact(split, FEATURES, SMALL.model_copy(update=settings), rule=DecisionRule(rate=0.01)))


def test_a_sound_model_keeps_its_rate_and_finds_what_is_wrong(performance):
    assert performance.fault is None
    assert performance.tolerance[0] <= performance.flagged <= performance.tolerance[1] < 40
    assert (performance.found["confirmed"].flagged, performance.found["confirmed"].records) == (20, 20)
    assert set(performance.found) == {"confirmed"}
    assert performance.auroc["perturbed"] > 0.9
    assert performance.recall["perturbed"] > 0.5
    assert performance.rate == performance.flagged / 600


def test_a_trial_repeats_to_the_bit(scorer, trial, performance, artifact, faults):
    again = HeldOutRecords.of(NEWER.head(600), NEWER.head(0), {"confirmed": faults}, artifact.encoder, 0)
    assert measure(scorer, again, 0.01, with_elbo=True) == performance


def test_without_held_out_records_anomalies_are_made_of_spare_records(scorer, artifact):
    trial = HeldOutRecords.of(NEWER.head(0), NEWER.tail(100), {}, artifact.encoder, 0)
    performance = measure(scorer, trial, 0.01, with_elbo=True)
    assert (performance.records, performance.flagged, performance.elbo) == (0, 0, None)
    assert performance.auroc["perturbed"] > 0.9


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"scores": np.full(500, 2.0)}, None),
        ({"scores": np.array([1.0, np.nan])}, "its scores are not all finite"),
    ],
)
def test_scores_that_are_not_finite_are_a_fault(artifact, trial, change, fault):
    scorer = RecordScorer(replace(artifact, calibration=replace(artifact.calibration, **change)))
    assert measure(scorer, trial, 0.01, with_elbo=False).fault == fault


def test_one_score_for_every_record_is_a_fault_and_degenerate(artifact, trial):
    class Constant(RecordScorer):
        def score(self, records):
            return super().score(records).assign(anomaly_score=1.5)

    scorer = Constant(replace(artifact, calibration=Calibration.fit(np.full(500, 1.5))))
    performance = measure(scorer, trial, 0.01, with_elbo=False)
    assert performance.fault == "it gives every normal record the same score, 1.5"
    assert Comparison(performance, None, None, 0.01, 10, 600, 0).verdict == "degenerate"


def test_99_of_100_sound_models_flag_a_number_within_the_tolerance(artifact):
    rng = np.random.default_rng(0)
    scores = rng.random((4000, 299 + 500))
    scorer = RecordScorer(replace(artifact, calibration=Calibration.fit(scores[0, :299])))
    low, high = flagged_tolerance(500, 0.02, scorer)
    thresholds = np.sort(scores[:, :299])[:, 299 - 6]  # the rank is 6 of 300
    flagged = (scores[:, 299:] > thresholds[:, None]).sum(axis=1)
    assert ((low <= flagged) & (flagged <= high)).mean() == pytest.approx(0.99, abs=0.006)


def test_the_elbo_is_in_units_of_the_data_whatever_a_model_standardises_by(normal_records):
    held_out = NEWER.head(400)
    one, other = trained(normal_records), trained(make_records(1500, seed=5))
    in_thousands = {name: 1000 * normal_records[name] for name in ("load", "flow", "pressure")}
    scaled = trained(normal_records.assign(**in_thousands))
    units = (2 + held_out["pressure"].notna().mean()) * np.log(1000)
    elbo = held_out_elbo(one, held_out)
    of_scaled = held_out_elbo(scaled, held_out.assign(**{name: 1000 * held_out[name] for name in in_thousands}))
    assert of_scaled == pytest.approx(elbo - units, abs=0.01)
    assert held_out_elbo(other, held_out) == pytest.approx(elbo, abs=0.6)
    assert held_out_elbo(trained(normal_records, steps=5), held_out) < elbo - 1


def test_elbos_without_common_units_are_not_comparable(scorer, normal_records):
    assert elbo_difference(scorer, scorer) is None
    fewer = normal_records.assign(mode="low").astype({"mode": "str"})
    fewer.loc[0, "mode"] = "high"
    assert elbo_difference(scorer, trained(fewer)) == "they encode 'mode' differently"
    assert "autoencoder" in elbo_difference(scorer, trained(normal_records, kind="autoencoder"))
    renamed = replace(scorer.artifact.encoder, columns=scorer.artifact.encoder.columns[1:])
    other = RecordScorer(scorer.artifact)
    other.artifact = replace(scorer.artifact, encoder=renamed)
    assert elbo_difference(scorer, other) == "their features differ"
