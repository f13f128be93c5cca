"""Training: seeded, stopped early on the held-out ELBO, and without traces when it is interrupted."""

import numpy as np
import pytest
import tensorflow as tf

from detector.core.progress import EPOCH_STEPS, Epoch
from detector.records.encoder import Encoder
from detector.records.fitting import DecisionRule, fit_artifact
from detector.records.keras_network import VAE
from detector.records.network_training import _split, fit_network
from detector.records.normal_records import NormalRecords
from detector.records.posterior import clean_inputs
from schemas.config import ModelConfig
from schemas.errors import BackendError, ConfigError
from tests.samples import FEATURES, make_records

CONFIG = ModelConfig(members=2, hidden=8, latent=3, steps=120)


@pytest.fixture(scope="module")
def encoded(normal_records):
    """Return the matrix of the records and its layout."""
    encoder = Encoder.fit(normal_records, FEATURES, CONFIG.max_levels)
    return encoder.encode(normal_records), encoder.layout


def train(encoded, progress=None, **changes):
    return fit_network(*encoded, ModelConfig.model_validate({**CONFIG.model_dump(), **changes}), progress)


@pytest.fixture(scope="module")
def trained(encoded):
    return train(encoded)


def divergence(trained, encoded):
    """Return mean nats between the posterior and the prior."""
    return trained.network.posterior(clean_inputs(encoded[0], trained.network.architecture)).kl.mean()


def test_the_history_has_an_epoch_for_every_fifty_steps_begun(trained):
    assert [(epoch.number, epoch.of) for epoch in trained.history] == [(1, 3), (2, 3), (3, 3)]
    assert np.isfinite([[epoch.elbo, epoch.held_out_elbo] for epoch in trained.history]).all()
    assert trained.history[-1].held_out_elbo > trained.history[0].held_out_elbo


def test_progress_hears_of_every_epoch_when_it_ends(encoded):
    heard = []
    trained = train(encoded, heard.append, steps=EPOCH_STEPS + 1)
    assert tuple(heard) == trained.history
    assert [type(epoch) for epoch in heard] == [Epoch, Epoch]


def test_training_takes_as_many_steps_as_configured(trained):
    assert trained.steps == CONFIG.steps


def test_training_stops_when_the_held_out_elbo_stops_growing(encoded):
    trained = train(encoded, steps=2000, patience=2, warm_up=0.0, learning_rate=1e-8)
    assert len(trained.history) == 3  # the first is the best there is, the next two are no better
    assert trained.history[-1].of == 40


def test_training_does_not_stop_while_the_divergence_warms_up(encoded):
    trained = train(encoded, steps=400, patience=1, warm_up=0.75, learning_rate=1e-8)
    assert len(trained.history) == 7  # of 8: the first one behind three quarters


def test_the_weights_are_those_of_the_best_epoch():
    records = make_records(60)
    encoder = Encoder.fit(records, FEATURES, 8)
    matrix = encoder.encode(records)
    # so few records without noise are learned by heart, and others fare worse and worse
    trained = train((matrix, encoder.layout), steps=400, beta=0, mask_rate=0, noise=0, patience=9, learning_rate=0.02)
    held_out = [epoch.held_out_elbo for epoch in trained.history]
    assert max(held_out) > held_out[-1] + 0.1
    rows, _ = _split(60, np.random.default_rng(CONFIG.seed))
    posterior = trained.network.posterior(
        clean_inputs(matrix[rows], trained.network.architecture, squashes_target=True)
    )
    elbo = -(posterior.nll.sum(axis=1) + posterior.kl).mean()
    assert elbo == pytest.approx(max(held_out), rel=1e-4)


def test_the_same_seed_repeats_every_weight_and_another_seed_none(encoded, trained):
    again, other = train(encoded), train(encoded, seed=1)
    assert again.history == trained.history
    for name, weight in trained.network.weights.items():
        np.testing.assert_array_equal(weight, again.network.weights[name], err_msg=name)
        assert (weight != other.network.weights[name]).any(), name


