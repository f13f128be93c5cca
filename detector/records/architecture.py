"""Architecture: the shapes of the networks, which rebuild them from stored arrays without importing Keras."""

from dataclasses import asdict, dataclass
from typing import Any

from detector.core import autoencoder
from detector.core.autoencoder import Shapes, layer_shapes
from schemas.config import Likelihood, NetworkKind

ENCODER_SKIP, DECODER_SKIP = "encoder/mean_skip/kernel", "decoder/output_skip/kernel"
MAX_LATENT_DIMENSIONS = 32
MAX_UNCOMPRESSED_CELLS = 8  # with so many cells or fewer there are as many latent dimensions as cells


@dataclass(frozen=True)
class Architecture:
    """The numbers and choices that determine the shapes of the networks."""

    kind: NetworkKind
    likelihood: Likelihood
    members: int
    width: int
    hidden: int
    latent: int
    learns_variance: bool  # of Gaussian cells, if there are any

    def to_state(self) -> dict[str, Any]:
        """Return the architecture as numbers and strings."""
        return asdict(self)

    def shapes(self) -> Shapes:
        """Return the shape of every weight, by name."""
        members, d, h, z = (self.members,), self.width, self.hidden, self.latent
        shapes: Shapes = {
            **layer_shapes("encoder/input", 2 * d, h, members),
            **layer_shapes("encoder/hidden", h, h, members),
            **layer_shapes("encoder/mean", h, z, members),
            ENCODER_SKIP: (*members, d, z),
            **layer_shapes("decoder/input", z, h, members),
            **layer_shapes("decoder/hidden", h, h, members),
            **layer_shapes("decoder/output", h, d, members),
            DECODER_SKIP: (*members, z, d),
        }
        if self.kind == "vae":
            shapes |= layer_shapes("encoder/log_var", h, z, members)
        if self.learns_variance:
            shapes["decoder/log_sd"] = (*members, 2, d)  # of visible and of hidden cells
        return shapes


def latent_size(width: int) -> int:
    """Return the number of latent dimensions for d cells: d up to 8, then growing with the square root of d.

    >>> [latent_size(d) for d in (3, 9, 38, 400)]
    [3, 8, 14, 32]
    """
    return width if width <= MAX_UNCOMPRESSED_CELLS else autoencoder.latent_size(width, MAX_LATENT_DIMENSIONS)
