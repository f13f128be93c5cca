"""Posterior and reconstruction to anomaly scores: one number per record, higher is more anomalous.

`combined`, the default, is the geometric mean of two local reconstructions: among the latents alone, where
an unusual combination of usual values shows, and in the joint coordinates, where the residuals show what
leaves the manifold. A product needs no constant to weigh two distances of different scale.

Every score is deterministic: it uses the posterior mean, never a draw. A feature whose value training
rules out costs ``ln(n + 2)`` nats, the surprise of a value unseen in n training records; distances count
it as ``sqrt(distance**2 + 2 * nats)``, which is how a Gaussian turns nats into distance.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from detector.core.neighbours import Neighbours
from detector.core.subsample import evenly_spread
from detector.records.encoder import Matrix
from detector.records.exemplar_prior import ExemplarPrior
from detector.records.posterior import Posterior, Reconstruction

MIN_LATENT_SD = 0.02
RESIDUAL_FLOOR = 0.05  # standard deviations: a perfectly rebuilt cell must not own the whole score
EXEMPLARS = 1_000  # training records that make the prior of the latents
NEAREST = 5  # records that the plain neighbour scores average over


@dataclass(frozen=True)
class NeighbourReference:
    """Training records in the model's joint coordinates.

    Attributes:
        points: (m, D) float32, the records that neighbours are searched among.
        latent_sd: (K, l) float32, the typical posterior standard deviation: the resolution of each latent.
        n_train: records the model was trained on.
    """

    points: np.ndarray
    latent_sd: np.ndarray
    n_train: int

    def residuals(self, width: int) -> np.ndarray:
        """(m, d) float32: cells of the standard view, of which there are so many, less their reconstruction."""
        start = self.latent_sd.size
        return self.points[:, start : start + width] * np.float32(np.sqrt(2))


class AnomalyScores:
    """The scores of one model, by name.

    Args:
        reference: its training records.
        neighbours: how many a record is rebuilt from.
        kind: of the networks; an autoencoder has no posterior that could diverge from a prior.
    """

    def __init__(self, reference: NeighbourReference, neighbours: int, kind: Literal["vae", "autoencoder"]) -> None:
        self._reference = reference
        self._k = neighbours
        self._kind = kind

    def prepare(self, names: Sequence[str]) -> None:
        """Build what the scores of these names search in, before threads ask for it at once."""
        for name in names:
            list(self._distances(name, self._reference.points[:0], None))
        if "elbo" in names and self._kind == "vae":
            _ = self._prior

    def elbo(self, matrix: Matrix, posterior: Posterior, own: np.ndarray) -> np.ndarray:
        """(n,) float64: the negative ELBO of n records under the exemplar prior; `own` as for `score`."""
        nll = posterior.nll.sum(axis=1, dtype=np.float64)
        return np.asarray(nll + self._divergence(posterior, own) + self._nats(matrix))

    def score(self, name: str, matrix: Matrix, rebuilt: Reconstruction, own: np.ndarray | None = None) -> np.ndarray:
        """(n,) float64: the score of that name, other than `elbo`.

        Args:
            name: of the score.
            matrix: n records.
            rebuilt: where the networks place them, and what they expect there.
            own: (n,) the position of each record in the reference, -1 where it is not there: it is not its own
                neighbour.
        """
        nats = self._nats(matrix)
        if name == "reconstruction_error":
            return self._reconstruction_error(matrix, rebuilt) + nats
        points = joint_coordinates(matrix, rebuilt, self._reference.latent_sd)
        distances = [np.sqrt(distance**2 + 2 * nats) for distance in self._distances(name, points, own)]
        return np.asarray(np.prod(distances, axis=0) ** (1 / len(distances)))

    def _nats(self, matrix: Matrix) -> np.ndarray:
        """(n,) float64: what the values cost that training rules out."""
        return matrix.violations.astype(np.float64) * np.log(self._reference.n_train + 2)

    def _distances(self, name: str, points: np.ndarray, own: np.ndarray | None) -> Iterator[np.ndarray]:
        """The distances (n,) of points (n, D) whose geometric mean is the score of that name."""
        latents = points[:, : self._reference.latent_sd.size]
        if name == "joint_knn":
            yield self._joint.mean_distance(points, NEAREST, own)
        if name == "latent_knn":
            yield self._informed.mean_distance(latents * self._information, NEAREST, own)
        if name in ("local_reconstruction", "combined"):
            yield self._joint.reconstruction_distance(points, self._k, own)
        if name == "combined":
            yield self._latent.reconstruction_distance(latents, self._k, own)

    def _divergence(self, posterior: Posterior, own: np.ndarray) -> np.ndarray:
        """(n,) float64: nats from the posteriors to those of training records."""
        if self._kind == "autoencoder":
            return np.zeros(len(posterior.kl))
        position = np.full(len(self._reference.points), -1)  # of a reference record among the exemplars
        position[self._exemplars] = np.arange(len(self._exemplars))
        whose = np.where(own < 0, -1, position[own])
        return self._prior.divergence(posterior.z_mean, posterior.z_log_var, whose)

    def _reconstruction_error(self, matrix: Matrix, rebuilt: Reconstruction) -> np.ndarray:
        """(n,) float64: mean squared residual of a record's cells in the standard view, in units of the usual one.

        Without the unit, cells that are hard to rebuild for normal records too would drown the others.
        """
        residual = view_residuals(matrix, rebuilt)[0].astype(np.float64)
        usual = self._reference.residuals(residual.shape[1]).var(axis=0, dtype=np.float64) + RESIDUAL_FLOOR**2
        present = np.maximum((~matrix.missing).sum(axis=1), 1)
        return np.asarray((np.square(residual) / usual).sum(axis=1) / present)

    @cached_property
    def _exemplars(self) -> np.ndarray:
        """(m,) positions of the exemplars in the reference, evenly spread."""
        return evenly_spread(len(self._reference.points), EXEMPLARS)

    @cached_property
    def _prior(self) -> ExemplarPrior:
        sd = np.maximum(self._reference.latent_sd, MIN_LATENT_SD)
        points = self._reference.points[self._exemplars, : sd.size].astype(np.float64) * np.sqrt(len(sd))
        return ExemplarPrior(points.reshape(-1, *sd.shape), sd)

    @cached_property
    def _joint(self) -> Neighbours:
        return Neighbours(self._reference.points)

    @cached_property
    def _latent(self) -> Neighbours:
        return Neighbours(np.ascontiguousarray(self._reference.points[:, : self._reference.latent_sd.size]))

    @cached_property
    def _informed(self) -> Neighbours:
        return Neighbours(self._latent.points * self._information)

    @cached_property
    def _information(self) -> np.ndarray:
        """(K * l,) float32 weights of the latents by their information: a collapsed dimension weighs nothing."""
        sd = np.maximum(self._reference.latent_sd, MIN_LATENT_SD)
        return np.sqrt(len(sd) * np.maximum(1 - sd**2, 0)).ravel().astype(np.float32)


def joint_coordinates(matrix: Matrix, rebuilt: Reconstruction, latent_sd: np.ndarray) -> np.ndarray:
    """(n, D) float32: posterior means in units of their resolution, then the residuals of each view."""
    members = rebuilt.z_mean.shape[1]
    latents = rebuilt.z_mean / np.maximum(latent_sd, MIN_LATENT_SD) / np.sqrt(members)
    residuals = [residual / np.sqrt(2) for residual in view_residuals(matrix, rebuilt)]
    return np.hstack([latents.reshape(len(matrix), -1), *residuals]).astype(np.float32)


def view_residuals(matrix: Matrix, rebuilt: Reconstruction) -> list[np.ndarray]:
    """(n, d) for each view in use: the cells less their reconstruction, 0 where missing."""
    views = zip((matrix.standard, matrix.quantile), rebuilt.expected.transpose(1, 0, 2), strict=False)
    return [np.where(matrix.missing, 0, view - expected) for view, expected in views]
