"""A trained model of series as data: one blob of safetensors and JSON.

Its promises are those of `detector.records.artifact`.

Reading one checks, in this order: the digest, the container, the manifest's keys and limits, then name, type and shape
of every array against what the manifest implies, then that the numbers are such as training makes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from detector.core.blob import (
    FORMAT_VERSION,
    MAX_CELLS,
    ArraySpecs,
    ManifestPart,
    artifact_error,
    check_arrays,
    read_arrays,
    read_manifest,
    write_blob,
)
from detector.series.deciles import COUNT
from detector.series.model import SHARED, SeriesModel
from detector.series.numpy_network import NETWORK_VIEWS, shapes
from detector.series.signals import LAGS, MEMORIES, VIEWS
from schemas.frames import Features
from schemas.series import LONGEST_HALF_LIFE

KIND = "series"
MAX_MODELS = 100_000
_PAST = 1 + len(LAGS) + len(MEMORIES)  # what a forecast of a channel starts from: one, lags and averages
_CHANNEL_ARRAYS = ("mean", "deviation", "lowest", "highest", "is_flag", "missing_share", "longest_still")
_POSITIVE = ("forecast/error", "own/error", "fusion/spread", "network/deviation", "network/resolution")
_NOT_NEGATIVE = ("fusion/weights", "channels/deviation", "channels/missing_share", "channels/longest_still")


@dataclass(frozen=True)
class SeriesArtifact:
    """Everything needed to score series.

    Attributes:
        features: the channels, numeric ones first.
        model: of the entities.
        rate: the false-positive rate that was asked for in training.
        entities: how many records each entity was trained on.
        about: what else the training wants remembered: library versions, training range.
    """

    features: Features
    model: SeriesModel
    rate: float
    entities: Mapping[str, int]
    about: Mapping[str, Any]


class _Settings(ManifestPart):
    models: Literal["per_entity", "shared", "auto"]
    max_gap: float | None = Field(gt=0)
    smoothing: tuple[Annotated[int, Field(ge=1, le=LONGEST_HALF_LIFE)], ...] = Field(min_length=1, max_length=8)
    reference: int = Field(ge=1)
    fewest: int = Field(ge=1)
    select: Literal["all", "auto"] = "all"
    network: bool = False
    seed: int = Field(0, ge=0)


class _NetworkSizes(ManifestPart):
    hidden: int = Field(ge=1, le=4096)
    latent: int = Field(ge=1, le=512)
    latents: int = Field(ge=1)


class _Sizes(ManifestPart):
    levels: int = Field(ge=1)
    departures: int = Field(ge=1)
    reference: int = Field(ge=1)
    network: _NetworkSizes | None = None


class _Manifest(ManifestPart):
    format_version: Literal[1]
    kind: Literal["series"]
    numeric: tuple[str, ...] = Field(max_length=MAX_CELLS)
    boolean: tuple[str, ...] = Field(max_length=MAX_CELLS)
    config: _Settings
    models: tuple[str, ...] = Field(min_length=1, max_length=MAX_MODELS)
    sizes: tuple[_Sizes, ...]
    rate: float = Field(gt=0, lt=1)
    entities: dict[str, Annotated[int, Field(ge=0)]] = Field(max_length=10 * MAX_MODELS)
    about: dict[str, Any]


def manifest(artifact: SeriesArtifact) -> dict[str, Any]:
    """The artifact without its arrays, as JSON can hold it."""
    arrays, state = artifact.model.to_state()
    names = state["models"]
    return {
        "format_version": FORMAT_VERSION,
        "kind": KIND,
        "numeric": list(artifact.features.numeric),
        "boolean": list(artifact.features.boolean),
        "config": state["settings"],
        "models": names,
        "sizes": [_sizes_of(index, arrays) for index in range(len(names))],
        "rate": artifact.rate,
        "entities": dict(artifact.entities),
        "about": dict(artifact.about),
    }


def _sizes_of(index: int, arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """What the manifest says of a model's sizes; what they are of channels it says once."""
    places = {"levels": "views/levels", "departures": "views/departures", "reference": "reference"}
    sizes: dict[str, Any] = {name: len(arrays[f"{index}/{place}"]) for name, place in places.items()}
    if f"{index}/network/latents" in arrays:
        hidden, latent = arrays[f"{index}/network/weights/encoder/mean/kernel"].shape
        sizes["network"] = {"hidden": hidden, "latent": latent, "latents": len(arrays[f"{index}/network/latents"])}
    return sizes


