"""Inputs and outputs of the networks of records, as plain arrays.

Shapes: n records, K members, V views (2, or 1 for a single member), d cells, l latent dimensions.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from detector.records.architecture import Architecture
from detector.records.encoder import Matrix, squash


@dataclass(frozen=True)
class Inputs:
    """The inputs of the networks, all float32.

    The second axis counts views; or members, if each has its own records; or is 1, if all share one array.

    Attributes:
        visible: (n, V or K, d) squashed cells, 0 if hidden.
        hidden: (n, 1 or K, d), 1 if a cell is hidden or missing.
        target: (n, V or K, d), the cells to reconstruct.
        observed: (n, 1 or K, d), 1 if there is a value to reconstruct.
        draw: (n, 1 or K, l), standard normal draws; 0 decodes the posterior mean.
    """

    visible: np.ndarray
    hidden: np.ndarray
    target: np.ndarray
    observed: np.ndarray
    draw: np.ndarray

    def __len__(self) -> int:
        return len(self.visible)

    def parts(self, rows: int) -> Iterator["Inputs"]:
        """Yield the inputs in parts of `rows` records."""
        arrays = self.as_dict()
        for start in range(0, max(1, len(self)), rows):
            yield Inputs(**{name: array[start : start + rows] for name, array in arrays.items()})

    def as_dict(self) -> dict[str, np.ndarray]:
        """Return the arrays by name, as Keras takes them."""
        return {name: getattr(self, name) for name in ("visible", "hidden", "target", "observed", "draw")}


@dataclass(frozen=True)
class Reconstruction:
    """The latents of n records, and the expected cells.

    Attributes:
        z_mean: (n, K, l).
        expected: (n, V, d), the reconstruction in standardised units, averaged over the members of each view.
    """

    z_mean: np.ndarray
    expected: np.ndarray


@dataclass(frozen=True)
class Posterior(Reconstruction):
    """The latents, the expected cells and the likelihoods of n records.

    Attributes:
        z_log_var: (n, K, l); zeros for an autoencoder.
        nll: (n, d), negative log-likelihood of each observed cell in nats, averaged over members; the cost of a
            category is split over the cells of its feature.
        kl: (n,), divergence from the prior in nats, averaged over members.
    """

    z_log_var: np.ndarray
    nll: np.ndarray
    kl: np.ndarray


def clean_inputs(
    matrix: Matrix, architecture: Architecture, hidden: np.ndarray | None = None, *, squashes_target: bool = False
) -> Inputs:
    """Return the inputs of records without noise, to be decoded at the posterior mean.

    Args:
        matrix: n records.
        architecture: of the networks that will see them.
        hidden: (n, d), 1 if a cell is hidden from the networks in addition to the missing cells.
        squashes_target: whether the targets are squashed like the inputs, as in training and for the ELBO; if not, a
            distance far beyond the training records keeps counting.
    """
    views = np.stack([matrix.standard, matrix.quantile][: architecture.members], axis=1)  # (n, V, d)
    missing = matrix.missing[:, None, :].astype(np.float32)
    is_hidden = missing if hidden is None else np.maximum(missing, hidden[:, None, :]).astype(np.float32)
    target = squash(views)
    draw = np.zeros((len(matrix), 1, architecture.latent), dtype=np.float32)
    return Inputs(target * (1 - is_hidden), is_hidden, target if squashes_target else views, 1 - missing, draw)
