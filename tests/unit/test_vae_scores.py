"""The two scores of the VAE next to the anomaly score: what they are, and for which records they are computed."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from detector.core.autoencoder import HALF_LOG_TWO_PI
from detector.core.blob import digest
from detector.core.vae_scores import Scored, VaeScores
from detector.records.encoder import squash
from detector.records.keras_network import VAE
from detector.records.numpy_network import NumpyNetwork
from detector.records.posterior import clean_inputs
from detector.records.scorer import RecordScorer
from detector.series import Series, SeriesModel, SeriesSettings, keras_network
from detector.series.artifact import dump_series, load_series
from detector.series.numpy_network import Scale, TrainedNetwork
from schemas.errors import ConfigError
from schemas.frames import ANOMALY_SCORE, ELBO, IS_ANOMALY, RECONSTRUCTION_ERROR, VAE_COLUMNS
from tests.machines import channels, trained
from tests.samples import make_records

COLUMNS = list(VAE_COLUMNS)


@pytest.fixture(scope="module")
def records():
    fresh = make_records(600, seed=1)
    fresh.loc[:9, "flow"] = 500.0
    return fresh


@pytest.fixture(scope="module")
def scored(scorer, records):
    return scorer.score(records, "all")


def test_they_are_the_scores_that_a_model_could_be_calibrated_on(scorer, records, scored):
    alone = scorer.model.anomaly_scores(records, VAE_COLUMNS)
    for name in VAE_COLUMNS:
        np.testing.assert_array_equal(scored[name], alone[name])


@pytest.mark.parametrize("name", VAE_COLUMNS)
def test_a_model_calibrated_on_one_has_it_as_its_anomaly_score(artifact, records, scored, name):
    config = artifact.config.model_copy(update={"score": name})
    own = RecordScorer(replace(artifact, config=config)).score(records, "all")
    np.testing.assert_array_equal(own[ANOMALY_SCORE], own[name])
    pd.testing.assert_frame_equal(own[COLUMNS], scored[COLUMNS], check_exact=True)


@pytest.mark.parametrize("rate", [None, 0.3])
def test_if_only_anomalies_need_them_every_anomaly_has_them_to_the_bit(artifact, records, scored, rate):
    scorer = RecordScorer(artifact, false_discovery_rate=rate)
    flagged = scorer.score(records, "anomalies")
    has_scores = flagged[COLUMNS].notna().all(axis=1)
    assert 10 <= flagged[IS_ANOMALY].sum() <= has_scores.sum() < 400
    assert has_scores[flagged[IS_ANOMALY]].all()
    pd.testing.assert_frame_equal(flagged.loc[has_scores, COLUMNS], scored.loc[has_scores, COLUMNS], check_exact=True)
    np.testing.assert_array_equal(flagged[ANOMALY_SCORE], scored[ANOMALY_SCORE])
    assert scorer.score(records)[COLUMNS].isna().all(axis=None)


def test_the_networks_run_once_for_records_that_all_need_them(scorer, records):
    runs = []

    class Counted(NumpyNetwork):
        def posterior(self, inputs):
            runs.append(len(inputs))
            return super().posterior(inputs)

        def reconstruct(self, inputs):
            runs.append(len(inputs))
            return super().reconstruct(inputs)

    artifact = scorer.artifact
    network = Counted(artifact.architecture, artifact.encoder.layout, artifact.weights)
    own = (artifact.config, artifact.encoder, network, artifact.reference, artifact.typical_nll)
    RecordScorer(artifact, model=type(scorer.model)(*own)).score(records, "all")
    assert runs == [len(records)]


def test_those_of_records_follow_from_the_outputs_of_keras(scorer, records, scored):
    artifact = scorer.artifact
    inputs = clean_inputs(artifact.encoder.encode(records), artifact.architecture)
    outputs = VAE(artifact.architecture, artifact.encoder.layout, artifact.weights).predict_on_batch(inputs.as_dict())
    usual = artifact.reference.residuals(artifact.architecture.width).var(axis=0) + 0.05**2
    residual = np.where(inputs.observed[:, 0] > 0, inputs.target[:, 0] - outputs["expected"][:, 0], 0)
    error = (residual**2 / usual).sum(axis=1) / inputs.observed[:, 0].sum(axis=1)
    np.testing.assert_allclose(scored[RECONSTRUCTION_ERROR], error, rtol=1e-4)
    observed = {**inputs.as_dict(), "target": squash(inputs.target)}
    outputs = VAE(artifact.architecture, artifact.encoder.layout, artifact.weights).predict_on_batch(observed)
    from_prior = scorer.model._search.prior.divergence(outputs["z_mean"], outputs["z_log_var"], np.full(600, -1))
    np.testing.assert_allclose(scored[ELBO], outputs["nll"].sum(axis=1) + from_prior, rtol=1e-4, atol=1e-4)


def test_those_of_series_follow_from_the_outputs_of_keras():
    rng = np.random.default_rng(0)
    weights = keras_network._initial(1, 10, 4, rng)
    features = rng.standard_normal((64, 10))
    scale = Scale.fit(features)
    own = keras_network._trimmed(weights, 0, 10)
    _, vae = TrainedNetwork.of(own, scale, features).measure(features)
    x = scale(features)[None]
    nothing = {"hidden": np.zeros_like(x), "draw": np.zeros((1, 64, 4), np.float32), "is_real": np.ones_like(x)}
    outputs = keras_network.Members(weights).predict_on_batch({"visible": x, "target": x, **nothing})
    np.testing.assert_allclose(vae.elbo, outputs["nll"][0] + outputs["kl"][0] + 10 * HALF_LOG_TWO_PI, rtol=1e-5)
    log_sd = np.logaddexp(own["decoder/log_sd"], np.log(0.05)).sum()
    np.testing.assert_allclose(vae.reconstruction_error, 2 * (outputs["nll"][0] - log_sd) / 10, rtol=1e-4)


def test_a_model_of_series_without_a_network_has_none():
    series = Series(np.arange(200), np.random.default_rng(0).standard_normal((200, 2)))
    model = SeriesModel.fit({"pump": series}, SeriesSettings(network=False))
    assert model.scored("pump", series).vae is None


@pytest.fixture(scope="module")
def calibrated():
    """A model of series that is calibrated on its ELBO, and its artifact after it was stored."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keras_network, "STEPS", 60)
        artifact = trained(models="per_entity", network=True, score="elbo")
    blob = dump_series(artifact)
    return artifact.model, load_series(blob, digest(blob)).model


