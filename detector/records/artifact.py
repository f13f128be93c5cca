"""A trained model as data: safetensors arrays and a JSON manifest in one blob; no code, no pickle.

Layout of the blob: the safetensors format, whose metadata holds the manifest under the key "manifest".
Reading one checks, in this order: the digest, the container, the format version, the manifest's keys and
limits, then name, type and shape of every array against what the manifest implies.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load, save

from detector.core.calibration import Calibration, ParetoTail
from detector.records.architecture import Architecture
from detector.records.encoder import Encoder
from detector.records.feature_types import GRID_POINTS
from detector.records.scores import NeighbourReference
from schemas.config import ModelConfig
from schemas.errors import ArtifactError

FORMAT_VERSION = 1
MAX_BYTES = 2**31
MAX_CELLS = 100_000
_HEADER_LIMIT = 100 * 2**20

Expected: TypeAlias = Mapping[str, tuple[tuple[int, ...], str]]
"""Shape and type of each array, by name."""
_Form = TypeVar("_Form", bound=BaseModel)


@dataclass(frozen=True)
class Decision:
    """When a record is an anomaly: its score exceeds the threshold.

    `rate` is the false-positive rate the threshold was set for; a threshold by F-beta has none.
    """

    method: Literal["conformal", "pot", "f_beta"]
    threshold: float
    rate: float | None


@dataclass(frozen=True)
class Artifact:
    """Everything needed to score.

    Attributes:
        config: the hyper-parameters.
        encoder: the state of preprocessing.
        architecture: the shapes of the networks.
        weights: an array for every name in `architecture.shapes()`.
        reference: training records in the model's coordinates.
        typical_nll: (f,) nats that each feature costs on a typical normal record.
        calibration: held-out normal scores.
        decision: when a record is an anomaly.
        about: what else the training wants remembered: history, library versions, training range.
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


