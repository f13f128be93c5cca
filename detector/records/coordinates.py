"""Coordinates of records: what the distances of scores are measured in."""

import numpy as np

from detector.records.encoder import Matrix, squash
from detector.records.posterior import Reconstruction

MIN_LATENT_SD = 0.02


def squashed_cells(matrix: Matrix) -> np.ndarray:
    """Return the cells of the standard view that trees compare, (n, d) float32; 0 if missing."""
    return squash(matrix.standard).astype(np.float32)


def input_coordinates(matrix: Matrix, members: int) -> np.ndarray:
    """Return the cells as the networks see them, the views in use side by side, (n, V * d) float32; 0 if missing.

    Distances compare with those in one view.
    """
    views = [squash(view) for view in (matrix.standard, matrix.quantile)[:members]]
    return (np.hstack(views) / np.sqrt(len(views))).astype(np.float32)


def spaces_of(inputs: np.ndarray, points: np.ndarray, latent_sd: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return the coordinates of n records in each space of `ensemble`: inputs, latents of each view, residuals.

    Args:
        inputs: (n, V * d), as `input_coordinates` returns them.
        points: (n, D), joint coordinates.
        latent_sd: (K, l); the members of the two views take turns.
    """
    latents = points[:, : latent_sd.size].reshape(len(points), *latent_sd.shape)
    by_view = [latents[:, view::2].reshape(len(points), -1) for view in range(min(2, len(latent_sd)))]
    return (inputs, *by_view, points[:, latent_sd.size :])


def joint_coordinates(matrix: Matrix, rebuilt: Reconstruction, latent_sd: np.ndarray) -> np.ndarray:
    """Return posterior means in units of their resolution, then the residuals of each view, (n, D) float32."""
    members = rebuilt.z_mean.shape[1]
    latents = rebuilt.z_mean / np.maximum(latent_sd, MIN_LATENT_SD) / np.sqrt(members)
    residuals = [residual / np.sqrt(2) for residual in view_residuals(matrix, rebuilt)]
    return np.hstack([latents.reshape(len(matrix), -1), *residuals]).astype(np.float32)


def view_residuals(matrix: Matrix, rebuilt: Reconstruction) -> list[np.ndarray]:
    """Return the cells less their reconstruction (n, d) for each view in use, 0 if missing."""
    views = zip((matrix.standard, matrix.quantile), rebuilt.expected.transpose(1, 0, 2), strict=False)
    return [np.where(matrix.missing, 0, view - expected) for view, expected in views]
