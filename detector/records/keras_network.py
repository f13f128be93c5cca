"""The networks of records as one Keras model, and their loss.

All randomness (initial weights, noise, masks, draws from the posterior) comes in as arrays, so a training step is a
pure function of its inputs on every Keras backend.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from keras import ops

from detector.core import autoencoder
from detector.core.keras_arrays import KerasArrays, Network, compile_for_training
from detector.records.architecture import Architecture
from detector.records.encoder import Layout
from detector.records.network import Networks

CLIP_NORM = 5.0


def initial_weights(architecture: Architecture, layout: Layout, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return the weights before training; the bias of a flag or a level is its base rate."""
    weights = autoencoder.initial_weights(architecture.shapes(), rng)
    if architecture.likelihood == "auto":
        shares = np.clip(layout.means, 1e-3, 1 - 1e-3)
        base = np.select(
            [layout.kinds == "binary", layout.kinds == "category"], [np.log(shares / (1 - shares)), np.log(shares)], 0.0
        )
        weights["decoder/output/bias"] += base.astype(np.float32)
    return weights


class VAE(Network):
    """K variational autoencoders as one batched model.

    Args:
        architecture: shapes and likelihood.
        layout: of the cells.
        weights: an array for every name in `architecture.shapes()`.
    """

    def __init__(self, architecture: Architecture, layout: Layout, weights: Mapping[str, np.ndarray]) -> None:
        super().__init__({name: weights[name] for name in architecture.shapes()})
        self.architecture, self._layout = architecture, layout

    def call(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Encode, draw, decode and measure: return the fields of `Posterior` for the fields of `Inputs`."""
        return Networks(KerasArrays(), self.architecture, self._layout, self.parts_by_name()).posterior(inputs)

    def training_loss(self, inputs: dict[str, Any], posterior: dict[str, Any]) -> Any:
        """Return the negative ELBO with the KL term weighted by beta, over the square root of the width."""
        nll = ops.sum(posterior["nll"], axis=-1)  # (n,)
        self.elbo_tracker.update_state(-ops.mean(nll + posterior["kl"]))
        loss = ops.mean(nll + ops.mean(inputs["beta"]) * posterior["kl"])
        return loss / float(np.sqrt(self.architecture.width))

    def prepare_training(self, learning_rate: float, weight_decay: float, steps: int) -> None:
        """Choose the optimiser."""
        compile_for_training(self, learning_rate, weight_decay, steps, CLIP_NORM)
