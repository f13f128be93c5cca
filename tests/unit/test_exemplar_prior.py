"""The prior made of training records, and the score that uses it."""

import numpy as np
import pytest

from detector.records.exemplar_prior import ExemplarPrior
from detector.records.fitting import DecisionRule, fit_artifact
from detector.records.normal_records import NormalRecords
from detector.records.posterior import clean_inputs
from detector.records.reference import NeighbourReference, ReferenceSearch
from detector.records.scorer import RecordScorer
from tests.samples import FEATURES, SMALL, make_records

NONE = np.array([-1])


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_from_equal_exemplars_the_divergence_is_that_between_two_gaussians(rng):
    mean, sd = rng.normal(size=(1, 3, 2)), rng.uniform(0.5, 2, (3, 2))
    z_mean, z_log_var = rng.normal(size=(1, 3, 2)), rng.normal(size=(1, 3, 2))
    prior = ExemplarPrior(np.repeat(mean / sd, 4, axis=0), sd)
    variance = np.exp(z_log_var) / sd**2
    by_hand = 0.5 * (variance - 1 - np.log(variance) + ((z_mean - mean) / sd) ** 2).sum() / 3
    assert prior.divergence(z_mean, z_log_var, NONE) == pytest.approx(by_hand)


def test_the_divergence_is_at_least_that_from_the_mixture(rng):
    points = rng.normal(scale=2, size=(20, 1, 1))
    mean, sd = 0.7, 0.8
    bound = ExemplarPrior(points, np.ones((1, 1))).divergence(
        np.full((1, 1, 1), mean), np.full((1, 1, 1), 2 * np.log(sd)), NONE
    )
    draws = rng.normal(mean, sd, 100_000)
    log_mixture = np.log(np.exp(-0.5 * (draws[:, None] - points[:, 0, 0]) ** 2).mean(axis=1))
    log_own = -0.5 * ((draws - mean) / sd) ** 2 - np.log(sd)
    assert 0 < (log_own - log_mixture).mean() < bound[0]


def test_a_posterior_in_a_gap_between_exemplars_is_farther_than_one_among_them(rng):
    groups = np.concatenate([rng.normal(-5, 0.5, 50), rng.normal(5, 0.5, 50)])
    prior = ExemplarPrior(groups[:, None, None] / 0.3, np.full((1, 1), 0.3))
    z_log_var = np.full((2, 1, 1), 2 * np.log(0.3))
    between, among = prior.divergence(np.array([0.0, 5.0]).reshape(2, 1, 1), z_log_var, np.array([-1, -1]))
    assert between > among + 10


def test_a_record_is_no_exemplar_of_its_own(rng):
    points, z_log_var = rng.normal(size=(5, 2, 3)), np.zeros((1, 2, 3))
    sd = np.ones((2, 3))
    others = ExemplarPrior(np.delete(points, 3, axis=0), sd).divergence(points[3:4], z_log_var, NONE)
    assert ExemplarPrior(points, sd).divergence(points[3:4], z_log_var, np.array([3])) == pytest.approx(others)


@pytest.mark.parametrize(("has_joint_elbo", "is_farther"), [(True, True), (False, False)])
def test_members_that_resemble_different_exemplars_are_unusual_together_only(has_joint_elbo, is_farther):
    latents = np.array([[-5.0, -5.0], [5.0, 5.0]]) / np.sqrt(2)  # of two members, in joint coordinates
    reference = NeighbourReference(latents, np.ones((2, 1)), 2, has_joint_elbo=has_joint_elbo)
    prior = ReferenceSearch(reference, 1, "vae").prior
    z_mean = np.array([[-5.0, -5.0], [-5.0, 5.0]]).reshape(2, 2, 1)
    usual, mixed = prior.divergence(z_mean, np.zeros((2, 2, 1)), np.full(2, -1))
    assert (mixed > usual + 10) == is_farther


def test_a_training_record_is_scored_against_the_other_exemplars(normal_records):
    split = NormalRecords(normal_records.iloc[:1000], normal_records.iloc[1000:])
    config = SMALL.model_copy(update={"score": "elbo"})
    model = RecordScorer(fit_artifact(split, FEATURES, config, rule=DecisionRule(rate=0.01))).model
    assert (model.training_score(split.training) > model.anomaly_score(split.training)).all()


def test_the_elbo_of_an_autoencoder_is_its_log_likelihood(normal_records):
    config = SMALL.model_copy(update={"kind": "autoencoder", "score": "elbo", "steps": 20})
    split = NormalRecords(normal_records.iloc[:200], normal_records.iloc[200:400])
    model = RecordScorer(fit_artifact(split, FEATURES, config, rule=DecisionRule(rate=0.05))).model
    fresh = make_records(50, seed=2)
    matrix = model.encoder.encode(fresh)
    inputs = clean_inputs(matrix, model.network.architecture, squashes_target=True)
    nll = model.network.posterior(inputs).nll.sum(axis=1, dtype=np.float64)
    np.testing.assert_allclose(model.anomaly_score(fresh), nll)
