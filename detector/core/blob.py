"""The container of model artifacts: safetensors arrays and a JSON manifest in one blob; no code, no pickle.

The layout is the safetensors format; its metadata holds the manifest under the key "manifest". Reading checks, in this
order: the size, the digest, the header, the format version, the manifest's keys and limits, then the name, type and
shape of every array against the shapes that the manifest implies.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, TypeAlias, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load, save

from schemas.errors import ArtifactError

FORMAT_VERSION = 1
MAX_BYTES = 2**31
MAX_CELLS = 100_000
_MAX_HEADER_BYTES = 100 * 2**20

ArraySpecs: TypeAlias = Mapping[str, tuple[tuple[int, ...], str]]
"""Shape and type of each array, by name."""


class ManifestPart(BaseModel):
    """A part of a manifest; unknown keys and non-finite numbers are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


_Manifest = TypeVar("_Manifest", bound=ManifestPart)


def digest(blob: bytes) -> str:
    """Return the SHA-256 of a blob in hexadecimal digits."""
    return hashlib.sha256(blob).hexdigest()


def write_blob(manifest: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> bytes:
    """Pack a manifest and arrays into a blob."""
    text = json.dumps(manifest, sort_keys=True, allow_nan=False)
    return save({name: np.ascontiguousarray(array) for name, array in arrays.items()}, metadata={"manifest": text})


def read_manifest(blob: bytes, sha256: str, form: type[_Manifest]) -> _Manifest:
    """Read the manifest from the header, before any array is created.

    Raises:
        ArtifactError: If the blob has another digest, or its manifest does not have that form.
    """
    if len(blob) > MAX_BYTES:
        raise artifact_error(f"has {len(blob)} bytes, more than {MAX_BYTES}")
    if digest(blob) != sha256:
        raise artifact_error(
            f"has the SHA-256 {digest(blob)[:12]}…, recorded was {sha256[:12]}…: it was changed or truncated"
        )
    manifest = _read_header(blob)
    if not isinstance(manifest, dict) or manifest.get("format_version") != FORMAT_VERSION:
        version = manifest.get("format_version") if isinstance(manifest, dict) else None
        raise artifact_error(f"has the format version {version!r}, this program reads {FORMAT_VERSION}")
    try:
        return form.model_validate(manifest)
    except ValidationError as exc:
        raise artifact_error(f"has a manifest with a wrong {first_problem(exc)}") from exc


def read_arrays(blob: bytes) -> dict[str, np.ndarray]:
    """Read the arrays by name.

    Raises:
        ArtifactError: If the blob is not a valid safetensors container.
    """
    try:
        return load(blob)
    except (SafetensorError, ValueError, OverflowError, KeyError) as exc:  # KeyError: a type that NumPy lacks
        raise artifact_error(f"is no valid safetensors container ({exc})") from exc


def check_arrays(arrays: Mapping[str, np.ndarray], specs: ArraySpecs) -> None:
    """Check that the arrays have the specified names, shapes and types, and are finite.

    Raises:
        ArtifactError: On the first problem.
    """
    if missing := sorted(specs.keys() - arrays.keys()):
        raise artifact_error(f"lacks the array {missing[0]}")
    if unknown := sorted(arrays.keys() - specs.keys()):
        raise artifact_error(f"holds the array {unknown[0]}, which nothing needs")
    for name, (shape, dtype) in specs.items():
        array = arrays[name]
        if array.shape != shape or array.dtype != dtype:
            raise artifact_error(f"has {name} as {array.dtype}{array.shape}, expected {dtype}{shape}")
        if not np.isfinite(array).all():
            raise artifact_error(f"has numbers in {name} that are not finite")


def first_problem(error: ValidationError) -> str:
    """Return the location and message of the first problem in a validation error."""
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"


def artifact_error(reason: str) -> ArtifactError:
    """Return the error for an artifact that cannot be used; the reason continues "The model artifact"."""
    return ArtifactError(f"The model artifact {reason}. It was not used; promote another model or train again.")


def _read_header(blob: bytes) -> Any:
    size = int.from_bytes(blob[:8], "little")
    if len(blob) < 8 or size > min(len(blob) - 8, _MAX_HEADER_BYTES):
        raise artifact_error("is truncated: its header is longer than the blob")
    try:
        return json.loads(json.loads(blob[8 : 8 + size])["__metadata__"]["manifest"])
    except (ValueError, KeyError, TypeError, RecursionError) as exc:
        raise artifact_error("has no readable manifest") from exc
