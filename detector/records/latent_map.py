"""A map of records: the posterior means of all networks, projected to the two directions in which they vary most."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from detector.core.subsample import subsample_evenly
from detector.records.model import Model
from detector.records.nearest_records import joint_points

MAX_REFERENCE = 1_000  # reference records that the directions are computed from
_AXES = 2


@dataclass(frozen=True)
class LatentMap:
    """A projection of the latents of a model to two coordinates, in standard deviations of its reference records.

    Attributes:
        centre: (l,) mean of the latents.
        axes: (l, 2) directions.
        deviations: (2,) standard deviations of the reference records along them.
        variance_share: share of the variance of the latents that the two directions hold.
        reference: (m, 2) coordinates of a subsample of the reference records.
    """

    centre: np.ndarray
    axes: np.ndarray
    deviations: np.ndarray
    variance_share: float
    reference: np.ndarray

    @classmethod
    def of(cls, model: Model) -> "LatentMap":
        """Return the map of a model."""
        points = model.reference.points[subsample_evenly(len(model.reference.points), MAX_REFERENCE)]
        latents = _latents(model, points)
        centre = latents.mean(axis=0)
        with threadpool_limits(1, user_api="blas"):
            _, spread, directions = np.linalg.svd(latents - centre, full_matrices=False)
        axes = np.zeros((latents.shape[1], _AXES))  # a model may have a single latent
        found = directions[:_AXES].T
        axes[:, : found.shape[1]] = found
        projected = (latents - centre) @ axes
        deviations = np.maximum(projected.std(axis=0), 1e-9)
        share = float((spread[:_AXES] ** 2).sum() / max((spread**2).sum(), 1e-30))
        return cls(centre, axes, deviations, share, projected / deviations)

    def coordinates(self, model: Model, records: pd.DataFrame) -> np.ndarray:
        """Return the coordinates (n, 2) of n records in the map of the model."""
        return (_latents(model, joint_points(model, records)) - self.centre) @ self.axes / self.deviations


def _latents(model: Model, points: np.ndarray) -> np.ndarray:
    return points[:, : model.reference.latent_sd.size].astype(np.float64)
