"""The reference of a model: the records that others are compared with, and the searches among them."""

from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from detector.core.blob import artifact_error
from detector.core.neighbours import Neighbours, Partition
from detector.core.subsample import subsample_evenly
from detector.records.contrast import ContrastForest
from detector.records.coordinates import MIN_LATENT_SD, spaces_of
from detector.records.exemplar_prior import ExemplarPrior
from schemas.config import NetworkKind

MAX_EXEMPLARS = 1_000  # training records whose posteriors form the prior of the latents
PROBED_CELLS = 8  # in each space of `ensemble`: what one space misses, the others have
MAX_USUAL_RECORDS = 1_000  # reference records that the usual distance is measured on
MIN_USUAL_DISTANCE = 1e-3  # if most of the reference records are equal


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
