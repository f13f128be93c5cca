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

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property

import numpy as np

from detector.core.arithmetic import roots
from detector.core.blob import artifact_error
from detector.core.neighbours import Neighbours, Partition
from detector.core.subsample import subsample_evenly
from detector.records.contrast import ContrastForest, contrast_factors
from detector.records.encoder import Matrix, squash
from detector.records.exemplar_prior import ExemplarPrior
from detector.records.posterior import Posterior, Reconstruction
from detector.records.score_range import compressed
from schemas.config import NetworkKind

MIN_LATENT_SD = 0.02
RESIDUAL_FLOOR = 0.05  # standard deviations: a perfectly reconstructed cell must not own the whole score
MAX_EXEMPLARS = 1_000  # training records whose posteriors form the prior of the latents
PROBED_CELLS = 8  # in each space of `ensemble`: what one space misses, the others have
MAX_USUAL_RECORDS = 1_000  # reference records that the usual distance is measured on
MIN_USUAL_DISTANCE = 1e-3  # if most of the reference records are equal
KNN_NEIGHBOURS = 5  # of the scores by plain distance to neighbours


@dataclass(frozen=True)
class SpaceState:
    """The computed parts of a space, which are stored with a model.

    Attributes:
        partition: of the points.
        usual: median distance of the reference records to the other ones.
    """

    partition: Partition
    usual: float


@dataclass(frozen=True)
class NeighbourReference:
    """Training records in the model's joint coordinates, and perhaps calibration records, which only `ensemble` uses.

    Attributes:
        points: (m, D) float32, the records that neighbours are searched among, training records first.
        latent_sd: (K, l) float32, the typical posterior standard deviation: the resolution of each latent.
        n_train: number of training records.
        inputs: (m, V * d) float32, the inputs of the same records, as `input_coordinates` returns them; None in an
            artifact of a version that had no score of them.
        calibrating: number of calibration records among the points.
        states: the computed parts of the spaces of `ensemble`; none in an artifact of an earlier version, or with
            another score.
        has_joint_elbo: whether `elbo` has one prior for the latents of all members together, and measures squashed
            cells, as training does; not in an artifact of earlier versions.
        contrasts: forests that separate the training records from copies with noise, a factor of `ensemble`; none in
            an artifact of an earlier version, with another score, or if there are too few records or too many cells.
        compresses: whether `ensemble` grows only with the logarithm beyond 2,048; not in an artifact of earlier
            versions.
    """

    points: np.ndarray
    latent_sd: np.ndarray
    n_train: int
    inputs: np.ndarray | None = None
    calibrating: int = 0
    states: tuple[SpaceState, ...] = ()
    has_joint_elbo: bool = False
    contrasts: tuple[ContrastForest, ...] = ()
    compresses: bool = False

    @property
    def trained(self) -> np.ndarray:
        """The points of the training records."""
        return self.points[: len(self.points) - self.calibrating]

    def without_calibrating(self) -> "NeighbourReference":
        """Return the reference of the training records alone."""
        inputs = None if self.inputs is None else self.inputs[: len(self.trained)]
        return replace(self, points=self.trained, inputs=inputs, calibrating=0, states=())

    def with_calibrating(self, points: np.ndarray, inputs: np.ndarray) -> "NeighbourReference":
        """Return the reference with calibration records: their joint coordinates and their inputs."""
        joined = np.concatenate([self.points, points]), np.concatenate([self._known_inputs, inputs])
        calibrating = self.calibrating + len(points)
        return replace(self, points=joined[0], inputs=joined[1], calibrating=calibrating, states=())

    @property
    def _known_inputs(self) -> np.ndarray:
        if self.inputs is None:
            raise artifact_error("was trained by a version without the score 'ensemble'")
        return self.inputs

    @property
    def calibrating_places(self) -> dict[bytes, int]:
        """The positions of the calibration records among the points, by the bytes of their inputs."""
        first = len(self.trained)
        rows = self.inputs[first:] if self.calibrating and self.inputs is not None else ()
        return {row.tobytes(): place for place, row in enumerate(rows, first)}

    def repeated_share(self, neighbours: int) -> float:
        """Return the share of the calibration records that equal another one, and no more than `neighbours` points."""
        inputs = [row.tobytes() for row in self._known_inputs]
        points, calibrating = Counter(inputs), Counter(inputs[len(self.trained) :])
        repeated = sum(n for row, n in calibrating.items() if n > 1 and points[row] <= neighbours)
        return repeated / max(self.calibrating, 1)

    @property
    def spaces(self) -> tuple[np.ndarray, ...]:
        """The coordinates (m, ...) float32 of the points in each space of `ensemble`.

        Raises:
            ArtifactError: If the artifact is of a version that had no such score.
        """
        return spaces_of(self._known_inputs, self.points, self.latent_sd)

    def residuals(self, width: int) -> np.ndarray:
        """Return the cells of the standard view less their reconstruction, (m, width) float32."""
        start = self.latent_sd.size
        return self.trained[:, start : start + width] * np.float32(np.sqrt(2))


