"""What goes into the networks and what comes out of them, as plain arrays.

Shapes: n records, K members, d cells, l latent dimensions.
"""

from dataclasses import dataclass

import numpy as np

from detector.architecture import Architecture
from detector.preprocess import Matrix, squash


@dataclass(frozen=True)
class Inputs:
    """What the network sees and is measured against; each (n, K, d), `draw` (n, K, l); all float32.

    Attributes:
        visible: squashed cells, 0 where hidden or missing.
        hidden: 1 where a cell is hidden or missing.
        target: the cells to reconstruct.
        observed: 1 where there is a value to reconstruct.
        draw: standard normal draws; 0 decodes the posterior mean.
    """

    visible: np.ndarray
    hidden: np.ndarray
    target: np.ndarray
    observed: np.ndarray
    draw: np.ndarray

    def __len__(self) -> int:
        return len(self.visible)

    def as_dict(self) -> dict[str, np.ndarray]:
        """The arrays by name, as Keras takes them."""
        return {name: getattr(self, name) for name in ("visible", "hidden", "target", "observed", "draw")}


@dataclass(frozen=True)
class Posterior:
    """What the network says of n records.

    Attributes:
        z_mean: (n, K, l).
        z_log_var: (n, K, l); zeros for an autoencoder.
        expected: (n, K, d), the reconstruction in standardised units.
        nll: (n, K, d), negative log-likelihood of each observed cell in nats; that of a category is split
            over the cells of its feature.
        kl: (n, K), divergence from the prior in nats.
    """

    z_mean: np.ndarray
    z_log_var: np.ndarray
    expected: np.ndarray
    nll: np.ndarray
    kl: np.ndarray


def clean_inputs(
    matrix: Matrix, architecture: Architecture, hidden: np.ndarray | None = None, *, is_training: bool = False
) -> Inputs:
    """Records without noise, to be decoded at the posterior mean.

    Args:
        matrix: n records.
        architecture: of the network that will see them.
        hidden: (n, d), 1 where a cell is kept from the network beside the missing ones.
        is_training: targets are squashed in training; in scores they are not, so that distance keeps counting.
    """
    views = member_views(matrix, architecture.members)  # (n, K, d)
    missing = np.repeat(matrix.missing[:, None, :], architecture.members, axis=1).astype(np.float32)
    kept_back = missing if hidden is None else np.maximum(missing, hidden[:, None, :])
    target = squash(views)
    draw = np.zeros((len(matrix), architecture.members, architecture.latent), dtype=np.float32)
    return Inputs(target * (1 - kept_back), kept_back, target if is_training else views, 1 - missing, draw)


def member_views(matrix: Matrix, members: int) -> np.ndarray:
    """(n, K, d): even members see the standard view, odd ones the quantile view."""
    return np.stack([matrix.quantile if k % 2 else matrix.standard for k in range(members)], axis=1)
