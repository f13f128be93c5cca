"""A trained temporal autoencoder in NumPy, for scoring: without Keras, and with the same bits in every batch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from detector.core.arrays import NumpyArrays
from detector.core.autoencoder import HALF_LOG_TWO_PI
from detector.core.neighbours import Neighbours
from detector.core.vae_scores import VaeScores
from detector.series.channels import compress
from detector.series.network import TemporalNetwork

DEVIATION_FLOOR = 0.05  # added to every deviation: a feature that hardly moved must not own the whole score
NEIGHBOURS = 5
CHUNK_RECORDS = 1024  # computed at once: small enough for the cache of the processor


@dataclass(frozen=True)
class Scale:
    """Mean and deviation of each feature of the profile, (d,) float64."""

    mean: np.ndarray
    deviation: np.ndarray

    @classmethod
    def fit(cls, features: np.ndarray) -> Self:
        """Fit the scale to training features (m, d)."""
        mean = features.mean(axis=0, dtype=np.float64)
        return cls(mean, features.std(axis=0, dtype=np.float64) + DEVIATION_FLOOR)

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Return standardised and compressed features, (n, d) float32."""
        return compress((features - self.mean) / self.deviation).astype(np.float32)


@dataclass(frozen=True)
class TrainedNetwork:
    """A trained network, with the training records in its latent space.

    Attributes:
        scale: of the features.
        weights: an array of float32 for every name in `shapes`.
        typical: (1,) median loss of the training features, in nats.
        resolution: (l,) mean standard deviation of the posteriors.
        latents: posterior means of the training features, in units of the resolution.
    """

    scale: Scale
    weights: Mapping[str, np.ndarray]
    typical: np.ndarray
    resolution: np.ndarray
    latents: Neighbours

    @classmethod
    def of(cls, weights: Mapping[str, np.ndarray], scale: Scale, features: np.ndarray) -> Self:
        """Return the network with the training features (m, d) that later features are compared with."""
        losses = _pass(weights, scale(features))
        resolution = np.exp(0.5 * losses.log_var.astype(np.float64)).mean(axis=0)
        latents = Neighbours(_in_units(losses.mean, resolution))
        return cls(scale, weights, np.array([np.median(losses.loss)]), resolution, latents)

    def measure(self, features: np.ndarray) -> tuple[np.ndarray, VaeScores]:
        """Return the signals (n, 2) and the VAE scores of n records, from one pass.

        The signals are the loss beyond the typical loss and the distance to the nearest training latents. The loss is
        the negative ELBO at the posterior mean, without the constant of the likelihood: nothing is drawn at random.
        """
        losses = _pass(self.weights, self.scale(features))
        distance = self.latents.mean_distance(_in_units(losses.mean, self.resolution), NEIGHBOURS)
        signals = np.stack([np.maximum(losses.loss - self.typical, 0), distance], axis=1)
        return signals, VaeScores(losses.error, losses.loss + HALF_LOG_TWO_PI * features.shape[1])

    def to_state(self) -> dict[str, np.ndarray]:
        """Return all arrays by name."""
        return {
            "mean": self.scale.mean,
            "deviation": self.scale.deviation,
            "typical": self.typical,
            "resolution": self.resolution,
            "latents": self.latents.points,
            **{f"weights/{name}": array for name, array in self.weights.items()},
        }

    @classmethod
    def from_state(cls, state: Mapping[str, np.ndarray]) -> Self:
        """Return the network of a state that `to_state` wrote."""
        weights = {name.removeprefix("weights/"): array for name, array in state.items() if name.startswith("weights/")}
        scale = Scale(state["mean"], state["deviation"])
        return cls(scale, weights, state["typical"], state["resolution"], Neighbours(state["latents"]))


def _in_units(mean: np.ndarray, resolution: np.ndarray) -> np.ndarray:
    return (mean / resolution).astype(np.float32)


@dataclass(frozen=True)
class _Losses:
    """The results of one pass.

    Attributes:
        loss: (n,) negative ELBO at the posterior mean in nats, without the constant of the likelihood.
        error: (n,) mean squared residual of the features, in units of their learned standard deviations.
        mean: (n, l) of the posterior.
        log_var: (n, l) of the posterior.
    """

    loss: np.ndarray
    error: np.ndarray
    mean: np.ndarray
    log_var: np.ndarray


def _pass(weights: Mapping[str, np.ndarray], x: np.ndarray) -> _Losses:
    """Run a network on standardised features (n, d)."""
    network = TemporalNetwork(NumpyArrays(), weights)
    parts = [_losses(network, x[start : start + CHUNK_RECORDS]) for start in range(0, max(1, len(x)), CHUNK_RECORDS)]
    return _Losses(*(np.concatenate(arrays) for arrays in zip(*(vars(part).values() for part in parts), strict=True)))


def _losses(network: TemporalNetwork, x: np.ndarray) -> _Losses:
    mean, log_var = network.encode(x)
    residual = network.residual(x, mean)
    nats = network.nats(residual).astype(np.float64).sum(axis=1)
    error = np.square(residual.astype(np.float64)).mean(axis=1)
    return _Losses(nats + network.divergence(mean, log_var), error, mean, log_var)