class Strict(BaseModel):
    """A part of a manifest: a key that it does not know is an error, and so is a number that is not finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class _Shapes(Strict):
    kind: Literal["vae", "autoencoder"]
    likelihood: Literal["auto", "mse", "bce"]
    members: int = Field(ge=1, le=64)
    width: int = Field(ge=1, le=MAX_CELLS)
    hidden: int = Field(ge=1, le=4096)
    latent: int = Field(ge=1, le=512)
    learns_variance: bool


class _Decision(Strict):
    method: Literal["conformal", "pot", "f_beta"]
    threshold: float
    rate: float | None


class _Tail(Strict):
    start: float
    share: float = Field(gt=0, le=1)
    shape: float = Field(ge=0)  # below, every score beyond the largest would be impossible
    scale: float = Field(gt=0)


class _Manifest(Strict):
    format_version: Literal[1]
    config: ModelConfig
    columns: list[dict[str, Any]] = Field(min_length=1, max_length=MAX_CELLS)
    architecture: _Shapes
    n_train: int = Field(ge=1, le=2**53)
    reference_records: int = Field(ge=1)
    calibration_records: int = Field(ge=1)
    tail: _Tail | None
    decision: _Decision
    about: dict[str, Any]


def manifest(artifact: Artifact) -> dict[str, Any]:
    """The artifact without its arrays, as JSON can hold it."""
    tail, decision = artifact.calibration.tail, artifact.decision
    return {
        "format_version": FORMAT_VERSION,
        "config": artifact.config.model_dump(mode="json"),
        "columns": artifact.encoder.to_state(),
        "architecture": artifact.architecture.to_state(),
        "n_train": artifact.reference.n_train,
        "reference_records": len(artifact.reference.points),
        "calibration_records": len(artifact.calibration.scores),
        "tail": None if tail is None else vars(tail),
        "decision": vars(decision),
        "about": artifact.about,
    }


def dump_artifact(artifact: Artifact) -> bytes:
    """The artifact as a blob."""
    arrays = {
        **{f"weights/{name}": array for name, array in artifact.weights.items()},
        **{f"grids/{name}": array for name, array in artifact.encoder.grids().items()},
        "reference/points": artifact.reference.points,
        "reference/latent_sd": artifact.reference.latent_sd,
        "attribution/typical_nll": artifact.typical_nll,
        "calibration/reference": artifact.calibration.scores,
    }
    return write_blob(manifest(artifact), arrays)


def digest(blob: bytes) -> str:
    """The SHA-256 of a blob, in hexadecimal digits."""
    return hashlib.sha256(blob).hexdigest()


def load_artifact(blob: bytes, sha256: str) -> Artifact:
    """The artifact in a blob.

    Raises:
        ArtifactError: where the blob does not have that digest, or anything in it is not as written.
    """
    known = read_manifest(blob, sha256, _Manifest)
    return _assemble(known, read_arrays(blob))


def write_blob(manifest: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> bytes:
    """A manifest and arrays as a blob."""
    text = json.dumps(manifest, sort_keys=True, allow_nan=False)
    return save({name: np.ascontiguousarray(array) for name, array in arrays.items()}, metadata={"manifest": text})


def read_manifest(blob: bytes, sha256: str, form: type[_Form]) -> _Form:
    """The manifest in the header, read before any array is made.

    Raises:
        ArtifactError: where the blob does not have that digest, or its manifest is not of that form.
    """
    if len(blob) > MAX_BYTES:
        raise refused(f"has {len(blob)} bytes, more than {MAX_BYTES}")
    if digest(blob) != sha256:
        raise refused(f"has the SHA-256 {digest(blob)[:12]}…, recorded was {sha256[:12]}…: it was changed or truncated")
    size = int.from_bytes(blob[:8], "little")
    if len(blob) < 8 or size > min(len(blob) - 8, _HEADER_LIMIT):
        raise refused("is truncated: its header is longer than the blob")
    try:
        raw = json.loads(json.loads(blob[8 : 8 + size])["__metadata__"]["manifest"])
    except (ValueError, KeyError, TypeError, RecursionError) as exc:
        raise refused("has no readable manifest") from exc
    if not isinstance(raw, dict) or raw.get("format_version") != FORMAT_VERSION:
        version = raw.get("format_version") if isinstance(raw, dict) else None
        raise refused(f"has the format version {version!r}, this program reads {FORMAT_VERSION}")
    try:
        return form.model_validate(raw)
    except ValidationError as exc:
        raise refused(f"has a manifest with a wrong {_first_problem(exc)}") from exc


def read_arrays(blob: bytes) -> dict[str, np.ndarray]:
    """The arrays by name.

    Raises:
        ArtifactError: where the blob is no safetensors container.
    """
    try:
        return load(blob)
    except (SafetensorError, ValueError, OverflowError, KeyError) as exc:  # KeyError: a type that NumPy lacks
        raise refused(f"is no valid safetensors container ({exc})") from exc


def _assemble(known: _Manifest, arrays: dict[str, np.ndarray]) -> Artifact:
    grids = {name.removeprefix("grids/"): array for name, array in arrays.items() if name.startswith("grids/")}
    encoder = _rebuilt(known.columns, grids)
    width = encoder.layout.width
    architecture = Architecture(**known.architecture.model_dump())
    if width != architecture.width:
        raise refused(f"has columns of {width} cells and networks of {architecture.width}")
    _check_arrays(arrays, known, architecture, encoder)
    reference = NeighbourReference(arrays["reference/points"], arrays["reference/latent_sd"], known.n_train)
    tail = ParetoTail(**known.tail.model_dump()) if known.tail else None
    return Artifact(
        config=known.config,
        encoder=encoder,
        architecture=architecture,
        weights={name: arrays[f"weights/{name}"] for name in architecture.shapes()},
        reference=reference,
        typical_nll=arrays["attribution/typical_nll"],
        calibration=Calibration(arrays["calibration/reference"], tail),
        decision=Decision(**known.decision.model_dump()),
        about=known.about,
    )


def _rebuilt(columns: list[dict[str, Any]], grids: dict[str, np.ndarray]) -> Encoder:
    try:
        encoder = Encoder.from_state(columns, grids)
    except ValidationError as exc:
        raise refused(f"has a column with a wrong {_first_problem(exc)}") from exc
    except (KeyError, TypeError) as exc:
        raise refused("has a column of a type that is not known") from exc
    if len(set(encoder.names)) < len(columns):
        raise refused("has two columns of one name")
    return encoder


def _check_arrays(
    arrays: dict[str, np.ndarray], known: _Manifest, architecture: Architecture, encoder: Encoder
) -> None:
    views = min(architecture.members, 2)
    coordinates = architecture.members * architecture.latent + views * architecture.width
    expected: Expected = {
        **{f"weights/{name}": (shape, "float32") for name, shape in architecture.shapes().items()},
        **{f"grids/{name}": ((2, _points(grid)), "float64") for name, grid in encoder.grids().items()},
        "reference/points": ((known.reference_records, coordinates), "float32"),
        "reference/latent_sd": ((architecture.members, architecture.latent), "float32"),
        "attribution/typical_nll": ((len(encoder.columns),), "float32"),
        "calibration/reference": ((known.calibration_records,), "float64"),
    }
    check_arrays(arrays, expected)
    if (np.diff(arrays["calibration/reference"]) < 0).any():
        raise refused("has calibration scores that are not in ascending order")


def check_arrays(arrays: Mapping[str, np.ndarray], expected: Expected) -> None:
    """Refuse arrays that are not all of those expected, of that shape and type, and finite.

    Raises:
        ArtifactError: with the first problem.
    """
    if missing := sorted(expected.keys() - arrays.keys()):
        raise refused(f"lacks the array {missing[0]}")
    if unknown := sorted(arrays.keys() - expected.keys()):
        raise refused(f"holds the array {unknown[0]}, which nothing needs")
    for name, (shape, dtype) in expected.items():
        found = arrays[name]
        if found.shape != shape or found.dtype != dtype:
            raise refused(f"has {name} as {found.dtype}{found.shape}, expected {dtype}{shape}")
        if not np.isfinite(found).all():
            raise refused(f"has numbers in {name} that are not finite")


def _points(grid: np.ndarray) -> int:
    if not 2 <= grid.shape[-1] <= GRID_POINTS:
        raise refused(f"has a grid of {grid.shape[-1]} points, expected 2 to {GRID_POINTS}")
    return grid.shape[-1]


def _first_problem(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"


def refused(reason: str) -> ArtifactError:
    """The error that an artifact is not as it was written."""
    return ArtifactError(f"The model artifact {reason}. It was not used; promote another model or train again.")
