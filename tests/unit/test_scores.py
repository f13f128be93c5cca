"""The promises of every scoring configuration."""

from typing import get_args

import numpy as np
import pandas as pd
import pytest

from detector.core.blob import digest
from detector.core.calibration import benjamini_hochberg
from detector.records.artifact import dump_artifact, load_artifact
from detector.records.coordinates import input_coordinates, joint_coordinates, spaces_of, squashed_cells
from detector.records.fitting import DecisionRule, fit_artifact
from detector.records.model import CHUNK_RECORDS, SCORES
from detector.records.normal_records import NormalRecords
from detector.records.scorer import RecordScorer
from schemas.config import ModelConfig
from schemas.errors import RecordsError
from schemas.frames import SCORE_COLUMNS
from tests.samples import FEATURES, SMALL, make_records


@pytest.fixture(scope="module")
def records():
    fresh = make_records(700, seed=1)
    fresh.loc[0, "flow"] = 500.0
    fresh.loc[1, "mode"] = "never seen"
    fresh.loc[2, "load"] = np.nan
    return fresh


def test_every_score_can_be_configured():
    assert set(SCORES) == set(get_args(ModelConfig.model_fields["score"].annotation))


@pytest.mark.parametrize("name", SCORES)
def test_a_score_has_the_same_bits_whatever_the_order_and_the_neighbours_in_a_batch(scorer, records, name):
    whole = scorer.model.anomaly_scores(records, (name,))[name]
    order = np.random.default_rng(0).permutation(len(records))
    shuffled = scorer.model.anomaly_scores(records.iloc[order], (name,))[name]
    alone = scorer.model.anomaly_scores(records.iloc[3:4], (name,))[name]
    np.testing.assert_array_equal(whole[order], shuffled)
    np.testing.assert_array_equal(whole[3:4], alone)


@pytest.mark.parametrize("name", SCORES)
def test_a_score_has_the_same_bits_however_many_threads_work(scorer, name):
    many = make_records(2 * CHUNK_RECORDS + 300, seed=4)
    alone = scorer.model.anomaly_scores(many, (name,), threads=1)[name]
    together = scorer.model.anomaly_scores(many, (name,), threads=3)[name]
    np.testing.assert_array_equal(together, alone)
    pages = [scorer.model.anomaly_scores(page, (name,))[name] for page in (many.iloc[:4999], many.iloc[4999:])]
    np.testing.assert_array_equal(np.concatenate(pages), alone)


def test_the_scorer_decides_the_same_however_many_threads_work(artifact):
    many = make_records(CHUNK_RECORDS + 300, seed=4)
    one, three = (RecordScorer(artifact, threads=threads).score(many) for threads in (1, 3))
    pd.testing.assert_frame_equal(one, three, check_exact=True)


@pytest.mark.parametrize("name", SCORES)
def test_gross_errors_score_higher_than_normal_records(scorer, records, name):
    scores = scorer.model.anomaly_scores(records, (name,))[name]
    assert (scores[:3] > np.quantile(scores[3:], 0.95)).all()


def test_the_reconstruction_error_is_in_units_of_the_usual_one(scorer):
    scores = scorer.model.anomaly_scores(make_records(500, seed=3), ("reconstruction_error",))["reconstruction_error"]
    assert 0.7 < scores.mean() < 1.4


def test_a_stored_model_scores_the_same_bits(artifact, scorer, records):
    blob = dump_artifact(artifact)
    again = RecordScorer(load_artifact(blob, digest(blob)))
    pd.testing.assert_frame_equal(scorer.score(records), again.score(records), check_exact=True)


def test_scoring_does_not_change_the_records(scorer, records):
    before = records.copy(deep=True)
    scorer.score(records)
    pd.testing.assert_frame_equal(before, records)


def test_the_order_of_columns_does_not_matter(scorer, records):
    reordered = records[list(reversed(records.columns))]
    pd.testing.assert_frame_equal(scorer.score(records), scorer.score(reordered), check_exact=True)


