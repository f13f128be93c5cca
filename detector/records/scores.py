"""Anomaly scores by name: one number per record, higher is more anomalous.

`ensemble`, the default, is the geometric mean of distances in four spaces: the inputs, which count twice, the latents
of the members of each view, and the residuals. Each space has neighbours of its own, so an anomaly that is hidden in
one of them still counts in the others. A distance is in units of the usual one of its space, and one far below the
usual one is no more normal than that: without this bound, a space with a heavy-tailed column would rule the product.
In tables of few cells, the score rises further by how much a record looks like one with noise (`records.contrast`).
`combined` is a product of two distances without a unit, in the latents and in the joint coordinates.

Every score is deterministic: it uses the posterior mean, never a draw. A feature whose value training
rules out costs ``ln(n + 2)`` nats, the surprise of a value unseen in n training records; distances count
it as ``sqrt(distance**2 + 2 * nats)``, as a Gaussian turns nats into distance.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from detector.core.arithmetic import roots
from detector.records.contrast import contrast_factors
from detector.records.coordinates import (
    input_coordinates,
    joint_coordinates,
    spaces_of,
    squashed_cells,
    view_residuals,
)
from detector.records.encoder import Matrix
from detector.records.posterior import Posterior, Reconstruction
from detector.records.reference import ReferenceSearch, Space
from detector.records.score_range import compressed

RESIDUAL_FLOOR = 0.05  # standard deviations: a perfectly reconstructed cell must not own the whole score
KNN_NEIGHBOURS = 5  # of the scores by plain distance to neighbours


class Evidence:
    """The data that scores of n records are computed from; the networks run only when a score needs their result.

    Args:
        search: the reference of the model.
        matrix: the encoded records.
        own: (n,) the position of each record in the reference, or -1; a record is not its own neighbour.
        reconstruct: runs the networks.
        infer: runs the networks with their likelihood.

    Attributes:
        reconstruction: returns the latents and the expected cells.
        posterior: returns latents and expected cells with the likelihoods.
        points: returns the records in joint coordinates, (n, D) float32.
    """

    def __init__(
        self,
        search: ReferenceSearch,
        matrix: Matrix,
        own: np.ndarray,
        reconstruct: Callable[[], Reconstruction],
        infer: Callable[[], Posterior],
    ) -> None:
        self.search, self.matrix, self.own = search, matrix, own
        # no cached_property, whose lock all threads share in Python 3.11
        self.reconstruction = reconstruction = cache(reconstruct)
        self.posterior = cache(infer)
        self.points = cache(lambda: joint_coordinates(matrix, reconstruction(), search.reference.latent_sd))

    def spaces(self) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
        """Return the coordinates (n, ...) float32 of the records in each space of `ensemble`, and their places there.

        The places (n,) are like `own`, with those of calibration records: like a training record, a calibration record
        is not its own neighbour.
        """
        latent_sd = self.search.reference.latent_sd
        inputs = input_coordinates(self.matrix, len(latent_sd))
        return spaces_of(inputs, self.points(), latent_sd), self._places(inputs)

    def _places(self, inputs: np.ndarray) -> np.ndarray:
        places = self.search.calibrating_places
        if not places:
            return self.own
        found = np.fromiter((places.get(row.tobytes(), -1) for row in inputs), np.int64, len(inputs))
        return np.where(self.own < 0, found, self.own)

    @property
    def latents(self) -> np.ndarray:
        """(n, K * l) float32, the latents among the joint coordinates."""
        return self.points()[:, : self.search.reference.latent_sd.size]

    @property
    def residuals(self) -> np.ndarray:
        """(n, V * d) float32, the residuals among the joint coordinates."""
        return self.points()[:, self.search.reference.latent_sd.size :]

    @property
    def nats(self) -> np.ndarray:
        """(n,) float64, the cost of values that training rules out."""
        return self.matrix.violations.astype(np.float64) * np.log(self.search.reference.n_train + 2)


@dataclass(frozen=True)
class Score:
    """One anomaly score.

    Attributes:
        measure: returns the score (n,) float64 of n records.
        searches: attributes of `ReferenceSearch` that the score uses; they are built before threads share them.
    """

    measure: Callable[[Evidence], np.ndarray]
    searches: tuple[str, ...] = ()

    def prepare(self, search: ReferenceSearch) -> None:
        """Build the searches that the score uses."""
        for name in self.searches:
            getattr(search, name)


def _ensemble(evidence: Evidence) -> np.ndarray:
    """Return the geometric mean of sqrt(1 + squared distance) in units of the usual distance of each space.

    Contrast forests, if there are any, multiply it. Very high scores are compressed.
    """
    coordinates, places = evidence.spaces()
    inputs, *others = [
        1 + (_squared_distance(evidence, space, points, places) + 2 * evidence.nats) / space.usual**2
        for space, points in zip(evidence.search.spaces, coordinates, strict=True)
    ]
    product = inputs * inputs
    for factor in others:
        product *= factor
    score = roots(np.sqrt(product), 2 + len(others))
    reference = evidence.search.reference
    if reference.contrasts:
        score = score * contrast_factors(reference.contrasts, squashed_cells(evidence.matrix), evidence.own)
    return compressed(score) if reference.compresses else score


def _squared_distance(evidence: Evidence, space: Space, points: np.ndarray, places: np.ndarray) -> np.ndarray:
    distance = space.search.blended_distance(points, evidence.search.neighbours, places)
    return np.asarray(distance * distance)


def _combined(evidence: Evidence) -> np.ndarray:
    joint = evidence.search.joint.reconstruction_distance(evidence.points(), evidence.search.neighbours, evidence.own)
    latent = evidence.search.latent.reconstruction_distance(evidence.latents, evidence.search.neighbours, evidence.own)
    return _geometric_mean([joint, latent], evidence.nats)


def _local_reconstruction(evidence: Evidence) -> np.ndarray:
    joint = evidence.search.joint.reconstruction_distance(evidence.points(), evidence.search.neighbours, evidence.own)
    return _geometric_mean([joint], evidence.nats)


def _joint_knn(evidence: Evidence) -> np.ndarray:
    joint = evidence.search.joint.mean_distance(evidence.points(), KNN_NEIGHBOURS, evidence.own)
    return _geometric_mean([joint], evidence.nats)


def _latent_knn(evidence: Evidence) -> np.ndarray:
    weighted = evidence.latents * evidence.search.information
    return _geometric_mean(
        [evidence.search.informed.mean_distance(weighted, KNN_NEIGHBOURS, evidence.own)], evidence.nats
    )


def _elbo(evidence: Evidence) -> np.ndarray:
    """Return the negative ELBO under the exemplar prior, with the likelihood averaged over members."""
    nll = evidence.posterior().nll.sum(axis=1, dtype=np.float64)
    return np.asarray(nll + _divergence(evidence) + evidence.nats)


def _reconstruction_error(evidence: Evidence) -> np.ndarray:
    """Return the mean squared residual of the cells in the standard view, in units of the usual residual.

    Without the unit, cells that are hard to reconstruct even for normal records would drown out the others.
    """
    residual = view_residuals(evidence.matrix, evidence.reconstruction())[0].astype(np.float64)
    usual = evidence.search.reference.residuals(residual.shape[1]).var(axis=0, dtype=np.float64) + RESIDUAL_FLOOR**2
    present = np.maximum((~evidence.matrix.missing).sum(axis=1), 1)
    return np.asarray((np.square(residual) / usual).sum(axis=1) / present) + evidence.nats


SCORES: dict[str, Score] = {
    "ensemble": Score(_ensemble, ("spaces", "calibrating_places")),
    "combined": Score(_combined, ("joint", "latent")),
    "local_reconstruction": Score(_local_reconstruction, ("joint",)),
    "joint_knn": Score(_joint_knn, ("joint",)),
    "latent_knn": Score(_latent_knn, ("informed", "information")),
    "elbo": Score(_elbo, ("prior",)),
    "reconstruction_error": Score(_reconstruction_error),
}
"""Scores by name in the configuration; a new score is an entry here and its name in `schemas.config.ModelConfig`."""


def _geometric_mean(distances: Sequence[np.ndarray], nats: np.ndarray) -> np.ndarray:
    """Return the geometric mean (n,) of distances (n,), each with the violations counted in."""
    counted = [np.sqrt(distance**2 + 2 * nats) for distance in distances]
    return np.asarray(np.prod(counted, axis=0) ** (1 / len(counted)))


def _divergence(evidence: Evidence) -> np.ndarray:
    """Return the divergence in nats (n,) of the posteriors of records from the exemplar prior."""
    posterior, own = evidence.posterior(), evidence.own
    if evidence.search.prior is None:
        return np.zeros(len(posterior.kl))
    position = np.full(len(evidence.search.reference.trained), -1)  # of a reference record among the exemplars
    position[evidence.search.exemplars] = np.arange(len(evidence.search.exemplars))
    own_exemplar = np.where(own < 0, -1, position[own])
    return evidence.search.prior.divergence(posterior.z_mean, posterior.z_log_var, own_exemplar)