def test_the_members_of_an_ensemble_differ(trained):
    kernel = trained.network.weights["encoder/input/kernel"]
    assert not np.allclose(kernel[0], kernel[1])


def test_without_its_weight_the_divergence_from_the_prior_grows(encoded, trained):
    assert divergence(train(encoded, beta=0.0), encoded) > 1.5 * divergence(trained, encoded)
    assert divergence(train(encoded, beta=10.0), encoded) < 0.7 * divergence(trained, encoded)


@pytest.fixture
def memory_of(monkeypatch):
    """Return a function that lets the device hold some records at once, and raise an error of a backend otherwise."""

    def limit(records, error):
        def limited(step):
            def run(network, inputs, **options):
                if len(inputs["target"]) > records:
                    raise error
                return step(network, inputs, **options)

            return run

        for name in ("train_on_batch", "test_on_batch"):
            monkeypatch.setattr(VAE, name, limited(getattr(VAE, name)))

    return limit


JAX_ERROR = RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 4096 bytes.")


def test_a_training_that_runs_out_of_memory_starts_again_with_half_the_batch(encoded, memory_of):
    smaller = train(encoded, batch_size=32)
    memory_of(40, tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor"))
    with pytest.warns(UserWarning, match="ran out of memory; starting again with batches of (64|32)"):
        halved = train(encoded, batch_size=128)
    for name, weight in smaller.network.weights.items():
        np.testing.assert_array_equal(halved.network.weights[name], weight, err_msg=name)
    held_out = [[epoch.held_out_elbo for epoch in training.history] for training in (smaller, halved)]
    assert held_out[1] == pytest.approx(held_out[0], rel=1e-5)  # of the same records, in parts


def test_a_device_that_holds_no_record_and_other_errors_are_reported(encoded, memory_of):
    memory_of(0, JAX_ERROR)
    with (
        pytest.warns(UserWarning, match="batches of 1"),
        pytest.raises(BackendError, match="too little memory for a single record"),
    ):
        train(encoded, batch_size=2)
    memory_of(0, ValueError("shapes differ"))
    with pytest.raises(ValueError, match="shapes differ"):
        train(encoded)


def test_an_interruption_reaches_the_caller_and_leaves_nothing_behind(normal_records, tmp_path, monkeypatch):
    def interrupt(_epoch):
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    normal = NormalRecords(normal_records.iloc[:300], normal_records.iloc[300:500])
    with pytest.raises(KeyboardInterrupt):
        fit_artifact(normal, FEATURES, CONFIG, rule=DecisionRule(rate=0.05), progress=interrupt)
    assert not list(tmp_path.iterdir())


def test_an_interrupted_training_does_not_change_the_next(encoded, trained):
    def interrupt(epoch):
        if epoch.number == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(encoded, interrupt)
    assert train(encoded).history == trained.history


def test_a_training_that_diverges_is_refused(encoded):
    with pytest.raises(
        ConfigError, match=r"Training diverged: the ELBO of epoch 1 is nan.*`learning_rate` \(now 1e\+20\)"
    ):
        train(encoded, learning_rate=1e20)


def test_training_does_not_change_the_matrix(encoded):
    matrix, _ = encoded
    before = matrix.standard.copy(), matrix.quantile.copy(), matrix.missing.copy()
    train(encoded, steps=2)
    for now, kept in zip((matrix.standard, matrix.quantile, matrix.missing), before, strict=True):
        np.testing.assert_array_equal(now, kept)


def test_fewer_records_than_a_batch_are_enough():
    records = make_records(12)
    encoder = Encoder.fit(records, FEATURES, 8)
    trained = train((encoder.encode(records), encoder.layout), steps=5)
    assert np.isfinite(trained.history[-1].held_out_elbo)
