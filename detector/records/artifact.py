"""A trained model of single records as data, in the container of `detector.core.blob`.

After the checks of the container, loading checks that the columns fit the networks and that calibration scores ascend.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from pydantic import Field, ValidationError

from detector.core.blob import (
    FORMAT_VERSION,
    MAX_CELLS,
    ArraySpecs,
    ManifestPart,
    artifact_error,
    check_arrays,
    first_problem,
    read_arrays,
    read_manifest,
    write_blob,
)
from detector.core.calibration import Calibration, ParetoTail
from detector.records.architecture import Architecture
from detector.records.encoder import Encoder
from detector.records.feature_types import GRID_POINTS
from detector.records.label_head import LabelHead
from detector.records.reference import NeighbourReference
from detector.records.stored_contrasts import contrast_arrays, contrast_specs, read_contrasts
from detector.records.stored_spaces import read_spaces, space_arrays, space_specs
from schemas.config import Likelihood, ModelConfig, NetworkKind

_HEAD = "head/"  # prefix of the arrays of the label head


@dataclass(frozen=True)
class Decision:
    """The rule for anomalies: a record is one if its score exceeds the threshold.

    `rate` is the false-positive rate that the threshold was set for; None for a threshold by F-beta.
    """

    method: Literal["conformal", "pot", "f_beta"]
    threshold: float
    rate: float | None


@dataclass(frozen=True)
class Artifact:
    """All data that scoring needs.

    Attributes:
        config: the hyper-parameters.
        encoder: the state of preprocessing.
        architecture: the shapes of the networks.
        weights: an array for every name in `architecture.shapes()`.
        reference: training records in the model's coordinates.
        typical_nll: (f,) nats that each feature costs on a typical normal record.
        calibration: held-out normal scores.
        decision: the rule for anomalies.
        about: the origin of the model, as `detector.core.about.About` reads it.
        head: raises scores by labels; None if labels play no part.
    """

    config: ModelConfig
    encoder: Encoder
    architecture: Architecture
    weights: dict[str, np.ndarray]
    reference: NeighbourReference
    typical_nll: np.ndarray
    calibration: Calibration
    decision: Decision
    about: dict[str, Any]
    head: LabelHead | None = None


class _Shapes(ManifestPart):
    kind: NetworkKind
    likelihood: Likelihood
    members: int = Field(ge=1, le=64)
    width: int = Field(ge=1, le=MAX_CELLS)
    hidden: int = Field(ge=1, le=4096)
    latent: int = Field(ge=1, le=512)
    learns_variance: bool


class _Decision(ManifestPart):
    method: Literal["conformal", "pot", "f_beta"]
    threshold: float
    rate: float | None


class _Tail(ManifestPart):
    start: float
    share: float = Field(gt=0, le=1)
    shape: float = Field(ge=0)  # below, every score beyond the largest would be impossible
    scale: float = Field(gt=0)


class _Manifest(ManifestPart):
    format_version: Literal[1]
    config: ModelConfig
    columns: list[dict[str, Any]] = Field(min_length=1, max_length=MAX_CELLS)
    architecture: _Shapes
    n_train: int = Field(ge=1, le=2**53)
    reference_records: int = Field(ge=1)
    calibrating_records: int = Field(0, ge=0)  # among the reference records, the last ones; none in older artifacts
    has_joint_elbo: bool = False  # not in older artifacts
    compresses: bool = False  # very high scores; not in older artifacts
    calibration_records: int = Field(ge=1)
    tail: _Tail | None
    decision: _Decision
    about: dict[str, Any]


def manifest(artifact: Artifact) -> dict[str, Any]:
    """Return the artifact without its arrays, as JSON values."""
    tail, decision = artifact.calibration.tail, artifact.decision
    return {
        "format_version": FORMAT_VERSION,
        "config": artifact.config.model_dump(mode="json"),
        "columns": artifact.encoder.to_state(),
        "architecture": artifact.architecture.to_state(),
        "n_train": artifact.reference.n_train,
        "reference_records": len(artifact.reference.points),
        "calibrating_records": artifact.reference.calibrating,
        "has_joint_elbo": artifact.reference.has_joint_elbo,
        "compresses": artifact.reference.compresses,
        "calibration_records": len(artifact.calibration.scores),
        "tail": None if tail is None else vars(tail),
        "decision": vars(decision),
        "about": artifact.about,
    }


def dump_artifact(artifact: Artifact) -> bytes:
    """Pack the artifact into a blob."""
    arrays = {
        **{f"weights/{name}": array for name, array in artifact.weights.items()},
        **{f"grids/{name}": array for name, array in artifact.encoder.grids().items()},
        "reference/points": artifact.reference.points,
        "reference/latent_sd": artifact.reference.latent_sd,
        **({} if artifact.reference.inputs is None else {"reference/inputs": artifact.reference.inputs}),
        **space_arrays(artifact.reference.states),
        **contrast_arrays(artifact.reference.contrasts),
        "attribution/typical_nll": artifact.typical_nll,
        "calibration/reference": artifact.calibration.scores,
        **({} if artifact.head is None else {f"{_HEAD}{name}": array for name, array in vars(artifact.head).items()}),
    }
    return write_blob(manifest(artifact), arrays)


def load_artifact(blob: bytes, sha256: str) -> Artifact:
    """Unpack the artifact in a blob.

    Raises:
        ArtifactError: If the blob has another digest, or its content is not valid.
    """
    manifest = read_manifest(blob, sha256, _Manifest)
    return _assemble(manifest, read_arrays(blob))


def _assemble(manifest: _Manifest, arrays: dict[str, np.ndarray]) -> Artifact:
    grids = {name.removeprefix("grids/"): array for name, array in arrays.items() if name.startswith("grids/")}
    encoder = _rebuilt(manifest.columns, grids)
    width = encoder.layout.width
    architecture = Architecture(**manifest.architecture.model_dump())
    if width != architecture.width:
        raise artifact_error(f"has columns of {width} cells and networks of {architecture.width}")
    _check_arrays(arrays, manifest, architecture, encoder)
    reference = NeighbourReference(
        arrays["reference/points"],
        arrays["reference/latent_sd"],
        manifest.n_train,
        arrays.get("reference/inputs"),  # which artifacts of earlier versions lack
        manifest.calibrating_records,
        read_spaces(arrays, len(_space_widths(architecture))),
        manifest.has_joint_elbo,
        read_contrasts(arrays, width),
        manifest.compresses,
    )
    tail = ParetoTail(**manifest.tail.model_dump()) if manifest.tail else None
    return Artifact(
        config=manifest.config,
        encoder=encoder,
        architecture=architecture,
        weights={name: arrays[f"weights/{name}"] for name in architecture.shapes()},
        reference=reference,
        typical_nll=arrays["attribution/typical_nll"],
        calibration=Calibration(arrays["calibration/reference"], tail),
        decision=Decision(**manifest.decision.model_dump()),
        about=manifest.about,
        head=_head(arrays),
    )


def _head(arrays: dict[str, np.ndarray]) -> LabelHead | None:
    parts = {name.removeprefix(_HEAD): array for name, array in arrays.items() if name.startswith(_HEAD)}
    if not parts:
        return None
    head = LabelHead(**parts)
    if head.spread.min() <= 0 or head.limits[0] >= head.limits[1]:
        raise artifact_error("has a spread or a range of the label head that is not above 0")
    return head


def _rebuilt(columns: list[dict[str, Any]], grids: dict[str, np.ndarray]) -> Encoder:
    try:
        encoder = Encoder.from_state(columns, grids)
    except ValidationError as exc:
        raise artifact_error(f"has a column with a wrong {first_problem(exc)}") from exc
    except (KeyError, TypeError) as exc:
        raise artifact_error("has a column of a type that is not known") from exc
    if len(set(encoder.names)) < len(columns):
        raise artifact_error("has two columns of one name")
    return encoder


def _check_arrays(
    arrays: dict[str, np.ndarray], manifest: _Manifest, architecture: Architecture, encoder: Encoder
) -> None:
    views = min(architecture.members, 2)
    inputs = (manifest.reference_records, views * architecture.width)
    coordinates = architecture.members * architecture.latent + views * architecture.width
    specs: ArraySpecs = {
        **{f"weights/{name}": (shape, "float32") for name, shape in architecture.shapes().items()},
        **{f"grids/{name}": ((2, _points(grid)), "float64") for name, grid in encoder.grids().items()},
        "reference/points": ((manifest.reference_records, coordinates), "float32"),
        **({"reference/inputs": (inputs, "float32")} if _has_inputs(manifest, arrays) else {}),
        "reference/latent_sd": ((architecture.members, architecture.latent), "float32"),
        "attribution/typical_nll": ((len(encoder.columns),), "float32"),
        "calibration/reference": ((manifest.calibration_records,), "float64"),
        **(_head_specs(views * architecture.width) if f"{_HEAD}direction" in arrays else {}),
        **contrast_specs(arrays),
        **space_specs(arrays, manifest.reference_records, _space_widths(architecture)),
    }
    check_arrays(arrays, specs)
    if manifest.calibrating_records >= manifest.reference_records:
        raise artifact_error("has no training record among its reference records")
    if (np.diff(arrays["calibration/reference"]) < 0).any():
        raise artifact_error("has calibration scores that are not in ascending order")


def _head_specs(width: int) -> ArraySpecs:
    shapes = dict.fromkeys(("centre", "spread", "direction"), (width,)) | {"limits": (2,)}
    return {f"{_HEAD}{name}": (shape, "float64") for name, shape in shapes.items()}


def _space_widths(architecture: Architecture) -> list[int]:
    """Return the number of coordinates of each space of `ensemble`, in the order of `scores.spaces_of`."""
    views = min(architecture.members, 2)
    latents = [len(range(view, architecture.members, 2)) * architecture.latent for view in range(views)]
    return [views * architecture.width, *latents, views * architecture.width]


def _has_inputs(manifest: _Manifest, arrays: dict[str, np.ndarray]) -> bool:
    """Return whether the artifact has to hold the inputs of its reference records: older ones lack them."""
    return manifest.config.score == "ensemble" or "reference/inputs" in arrays


def _points(grid: np.ndarray) -> int:
    if not 2 <= grid.shape[-1] <= GRID_POINTS:
        raise artifact_error(f"has a grid of {grid.shape[-1]} points, expected 2 to {GRID_POINTS}")
    return grid.shape[-1]
