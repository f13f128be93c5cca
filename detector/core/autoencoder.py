"""The encoder and decoder that all networks share, written once for Keras ops and for NumPy (see `core.arrays`).

Each half has two layers of silu units, the second with a skip, and a linear skip past both. Shapes: n records,
d inputs, h units, l latent dimensions; any number of axes in front of them for networks that are computed together.

Sources: Kingma & Welling, *Auto-Encoding Variational Bayes* (2014), for the objective; Rybkin et al., *Simple and
Effective VAE Training with Calibrated Decoders* (2021), for the learned standard deviation with a floor.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from detector.core.arrays import Arrays

SD_FLOOR = 0.05  # of a Gaussian cell: a perfectly predicted cell must not own the whole score
LOG_VAR_RANGE = (-8.0, 4.0)
HALF_LOG_TWO_PI = 0.5 * float(np.log(2 * np.pi))  # nats, the constant of a Gaussian likelihood

Shapes = dict[str, tuple[int, ...]]


class EncoderDecoder:
    """Encoder and decoder as functions of their weights.

    Args:
        arrays: the array library.
        weights: by name, as `layer_shapes` lists them for "encoder/input", "encoder/hidden" and so on.
        encoder_skip: name of the kernel from the inputs to the posterior mean.
        decoder_skip: name of the kernel from the latents to the outputs.
    """

    def __init__(self, arrays: Arrays, weights: Mapping[str, Any], encoder_skip: str, decoder_skip: str) -> None:
        self.arrays, self.weights = arrays, weights
        self._encoder_skip, self._decoder_skip = encoder_skip, decoder_skip

    def hidden_units(self, x: Any, shift: Any = None) -> Any:
        """Return the encoder's last layer (..., n, h) for inputs (..., n, d).

        Args:
            x: the inputs.
            shift: (..., n, h), added before the first silu.
        """
        if shift is None:
            h = self._silu_layer("encoder/input", x)
        else:
            h = self.arrays.silu(self._layer("encoder/input", x) + shift)
        return h + self._silu_layer("encoder/hidden", h)

    def mean(self, h: Any, x: Any) -> Any:
        """Return the posterior mean (..., n, l) for hidden units (..., n, h) and inputs of the skip (..., n, d)."""
        return self._layer("encoder/mean", h) + self.arrays.matmul(x, self.weights[self._encoder_skip])

    def log_var(self, h: Any) -> Any:
        """Return the logarithm of the posterior variance (..., n, l) for hidden units (..., n, h)."""
        return self.arrays.clip(self._layer("encoder/log_var", h), *LOG_VAR_RANGE)

    def decode(self, z: Any) -> Any:
        """Return the outputs (..., n, d) for latents (..., n, l)."""
        h = self._silu_layer("decoder/input", z)
        h = h + self._silu_layer("decoder/hidden", h)
        return self._layer("decoder/output", h) + self.arrays.matmul(z, self.weights[self._decoder_skip])

    def log_sd(self) -> Any:
        """Return the logarithm of the learned standard deviations, with a smooth floor."""
        return self.arrays.logaddexp(self.weights["decoder/log_sd"], float(np.log(SD_FLOOR)))

    def _layer(self, name: str, x: Any) -> Any:
        return self.arrays.layer(x, self.weights[f"{name}/kernel"], self.weights[f"{name}/bias"])

    def _silu_layer(self, name: str, x: Any) -> Any:
        return self.arrays.silu_layer(x, self.weights[f"{name}/kernel"], self.weights[f"{name}/bias"])


def gaussian_nll(arrays: Arrays, x: Any, expected: Any, log_sd: Any) -> Any:
    """Return the negative log-likelihood in nats, without its constant."""
    return 0.5 * arrays.square((x - expected) * arrays.exp(-log_sd)) + log_sd


def divergence(arrays: Arrays, z_mean: Any, z_log_var: Any) -> Any:
    """Return the divergence in nats (..., n) of posteriors (..., n, l) from the standard normal prior."""
    return 0.5 * arrays.sum(arrays.square(z_mean) + arrays.exp(z_log_var) - z_log_var - 1.0, axis=-1)


def latent_size(width: int, largest: int) -> int:
    """Return the number of latent dimensions for d inputs, which grows with the square root of d.

    >>> [latent_size(d, largest=32) for d in (9, 38, 400)]
    [8, 14, 32]
    """
    return min(round(2 * np.sqrt(width) + 2), largest)


def layer_shapes(name: str, inputs: int, outputs: int, members: tuple[int, ...] = ()) -> Shapes:
    """Return the shapes of the kernel and the bias of a layer, by name."""
    return {f"{name}/kernel": (*members, inputs, outputs), f"{name}/bias": (*members, 1, outputs)}


def initial_weights(shapes: Mapping[str, tuple[int, ...]], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return Glorot-normal kernels and zeros for everything else, all float32."""
    weights = {}
    for name, shape in shapes.items():
        spread = np.sqrt(2.0 / (shape[-2] + shape[-1])) if name.endswith("kernel") else 0.0
        weights[name] = (spread * rng.standard_normal(shape)).astype(np.float32)
    return weights