@pytest.mark.parametrize("end", [433, 1025])
def test_those_of_series_are_equal_to_the_bit_wherever_the_series_ends_and_after_it_was_stored(calibrated, end):
    model, stored = calibrated
    values = channels(1100, 5)
    whole = model.scored("a", Series(np.arange(1100), values))
    part = stored.scored("a", Series(np.arange(end), values[:end]))
    for name in VAE_COLUMNS:
        np.testing.assert_array_equal(getattr(part.vae, name), getattr(whole.vae, name)[:end])


def test_a_model_of_series_calibrated_on_its_elbo_flags_by_it(calibrated):
    model, stored = calibrated
    usual = model.scored("a", Series(np.arange(600), channels(600, 0)))
    np.testing.assert_array_equal(usual.scores, usual.vae.elbo)
    reference = model.reference("a")
    assert len(reference) == 120
    assert np.median(reference) == pytest.approx(np.median(usual.vae.elbo), abs=3)
    np.testing.assert_array_equal(stored.reference("a"), reference)
    broken = channels(600, 0)
    broken[500:520, 0] += 3
    assert (model.scores("a", Series(np.arange(600), broken))[500:520] > reference.max()).all()


def test_a_score_of_the_network_is_refused_without_one():
    with pytest.raises(ConfigError, match='score = "elbo" of series is a score of the network.*Set network = true'):
        SeriesSettings(score="elbo", network=False)


def test_scores_of_parts_are_joined_and_selected():
    parts = [Scored(np.array([number]), VaeScores.missing(1)) for number in (1.0, 2.0, 3.0)]
    parts[1].vae.put(np.array([0]), VaeScores(np.array([4.0]), np.array([5.0])))
    joined = Scored.concatenate(parts).at(np.array([2, 1]))
    np.testing.assert_array_equal(joined.scores, [3.0, 2.0])
    np.testing.assert_array_equal(joined.vae.elbo, [np.nan, 5.0])
    np.testing.assert_array_equal(joined.vae.reconstruction_error, [np.nan, 4.0])
