"""The trained networks of records in NumPy, for scoring: without Keras, and with the same bits in every batch."""

from collections.abc import Mapping

import numpy as np

from detector.core.arrays import NumpyArrays
from detector.records.architecture import Architecture
from detector.records.encoder import Layout
from detector.records.likelihoods import draw
from detector.records.network import Networks
from detector.records.posterior import Inputs, Posterior, Reconstruction

CHUNK_RECORDS = 256  # computed at once: small enough for the cache of the processor


class NumpyNetwork:
    """K trained networks.

    Args:
        architecture: shapes and likelihood.
        layout: of the cells.
        weights: an array for every name in `architecture.shapes()`.
    """

    def __init__(self, architecture: Architecture, layout: Layout, weights: Mapping[str, np.ndarray]) -> None:
        self.architecture, self.weights = architecture, weights
        self._layout = layout
        self._networks = Networks(NumpyArrays(), architecture, layout, weights)

    @property
    def work_per_record(self) -> int:
        """The number of multiplications that a record takes."""
        return sum(weight.size for name, weight in self.weights.items() if name.endswith("kernel"))

    def reconstruct(self, inputs: Inputs) -> Reconstruction:
        """Return the latents and the expected cells of n records, which suffice for most scores."""
        parts = [self._networks.reconstruct(part.visible, part.hidden) for part in inputs.parts(CHUNK_RECORDS)]
        return Reconstruction(**{name: np.concatenate([part[name] for part in parts]) for name in parts[0]})

    def posterior(self, inputs: Inputs) -> Posterior:
        """Return the latents, the expected cells and the likelihoods of n records."""
        parts = [self._networks.posterior(part.as_dict()) for part in inputs.parts(CHUNK_RECORDS)]
        return Posterior(**{name: np.concatenate([part[name] for part in parts]) for name in parts[0]})

    def generate(self, n: int, sd: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Decode n draws from the prior to standardised cells (n, d), with noise of standard deviations (d,)."""
        k, latent = self.architecture.members, self.architecture.latent
        expected = self._networks.expected(rng.standard_normal((k, n, latent)).astype(np.float32))  # (K, n, d)
        member = 2 * rng.integers(0, (k + 1) // 2, n)  # of the standard view
        return draw(self._layout, expected[member, np.arange(n)], sd, rng)
