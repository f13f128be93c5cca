"""The two scores of a variational autoencoder, which every scored record has next to its anomaly score."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self, TypeAlias

import numpy as np

VaeRecords: TypeAlias = Literal["none", "anomalies", "all"]
"""The records of a page whose VAE scores are computed."""


@dataclass(frozen=True)
class VaeScores:
    """The scores of a variational autoencoder for n records, both higher for more anomalous records.

    Attributes:
        reconstruction_error: (n,) float64, mean squared residual, each cell in units of its usual residual; NaN if it
            was not computed.
        elbo: (n,) float64, the negative ELBO at the posterior mean in nats; NaN if it was not computed.
    """

    reconstruction_error: np.ndarray
    elbo: np.ndarray

    @classmethod
    def missing(cls, n: int) -> Self:
        """Return the scores of n records for which none was computed."""
        return cls(np.full(n, np.nan), np.full(n, np.nan))

    @classmethod
    def concatenate(cls, parts: Sequence[Self]) -> Self:
        """Return the scores of all parts, of which there is at least one."""
        errors, elbos = zip(*((part.reconstruction_error, part.elbo) for part in parts), strict=True)
        return cls(np.concatenate(errors), np.concatenate(elbos))

    def at(self, rows: np.ndarray | slice) -> Self:
        """Return the scores of the records at some positions."""
        return type(self)(self.reconstruction_error[rows], self.elbo[rows])

    def put(self, rows: np.ndarray, scores: "VaeScores") -> None:
        """Write the scores of m records at the positions (m,)."""
        self.reconstruction_error[rows] = scores.reconstruction_error
        self.elbo[rows] = scores.elbo


@dataclass(frozen=True)
class Scored:
    """The scores of n records from one pass of a model.

    Attributes:
        scores: (n,) float64, the anomaly scores.
        vae: the scores of its variational autoencoder; None if the model has none.
    """

    scores: np.ndarray
    vae: VaeScores | None = None

    @classmethod
    def concatenate(cls, parts: Sequence[Self]) -> Self:
        """Return the scores of all parts, of which there is at least one; all of them are of one model."""
        of_vae = [part.vae for part in parts if part.vae is not None]
        return cls(np.concatenate([part.scores for part in parts]), VaeScores.concatenate(of_vae) if of_vae else None)

    def at(self, rows: np.ndarray | slice) -> Self:
        """Return the scores of the records at some positions."""
        return type(self)(self.scores[rows], None if self.vae is None else self.vae.at(rows))