def test_the_same_seed_trains_the_same_model_and_another_seed_another(normal_records, artifact):
    split = NormalRecords(normal_records.iloc[:1000], normal_records.iloc[1000:])
    again = fit_artifact(split, FEATURES, SMALL, rule=DecisionRule(rate=0.01))
    other = fit_artifact(split, FEATURES, SMALL.model_copy(update={"seed": 1}), rule=DecisionRule(rate=0.01))
    np.testing.assert_array_equal(artifact.calibration.scores, again.calibration.scores)
    assert (artifact.calibration.scores != other.calibration.scores).any()


def test_scores_come_with_p_values_and_decisions_on_the_records_index(scorer, records):
    shifted = records.set_index(records.index + 1000)
    scored = scorer.score(shifted)
    assert tuple(scored.columns) == SCORE_COLUMNS
    assert scored.index.equals(shifted.index)
    assert scored["is_anomaly"].iloc[:3].all()
    assert scored["is_anomaly"].equals(scored["p_value"] <= 0.01)
    assert (scored["threshold"] == scorer.threshold).all()


def test_a_false_discovery_rate_changes_decisions_and_thresholds_but_no_score(artifact, scorer, records):
    by_batch = RecordScorer(artifact, false_discovery_rate=0.5).score(records)
    pd.testing.assert_frame_equal(by_batch.iloc[:, :3], scorer.score(records).iloc[:, :3])
    decided = benjamini_hochberg(by_batch["p_value"].to_numpy(), 0.5)
    assert decided.any()
    np.testing.assert_array_equal(by_batch["is_anomaly"], decided)
    usual = RecordScorer(artifact, false_discovery_rate=1e-6).score(records)
    assert not usual["is_anomaly"].any()
    assert np.isinf(usual["threshold"]).all()


def test_no_records_are_refused(scorer, records):
    with pytest.raises(RecordsError, match="no records to score"):
        scorer.score(records.iloc[:0])


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "autoencoder"},
        {"likelihood": "mse", "score": "elbo"},
        {"likelihood": "bce", "score": "reconstruction_error"},
        {"members": 1, "score": "joint_knn"},
        {"latent": 2, "beta": 0.5, "score": "latent_knn"},
    ],
    ids=str,
)
def test_every_kind_of_model_finds_gross_errors(normal_records, records, changes):
    config = ModelConfig.model_validate({**SMALL.model_dump(), **changes})
    split = NormalRecords(normal_records.iloc[:1000], normal_records.iloc[1000:])
    scores = RecordScorer(fit_artifact(split, FEATURES, config, rule=DecisionRule(rate=0.01))).score(records)
    assert (scores["anomaly_score"].iloc[:3] > scores["anomaly_score"].iloc[3:].quantile(0.9)).all()


def test_an_autoencoder_has_no_divergence_from_the_prior(normal_records):
    config = SMALL.model_copy(update={"kind": "autoencoder", "steps": 20})
    split = NormalRecords(normal_records.iloc[:200], normal_records.iloc[200:400])
    model = RecordScorer(fit_artifact(split, FEATURES, config, rule=DecisionRule(rate=0.05))).model
    posterior = model._posterior(model.encoder.encode(normal_records))
    assert not posterior.kl.any()
    assert not posterior.z_log_var.any()


def test_the_ensemble_is_a_geometric_mean_in_units_of_the_usual_distance(artifact, scorer, records):
    model = scorer.model
    spaces, matrix = model._search.spaces, model.encoder.encode(records)
    posterior = model._posterior(matrix)
    points = joint_coordinates(matrix, posterior, artifact.reference.latent_sd)
    coordinates = spaces_of(input_coordinates(matrix, 2), points, artifact.reference.latent_sd)
    nats = matrix.violations * np.log(artifact.reference.n_train + 2)
    inputs, first, second, residuals = (
        1 + (space.search.blended_distance(place, 10) ** 2 + 2 * nats) / space.usual**2
        for space, place in zip(spaces, coordinates, strict=True)
    )
    expected = (inputs**2 * first * second * residuals) ** 0.1
    own = np.full(len(records), -1)
    surprise = np.mean([one.surprise(squashed_cells(matrix), own) for one in artifact.reference.contrasts], axis=0)
    expected = expected * np.exp(surprise / 2)
    np.testing.assert_allclose(model.anomaly_scores(records, ("ensemble",))["ensemble"], expected, rtol=1e-6)
    assert (expected >= 1).all()
    assert 1 < np.median(expected) < 3  # about 2, since the distances and the odds of most records are usual ones
