"""The networks in NumPy say what they say in Keras."""

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
def test_latents_and_reconstruction_are_those_of_keras(encoder, settings):
    architecture = architecture_of(encoder, **settings)
    weights = random_weights(architecture)
    inputs = clean_inputs(encoder.encode(make_records(700, seed=1)), architecture)
    posterior = VAE(architecture, encoder.layout, weights).posterior(inputs)
    found = NumpyNetwork(architecture, encoder.layout, weights)(inputs)
    np.testing.assert_allclose(found.z_mean, posterior.z_mean, atol=2e-5)
    np.testing.assert_allclose(found.expected, posterior.expected, atol=2e-4)


def test_what_is_said_of_a_record_has_the_same_bits_wherever_a_batch_is_cut(encoder):
    architecture = architecture_of(encoder)
    forward = NumpyNetwork(architecture, encoder.layout, random_weights(architecture))
    matrix = encoder.encode(make_records(900, seed=1))
    whole = forward(clean_inputs(matrix, architecture))
    for cut in ([1], [255, 258], [16, 17, 300]):
        parts = [forward(clean_inputs(matrix[rows], architecture)) for rows in np.split(np.arange(900), cut)]
        np.testing.assert_array_equal(np.concatenate([part.z_mean for part in parts]), whole.z_mean)
        np.testing.assert_array_equal(np.concatenate([part.expected for part in parts]), whole.expected)