@dataclass(frozen=True)
class Space:
    """One of the spaces of `ensemble`.

    Attributes:
        search: among the reference records.
        usual: median distance of the reference records to the other ones.
    """

    search: Neighbours
    usual: float

    @classmethod
    def of(cls, points: np.ndarray, neighbours: int) -> "Space":
        """Return the space of points (m, D), with the usual distance of a subsample of them."""
        search = Neighbours(np.ascontiguousarray(points), PROBED_CELLS)
        rows = subsample_evenly(len(points), MAX_USUAL_RECORDS)
        distance = search.blended_distance(search.points[rows], neighbours, rows)
        return cls(search, max(float(np.median(distance)), MIN_USUAL_DISTANCE))

    @classmethod
    def restored(cls, points: np.ndarray, state: SpaceState) -> "Space":
        """Return the space of points (m, D) from its stored state."""
        return cls(Neighbours(np.ascontiguousarray(points), PROBED_CELLS, state.partition), state.usual)

    @property
    def state(self) -> SpaceState:
        """The computed parts."""
        return SpaceState(self.search.partition, self.usual)


class ReferenceSearch:
    """Searches among the reference records of one model, each built on first use.

    Args:
        reference: the training records.
        neighbours: number of reference records that a record is rebuilt from.
        kind: kind of the networks; an autoencoder has no posterior that could diverge from a prior.
    """

    def __init__(self, reference: NeighbourReference, neighbours: int, kind: NetworkKind) -> None:
        self.reference = reference
        self.neighbours = neighbours
        self._kind = kind

    @cached_property
    def joint(self) -> Neighbours:
        """Search in the joint coordinates."""
        return Neighbours(self.reference.trained)

    @cached_property
    def latent(self) -> Neighbours:
        """Search among the latents."""
        return Neighbours(np.ascontiguousarray(self.reference.trained[:, : self.reference.latent_sd.size]))

    @cached_property
    def spaces(self) -> tuple[Space, ...]:
        """The spaces of `ensemble`."""
        if self.reference.states:
            return tuple(map(Space.restored, self.reference.spaces, self.reference.states))
        return tuple(Space.of(points, self.neighbours) for points in self.reference.spaces)

    @cached_property
    def calibrating_places(self) -> dict[bytes, int]:
        """The positions of the calibration records in the spaces, by the bytes of their inputs."""
        return self.reference.calibrating_places

    @cached_property
    def informed(self) -> Neighbours:
        """Search among the latents weighted by their information."""
        return Neighbours(self.latent.points * self.information)

    @cached_property
    def information(self) -> np.ndarray:
        """(K * l,) float32 weights of the latents by their information: a collapsed dimension weighs nothing."""
        sd = np.maximum(self.reference.latent_sd, MIN_LATENT_SD)
        return np.sqrt(len(sd) * np.maximum(1 - sd**2, 0)).ravel().astype(np.float32)

    @cached_property
    def prior(self) -> ExemplarPrior | None:
        """The prior of the latents; None for an autoencoder."""
        if self._kind == "autoencoder":
            return None
        sd = np.maximum(self.reference.latent_sd, MIN_LATENT_SD)
        points = self.reference.trained[self.exemplars, : sd.size].astype(np.float64) * np.sqrt(len(sd))
        if self.reference.has_joint_elbo:  # the members are one network, whose latents are side by side
            sd = sd.reshape(1, -1)
        return ExemplarPrior(points.reshape(-1, *sd.shape), sd)

    @cached_property
    def exemplars(self) -> np.ndarray:
        """(m,) positions of the prior's exemplars in the reference, evenly spread."""
        return subsample_evenly(len(self.reference.trained), MAX_EXEMPLARS)


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
