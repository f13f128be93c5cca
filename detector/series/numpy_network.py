"""The temporal variational autoencoder as a trained model scores with it: plain arrays, without Keras.

Notation: n records, d features of the profile, h hidden units, l latent dimensions. The same functions, with Keras'
`ops` in place of NumPy and one more axis of members, are what `network` trains.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from detector.core.neighbours import Neighbours
from detector.core.products import SERIES_BLOCK, in_blocks
from detector.series.channels import compress

SD_FLOOR = 0.05  # of a feature: one that is always rebuilt must not own the whole score
LOG_VAR_RANGE = (-8.0, 4.0)
LEAST_DEVIATION = 0.05  # added to a feature's: one that hardly moved must not own the whole score
NEIGHBOURS = 5

Weights = Mapping[str, Any]


def shapes(d: int, h: int, z: int) -> dict[str, tuple[int, ...]]:
    """Name and shape of every weight that scoring needs."""
    return {
        **_dense("encoder/input", d, h),
        **_dense("encoder/hidden", h, h),
        **_dense("encoder/mean", h, z),
        **_dense("encoder/log_var", h, z),
        "encoder/skip/kernel": (d, z),
        **_dense("decoder/input", z, h),
        **_dense("decoder/hidden", h, h),
        **_dense("decoder/output", h, d),
        "decoder/skip/kernel": (z, d),
        "decoder/log_sd": (1, d),
    }


def encode(xp: Any, w: Weights, x: Any, hint: Any = 0.0) -> tuple[Any, Any]:
    """Mean and log-variance of the posterior (..., n, l) for x (..., n, d); `hint` (..., n, h) says what is hidden."""
    h = _silu(xp, _affine(xp, w, "encoder/input", x) + hint)
    h = h + _silu(xp, _affine(xp, w, "encoder/hidden", h))
    mean = _affine(xp, w, "encoder/mean", h) + xp.matmul(x, w["encoder/skip/kernel"])
    return mean, xp.clip(_affine(xp, w, "encoder/log_var", h), *LOG_VAR_RANGE)


def decode(xp: Any, w: Weights, z: Any) -> tuple[Any, Any]:
    """Expected features (..., n, d) and the logarithm of their deviation (..., 1, d)."""
    h = _silu(xp, _affine(xp, w, "decoder/input", z))
    h = h + _silu(xp, _affine(xp, w, "decoder/hidden", h))
    expected = _affine(xp, w, "decoder/output", h) + xp.matmul(z, w["decoder/skip/kernel"])
    return expected, xp.logaddexp(w["decoder/log_sd"], float(np.log(SD_FLOOR)))


def surprise(xp: Any, x: Any, expected: Any, log_sd: Any) -> Any:
    """(..., n, d): negative log-likelihood of each feature in nats, without its constant."""
    return 0.5 * xp.square((x - expected) * xp.exp(-log_sd)) + log_sd


def divergence(xp: Any, mean: Any, log_var: Any) -> Any:
    """(..., n): of the posterior from the prior, in nats."""
    return 0.5 * xp.sum(xp.square(mean) + xp.exp(log_var) - log_var - 1.0, axis=-1)


def _affine(xp: Any, w: Weights, name: str, x: Any) -> Any:
    return xp.matmul(x, w[f"{name}/kernel"]) + w[f"{name}/bias"]


def _silu(xp: Any, x: Any) -> Any:
    return 0.5 * x * (1.0 + xp.tanh(0.5 * x))


def _dense(name: str, inputs: int, outputs: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}/kernel": (inputs, outputs), f"{name}/bias": (1, outputs)}


@dataclass(frozen=True)
class Scale:
    """Mean and deviation of each feature of the profile, (d,) float64."""

    mean: np.ndarray
    deviation: np.ndarray

    @classmethod
    def fit(cls, features: np.ndarray) -> Self:
        """The scale of training features (m, d)."""
        mean = features.mean(axis=0, dtype=np.float64)
        return cls(mean, features.std(axis=0, dtype=np.float64) + LEAST_DEVIATION)

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """(n, d) float32, standardised and compressed."""
        return compress((features - self.mean) / self.deviation).astype(np.float32)


@dataclass(frozen=True)
class Autoencoder:
    """A trained network and what training features look like to it.

    Attributes:
        scale: of the features.
        weights: an array of float32 for every name in `shapes`.
        typical: (1,) median loss of the training features, in nats.
        resolution: (l,) what the posterior can tell apart.
        latents: their posterior means in units of that.
    """

    scale: Scale
    weights: Mapping[str, np.ndarray]
    typical: np.ndarray
    resolution: np.ndarray
    latents: Neighbours

    @classmethod
    def of(cls, weights: Mapping[str, np.ndarray], scale: Scale, features: np.ndarray) -> Self:
        """The network with the training features (m, d) that it is to compare with."""
        loss, mean, log_var = _pass(weights, scale(features))
        resolution = np.exp(0.5 * log_var.astype(np.float64)).mean(axis=0)
        return cls(scale, weights, np.array([np.median(loss)]), resolution, Neighbours(_in_units(mean, resolution)))

    def scores(self, features: np.ndarray) -> np.ndarray:
        """(n, 2) of features (n, d): the loss beyond the typical one, and the distance to the nearest training latents.

        The loss is the negative ELBO at the posterior mean: nothing is drawn at random.
        """
        loss, mean, _ = _pass(self.weights, self.scale(features))
        distance = self.latents.mean_distance(_in_units(mean, self.resolution), NEIGHBOURS)
        return np.stack([np.maximum(loss - self.typical, 0), distance], axis=1)

    def to_state(self) -> dict[str, np.ndarray]:
        """Every number by name."""
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
        """The network that gave the state."""
        weights = {name.removeprefix("weights/"): array for name, array in state.items() if name.startswith("weights/")}
        scale = Scale(state["mean"], state["deviation"])
        return cls(scale, weights, state["typical"], state["resolution"], Neighbours(state["latents"]))


def _in_units(mean: np.ndarray, resolution: np.ndarray) -> np.ndarray:
    return (mean / resolution).astype(np.float32)


def _pass(weights: Mapping[str, np.ndarray], x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Loss (n,), posterior mean and log-variance (n, l) of standardised features (n, d), in blocks of one shape."""
    blocks = [_block(weights, block) for block in in_blocks(x, SERIES_BLOCK)]
    z = weights["encoder/mean/bias"].shape[1]
    empty = (np.zeros(0), np.zeros((0, z), np.float32), np.zeros((0, z), np.float32))
    return _stacked(blocks or [empty], len(x))


def _block(weights: Mapping[str, np.ndarray], x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    mean, log_var = encode(np, weights, x)
    nats = surprise(np, x, *decode(np, weights, mean)).sum(axis=1, dtype=np.float64)
    return nats + divergence(np, mean, log_var), mean, log_var


def _stacked(
    blocks: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]], n: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    loss, mean, log_var = (np.concatenate(parts)[:n] for parts in zip(*blocks, strict=True))
    return loss, mean, log_var
