"""The forward pass of the networks of series: temporal autoencoders on features of a record and its past.

Written once for Keras ops, in which they are trained, and for NumPy, in which they score (see `core.arrays`).
Shapes: n records, d features, h hidden units, l latent dimensions; in training one more axis of K members in front.
"""

from collections.abc import Mapping
from typing import Any

from detector.core.arrays import Arrays
from detector.core.autoencoder import EncoderDecoder, Shapes, divergence, layer_shapes

ENCODER_SKIP, DECODER_SKIP = "encoder/skip/kernel", "decoder/skip/kernel"


def shapes(d: int, h: int, z: int) -> Shapes:
    """Return the shape of every weight that scoring needs, by name."""
    return {
        **layer_shapes("encoder/input", d, h),
        **layer_shapes("encoder/hidden", h, h),
        **layer_shapes("encoder/mean", h, z),
        **layer_shapes("encoder/log_var", h, z),
        ENCODER_SKIP: (d, z),
        **layer_shapes("decoder/input", z, h),
        **layer_shapes("decoder/hidden", h, h),
        **layer_shapes("decoder/output", h, d),
        DECODER_SKIP: (z, d),
        "decoder/log_sd": (1, d),
    }


class TemporalNetwork:
    """The forward pass, as a function of the weights.

    Args:
        arrays: the array library.
        weights: an array or a variable for every name in `shapes`.
    """

    def __init__(self, arrays: Arrays, weights: Mapping[str, Any]) -> None:
        self._arrays = arrays
        self._halves = EncoderDecoder(arrays, weights, ENCODER_SKIP, DECODER_SKIP)

    def encode(self, x: Any, hint: Any = None) -> tuple[Any, Any]:
        """Return mean and log-variance of the posterior (..., n, l) for features (..., n, d).

        Args:
            x: the features, 0 if hidden.
            hint: (..., n, h), added in the first layer for hidden features.
        """
        h = self._halves.hidden_units(x, hint)
        return self._halves.mean(h, x), self._halves.log_var(h)

    def nll(self, x: Any, z: Any) -> Any:
        """Return the nats of features (..., n, d) under decoded latents (..., n, l), without their constant."""
        return self.nats(self.residual(x, z))

    def residual(self, x: Any, z: Any) -> Any:
        """Return features less decoded latents in units of the learned standard deviations, (..., n, d)."""
        return (x - self._halves.decode(z)) * self._arrays.exp(-self._halves.log_sd())

    def nats(self, residual: Any) -> Any:
        """Return the nats of features (..., n, d) with residuals in units of the learned deviations."""
        return 0.5 * self._arrays.square(residual) + self._halves.log_sd()

    def divergence(self, mean: Any, log_var: Any) -> Any:
        """Return the divergence of the posterior from the prior in nats, (..., n)."""
        return divergence(self._arrays, mean, log_var)
