"""The networks in NumPy compute what they compute in Keras, and the same bits for a record in every batch."""

from dataclasses import replace

import numpy as np
import pytest

from detector.records.architecture import Architecture
from detector.records.encoder import Encoder
from detector.records.keras_network import VAE
from detector.records.numpy_network import NumpyNetwork
from detector.records.posterior import clean_inputs
from tests.samples import FEATURES, make_records


@pytest.fixture(scope="module")
def encoder(normal_records):
    return Encoder.fit(normal_records, FEATURES, 64)


def architecture_of(encoder, **settings):
    plain = Architecture("vae", "auto", 3, encoder.layout.width, 20, 5, learns_variance=True)
    return replace(plain, **settings)


def random_weights(architecture):
    rng = np.random.default_rng(0)
    return {name: rng.normal(0, 0.3, shape).astype(np.float32) for name, shape in architecture.shapes().items()}


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"members": 1},
        {"kind": "autoencoder"},
        {"likelihood": "mse"},
        {"likelihood": "bce", "learns_variance": False},
    ],
    ids=str,
)
def test_the_posterior_is_that_of_keras(encoder, settings):
    architecture = architecture_of(encoder, **settings)
    weights = random_weights(architecture)
    inputs = clean_inputs(encoder.encode(make_records(700, seed=1)), architecture)
    in_keras = VAE(architecture, encoder.layout, weights).predict_on_batch(inputs.as_dict())
    posterior = NumpyNetwork(architecture, encoder.layout, weights).posterior(inputs)
    for name, expected in in_keras.items():
        scale = np.abs(expected).max()
        np.testing.assert_allclose(getattr(posterior, name), expected, rtol=1e-5, atol=1e-5 * scale, err_msg=name)


def test_the_weights_in_keras_are_parts_of_one_variable_and_come_back_as_they_were(encoder):
    architecture = architecture_of(encoder)
    weights = random_weights(architecture)
    network = VAE(architecture, encoder.layout, weights)
    assert len(network.trainable_variables) == 1
    assert network.weights_by_name().keys() == weights.keys()
    for name, weight in network.weights_by_name().items():
        np.testing.assert_array_equal(weight, weights[name], err_msg=name)


@pytest.mark.parametrize("members", [1, 3, 12])
def test_a_record_has_the_same_bits_wherever_a_batch_is_cut(encoder, members):
    architecture = architecture_of(encoder, members=members)
    network = NumpyNetwork(architecture, encoder.layout, random_weights(architecture))
    matrix = encoder.encode(make_records(900, seed=1))
    whole = vars(network.posterior(clean_inputs(matrix, architecture)))
    for cut in ([1], [255, 258], [16, 17, 300]):
        inputs = [clean_inputs(matrix[rows], architecture) for rows in np.split(np.arange(900), cut)]
        parts = [network.posterior(part) for part in inputs]
        for name, expected in whole.items():
            np.testing.assert_array_equal(np.concatenate([getattr(part, name) for part in parts]), expected)


def test_a_reconstruction_is_that_of_the_posterior_to_the_bit(encoder):
    architecture = architecture_of(encoder)
    network = NumpyNetwork(architecture, encoder.layout, random_weights(architecture))
    inputs = clean_inputs(encoder.encode(make_records(300, seed=1)), architecture)
    reconstruction, posterior = network.reconstruct(inputs), network.posterior(inputs)
    np.testing.assert_array_equal(reconstruction.z_mean, posterior.z_mean)
    np.testing.assert_array_equal(reconstruction.expected, posterior.expected)
