"""Shapes of the networks, to rebuild them from stored arrays without importing Keras."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np


@dataclass(frozen=True)
class Architecture:
    """All that determines the shapes of a network, in addition to the layout of the cells."""

    kind: Literal["vae", "autoencoder"]
    likelihood: Literal["auto", "mse", "bce"]
    members: int
    width: int
    hidden: int
    latent: int
    learns_variance: bool  # of Gaussian cells, if there are any

    def to_state(self) -> dict[str, Any]:
        """Return the architecture as numbers and strings."""
        return asdict(self)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of every weight by name."""
        k, d, h, z = self.members, self.width, self.hidden, self.latent
        shapes: dict[str, tuple[int, ...]] = {
            **_dense("encoder/input", k, 2 * d, h),
            **_dense("encoder/hidden", k, h, h),
            **_dense("encoder/mean", k, h, z),
            "encoder/mean_skip/kernel": (k, d, z),
            **_dense("decoder/input", k, z, h),
            **_dense("decoder/hidden", k, h, h),
            **_dense("decoder/output", k, h, d),
            "decoder/output_skip/kernel": (k, z, d),
        }
        if self.kind == "vae":
            shapes |= _dense("encoder/log_var", k, h, z)
        if self.learns_variance:
            shapes["decoder/log_sd"] = (k, 2, d)  # of visible and of hidden cells
        return shapes


def latent_size(width: int) -> int:
    """Return the latent dimensions for d cells: d up to 8, then growing with the square root of d.

    >>> [latent_size(d) for d in (3, 9, 38, 400)]
    [3, 8, 14, 32]
    """
    return width if width <= 8 else int(np.clip(round(2 * np.sqrt(width) + 2), 2, 32))


def _dense(name: str, members: int, inputs: int, outputs: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}/kernel": (members, inputs, outputs), f"{name}/bias": (members, 1, outputs)}