def dump_series(artifact: SeriesArtifact) -> bytes:
    """The artifact as a blob."""
    arrays, _ = artifact.model.to_state()
    return write_blob(manifest(artifact), arrays)


def load_series(blob: bytes, sha256: str) -> SeriesArtifact:
    """The artifact in a blob.

    Raises:
        ArtifactError: where the blob does not have that digest, or anything in it is not as written.
    """
    known = read_manifest(blob, sha256, _Manifest)
    features = Features(known.numeric, known.boolean)
    _check_names(known, features)
    arrays = read_arrays(blob)
    check_arrays(arrays, _expected(known, len(features.names), arrays))
    for name, array in arrays.items():
        _check_range(name, array)
    state = {"settings": known.config.model_dump(), "width": len(features.names), "models": known.models}
    return SeriesArtifact(features, SeriesModel.from_state(arrays, state), known.rate, known.entities, known.about)


def _check_names(known: _Manifest, features: Features) -> None:
    if len(set(features.names)) < len(features.names) or not features.names:
        raise artifact_error("has no features, or two of one name")
    if len(set(known.models)) < len(known.models):
        raise artifact_error("has two models of one name")
    if len(known.sizes) != len(known.models):
        raise artifact_error(f"has {len(known.models)} models and the sizes of {len(known.sizes)}")
    if SHARED not in known.models and known.config.models != "per_entity":
        raise artifact_error("lacks the model that entities share")
    if any((sizes.network is not None) != known.config.network for sizes in known.sizes):
        raise artifact_error(f"says network = {known.config.network}, and has a model of which that is not so")


def _expected(known: _Manifest, width: int, arrays: Mapping[str, np.ndarray]) -> ArraySpecs:
    expected: dict[str, tuple[tuple[int, ...], str]] = {}
    spans, views = len(known.config.smoothing), len(VIEWS) + len(NETWORK_VIEWS) * known.config.network
    for index, sizes in enumerate(known.sizes):
        shaped = _shaped(arrays, f"{index}/channels/is_flag", width)
        shapes: dict[str, tuple[tuple[int, ...], str]] = {
            **{f"channels/{name}": ((width,), "float64") for name in _CHANNEL_ARRAYS},
            "forecast/weights": ((1 + (_PAST - 1) * width, width), "float64"),
            "forecast/error": ((width,), "float64"),
            "own/weights": ((_PAST, width), "float64"),
            "own/error": ((width,), "float64"),
            "views/levels": ((sizes.levels, 3 * shaped), "float32"),
            "views/departures": ((sizes.departures, 3 * shaped), "float32"),
            "fusion/median": ((views,), "float64"),
            "fusion/centre": ((spans, views), "float64"),
            "fusion/spread": ((spans, views), "float64"),
            **({"fusion/weights": ((views,), "float64")} if known.config.select == "auto" else {}),
            "reference": ((sizes.reference,), "float64"),
            "deciles": ((COUNT + 1, width), "float64"),
            **({} if sizes.network is None else _of_network(sizes.network, 5 * shaped)),
        }
        expected |= {f"{index}/{name}": shape for name, shape in shapes.items()}
    return expected


def _of_network(sizes: _NetworkSizes, d: int) -> ArraySpecs:
    """The arrays of a network that sees d features."""
    weights = shapes(d, sizes.hidden, sizes.latent)
    return {
        "network/mean": ((d,), "float64"),
        "network/deviation": ((d,), "float64"),
        "network/typical": ((1,), "float64"),
        "network/resolution": ((sizes.latent,), "float64"),
        "network/latents": ((sizes.latents, sizes.latent), "float32"),
        **{f"network/weights/{name}": (shape, "float32") for name, shape in weights.items()},
    }


def _shaped(arrays: Mapping[str, np.ndarray], name: str, width: int) -> int:
    """How many channels of a model have a shape: all of them where none has."""
    is_flag = arrays.get(name)
    return width if is_flag is None else int((is_flag == 0).sum()) or width


def _check_range(name: str, array: np.ndarray) -> None:
    if name.endswith(_POSITIVE) and (array <= 0).any():
        raise artifact_error(f"has numbers in {name} that are not positive")
    if name.endswith(_NOT_NEGATIVE) and (array < 0).any():
        raise artifact_error(f"has numbers in {name} that are negative")
    if name.endswith("channels/is_flag") and not np.isin(array, [0, 1]).all():
        raise artifact_error(f"has numbers in {name} that are neither 0 nor 1")
    if name.endswith("/deciles") and (array[1:] < array[:-1]).any():
        raise artifact_error(f"has numbers in {name} that do not ascend")
