"""Posterior and reconstruction to anomaly scores: one number per record, higher is more anomalous.

`combined`, the default, is the geometric mean of two local reconstructions: among the latents alone, where
an unusual combination of usual values shows, and in the joint coordinates, where the residuals show what
leaves the manifold. A product needs no constant to weigh two distances of different scale.

Every score is deterministic: it uses the posterior mean, never a draw. A feature whose value training
rules out costs ``ln(n + 2)`` nats, the surprise of a value unseen in n training records; distances count
it as ``sqrt(distance**2 + 2 * nats)``, which is how a Gaussian turns nats into distance.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from detector.neighbours import Neighbours
from detector.posterior import Posterior
from detector.preprocess import Matrix

MIN_LATENT_SD = 0.02
NEAREST = 5  # records that the plain neighbour scores average over


@dataclass(frozen=True)
class Reference:
    """Training records in the model's joint coordinates.

    Attributes:
        points: (m, D) float32, the records that neighbours are searched among.
        latent_sd: (K, l) float32, the typical posterior standard deviation: the resolution of each latent.
        n_train: records the model was trained on.
    """

    points: np.ndarray
    latent_sd: np.ndarray
    n_train: int


class AnomalyScores:
    """The scores of one model, by name.

    Args:
        reference: its training records.
        neighbours: how many a record is rebuilt from.
    """

    def __init__(self, reference: Reference, neighbours: int) -> None:
        self._reference = reference
        self._k = neighbours

    def score(self, name: str, matrix: Matrix, posterior: Posterior) -> np.ndarray:
        """(n,) float64: the score of that name."""
        nats = matrix.violations.astype(np.float64) * np.log(self._reference.n_train + 2)
        if name == "elbo":
            return np.asarray(posterior.nll.sum(axis=1, dtype=np.float64) + posterior.kl + nats)
        if name == "reconstruction_error":
            return reconstruction_error(matrix, posterior) + matrix.violations
        return np.sqrt(self._distance(name, matrix, posterior) ** 2 + 2 * nats)

    def _distance(self, name: str, matrix: Matrix, posterior: Posterior) -> np.ndarray:
        points = joint_coordinates(matrix, posterior, self._reference.latent_sd)
        latents = points[:, : self._reference.latent_sd.size]
        if name == "joint_knn":
            return self._joint.mean_distance(points, NEAREST)
        if name == "latent_knn":
            return self._informed.mean_distance(latents * self._information, NEAREST)
        off_or_on = self._joint.reconstruction_distance(points, self._k)
        if name == "local_reconstruction":
            return off_or_on
        return np.sqrt(off_or_on * self._latent.reconstruction_distance(latents, self._k))

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


def joint_coordinates(matrix: Matrix, posterior: Posterior, latent_sd: np.ndarray) -> np.ndarray:
    """(n, D) float32: posterior means in units of their resolution, then the residuals of each view."""
    members = posterior.z_mean.shape[1]
    latents = posterior.z_mean / np.maximum(latent_sd, MIN_LATENT_SD) / np.sqrt(members)
    residuals = [residual / np.sqrt(2) for residual in view_residuals(matrix, posterior)]
    return np.hstack([latents.reshape(len(matrix), -1), *residuals]).astype(np.float32)


def view_residuals(matrix: Matrix, posterior: Posterior) -> list[np.ndarray]:
    """(n, d) for each view in use: the cells less their reconstruction, 0 where missing."""
    views = zip((matrix.standard, matrix.quantile), posterior.expected.transpose(1, 0, 2), strict=False)
    return [np.where(matrix.missing, 0, view - expected) for view, expected in views]


def reconstruction_error(matrix: Matrix, posterior: Posterior) -> np.ndarray:
    """(n,) float64: mean squared residual of a record's cells, in the standard view."""
    residual = view_residuals(matrix, posterior)[0].astype(np.float64)
    present = np.maximum((~matrix.missing).sum(axis=1), 1)
    return np.asarray(np.square(residual).sum(axis=1) / present)
