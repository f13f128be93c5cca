"""A trained model of series as data, in the container of `detector.core.blob`.

After the checks of the container, loading checks that all numbers are in the range that training produces.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import date
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, Field

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
from detector.series.calendar import MONTH_PLACES
from detector.series.clock import MAX_DAY_SLOTS, MONTH_DAYS, WEEK_DAYS
from detector.series.deciles import DECILES
from detector.series.dispersion import HALF_LIVES
from detector.series.model import SHARED, SeriesModel
from detector.series.network import shapes
from detector.series.recent_days import MAX_DAY_ROWS, MIN_DAY_ROWS
from detector.series.settings import ScoreName
from detector.series.signals import NETWORK_SIGNALS, PREDICTORS, TOTAL_SIGNALS, profile_blocks, signal_names
from detector.series.standing import Standing
from schemas.frames import Features
from schemas.section import TimeZone
from schemas.series import LONGEST_HALF_LIFE

KIND = "series"
MAX_MODELS = 100_000
MAX_HOLIDAYS = 10_000
_CHANNEL_ARRAYS = ("mean", "deviation", "lowest", "highest", "is_flag", "missing_share", "longest_still")
_MEMORY_ARRAYS = ("channels/largest_move", "fusion/highest")  # older models have none of them
_STANDING_ARRAYS = tuple(f"channels/{field.name}" for field in fields(Standing))
_PRESENT = {  # arrays that only some models have
    "has_counters": "counters/step",
    "has_weights": "fusion/weights",
    "has_added": "fusion/added",
    "has_off": "off/value",
    "has_joint": "joint/mean",
    "has_relation": "relation/error",
    "has_total": "total/deviation",
    "has_dispersion": "dispersion/middle",
    "has_never_still": "channels/never_still",
    "has_standing": "channels/rest",
    "has_silent_rows": "channels/silent_rows",
    "has_moves": "calendar/largest_move",
    "has_recent": "calendar/day_rows",
    "has_alternation": "calendar/weeks",
}
_POSITIVE = (
    "forecast/error",
    "own/error",
    "relation/error",
    "total/deviation",
    "dispersion/lowest",
    "dispersion/middle",
    "dispersion/highest",
    "fusion/spread",
    "calendar/spread",
    "counters/step",
    "network/deviation",
    "network/resolution",
)
_YES_OR_NO = (
    "channels/is_flag",
    "channels/never_still",
    "calendar/is_used",
    "calendar/is_moving",
    "relation/is_used",
    "dispersion/is_used",
    "counters/is_counter",
    "off/is_part",
)
_NOT_NEGATIVE = (
    "channels/silent_rows",
    "fusion/weights",
    "fusion/added",
    "dispersion/largest_error",
    "channels/deviation",
    "channels/missing_share",
    "channels/longest_still",
    "channels/largest_move",
    "joint/largest",
    *_STANDING_ARRAYS[1:],  # all but the value of rest
    "calendar/largest_move",
)


@dataclass(frozen=True)
class SeriesArtifact:
    """All data that scoring of series needs.

    Attributes:
        features: the channels, numeric channels first.
        model: the model of all entities.
        rate: the false-positive rate that training was configured with.
        entities: number of training records by entity.
        about: the origin of the model, as `detector.core.about.About` reads it.
    """

    features: Features
    model: SeriesModel
    rate: float
    entities: Mapping[str, int]
    about: Mapping[str, Any]


def _check_day(text: str) -> str:
    return date.fromisoformat(text).isoformat()


class _Settings(ManifestPart):
    models: Literal["per_entity", "shared", "auto"]
    max_gap: float | None = Field(gt=0)
    smoothing: tuple[Annotated[int, Field(ge=1, le=LONGEST_HALF_LIFE)], ...] = Field(min_length=1, max_length=8)
    reference: int = Field(ge=1)
    fewest: int = Field(ge=1)
    select: Literal["all", "auto"] = "all"
    calendar: Literal["auto"] | bool = False
    time_zone: TimeZone = "UTC"
    holidays: tuple[Annotated[str, AfterValidator(_check_day)], ...] = Field((), max_length=MAX_HOLIDAYS)
    network: bool = False
    score: ScoreName = "fused"
    recovery: bool = False
    recent_causes: bool = False
    seed: int = Field(0, ge=0)


class _NetworkSizes(ManifestPart):
    hidden: int = Field(ge=1, le=4096)
    latent: int = Field(ge=1, le=512)
    latents: int = Field(ge=1)


class _Sizes(ManifestPart):
    levels: int = Field(ge=1)
    departures: int = Field(ge=1)
    reference: int = Field(ge=1)
    has_never_still: bool = False
    has_standing: bool = False
    has_silent_rows: bool = False
    has_moves: bool = False  # away from the calendar
    has_recent: bool = False  # days, with which usual values move
    has_alternation: bool = False  # of weeks
    has_month_ends: bool = False
    has_counters: bool = False
    has_off: bool = False
    has_joint: bool = False
    has_relation: bool = False
    has_total: bool = False
    has_dispersion: bool = False
    has_weights: bool = False
    has_added: bool = False
    calendar: int | None = Field(None, ge=1, le=MAX_DAY_SLOTS)
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
    """Return the artifact without its arrays, as JSON values."""
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
    """Return the sizes of a model's arrays; the manifest holds the number of channels once for all models."""
    names = {"levels": "views/levels", "departures": "views/departures", "reference": "reference"}
    sizes: dict[str, Any] = {size: len(arrays[f"{index}/{name}"]) for size, name in names.items()}
    sizes |= {size: True for size, name in _PRESENT.items() if f"{index}/{name}" in arrays}
    if f"{index}/calendar/centre" in arrays:
        weeks = 2 if sizes.get("has_alternation") else 1
        sizes["calendar"] = len(arrays[f"{index}/calendar/centre"]) // (WEEK_DAYS * weeks)
        sizes |= {"has_month_ends": True} if len(arrays[f"{index}/calendar/month"]) > MONTH_DAYS else {}
    if f"{index}/network/latents" in arrays:
        hidden, latent = arrays[f"{index}/network/weights/encoder/mean/kernel"].shape
        sizes["network"] = {"hidden": hidden, "latent": latent, "latents": len(arrays[f"{index}/network/latents"])}
    return sizes


def dump_series(artifact: SeriesArtifact) -> bytes:
    """Pack the artifact into a blob."""
    arrays, _ = artifact.model.to_state()
    return write_blob(manifest(artifact), arrays)


def load_series(blob: bytes, sha256: str) -> SeriesArtifact:
    """Unpack the artifact in a blob.

    Raises:
        ArtifactError: If the blob has another digest, or its content is not valid.
    """
    manifest = read_manifest(blob, sha256, _Manifest)
    features = Features(manifest.numeric, manifest.boolean)
    _check_names(manifest, features)
    arrays = read_arrays(blob)
    check_arrays(arrays, _specs(manifest, len(features.names), arrays))
    for name, array in arrays.items():
        _check_range(name, array)
    state = {"settings": manifest.config.model_dump(), "width": len(features.names), "models": manifest.models}
    model = SeriesModel.from_state(arrays, state)
    return SeriesArtifact(features, model, manifest.rate, manifest.entities, manifest.about)


def _check_names(manifest: _Manifest, features: Features) -> None:
    if len(set(features.names)) < len(features.names) or not features.names:
        raise artifact_error("has no features, or two of one name")
    if len(set(manifest.models)) < len(manifest.models):
        raise artifact_error("has two models of one name")
    if len(manifest.sizes) != len(manifest.models):
        raise artifact_error(f"has {len(manifest.models)} models and the sizes of {len(manifest.sizes)}")
    if SHARED not in manifest.models and manifest.config.models != "per_entity":
        raise artifact_error("lacks the model that entities share")
    if manifest.config.score != "fused" and not manifest.config.network:
        raise artifact_error(f"is calibrated on {manifest.config.score}, and has no network")
    if any((sizes.network is not None) != manifest.config.network for sizes in manifest.sizes):
        raise artifact_error(f"is configured with network = {manifest.config.network}, but a model does not match")


def _specs(manifest: _Manifest, width: int, arrays: Mapping[str, np.ndarray]) -> ArraySpecs:
    specs: dict[str, tuple[tuple[int, ...], str]] = {}
    spans = len(manifest.config.smoothing)
    for index, sizes in enumerate(manifest.sizes):
        signals = len(_signals_of(sizes))
        may_weigh = sizes.network is not None and sizes.has_weights  # networks of earlier versions have none
        continuous = _continuous_channels(arrays, f"{index}/channels/is_flag", width)
        shapes: dict[str, tuple[tuple[int, ...], str]] = {
            **{f"channels/{name}": ((width,), "float64") for name in _CHANNEL_ARRAYS},
            "forecast/weights": ((1 + (PREDICTORS - 1) * width, width), "float64"),
            "forecast/error": ((width,), "float64"),
            "own/weights": ((PREDICTORS, width), "float64"),
            "own/error": ((width,), "float64"),
            "views/levels": ((sizes.levels, 3 * continuous), "float32"),
            "views/departures": ((sizes.departures, 3 * continuous), "float32"),
            "fusion/median": ((signals,), "float64"),
            "fusion/centre": ((spans, signals), "float64"),
            "fusion/spread": ((spans, signals), "float64"),
            **({"fusion/weights": ((signals,), "float64")} if manifest.config.select == "auto" or may_weigh else {}),
            **_memory_specs(index, arrays, width, signals),
            "reference": ((sizes.reference,), "float64"),
            "deciles": ((DECILES + 1, width), "float64"),
            **_optional_specs(sizes, width, continuous),
        }
        specs |= {f"{index}/{name}": shape for name, shape in shapes.items()}
    return specs


def _signals_of(sizes: _Sizes) -> tuple[str, ...]:
    return signal_names(
        has_relation=sizes.has_relation,
        has_dispersion=sizes.has_dispersion,
        has_calendar=sizes.calendar is not None,
        has_network=sizes.network is not None,
        has_total=sizes.has_total,
    )


def _optional_specs(sizes: _Sizes, width: int, continuous: int) -> ArraySpecs:
    """Return the specification of the arrays of parts that only some models have."""
    specs = {**_channel_specs(sizes, width)}
    if sizes.has_off:
        specs |= dict.fromkeys(("off/is_part", "off/value"), ((width,), "float64"))
    if sizes.has_counters:
        specs |= dict.fromkeys(("counters/is_counter", "counters/increase"), ((width,), "float64"))
        specs["counters/step"] = ((1,), "float64")
    specs |= _joint_specs(width) if sizes.has_joint else {}
    specs |= _relation_specs(width) if sizes.has_relation else {}
    specs |= _dispersion_specs(width) if sizes.has_dispersion else {}
    if sizes.calendar is not None:
        specs |= _calendar_specs(sizes, sizes.calendar, width)
    specs |= _profile_specs(sizes, profile_blocks(has_calendar=sizes.calendar is not None) * continuous)
    return specs


def _profile_specs(sizes: _Sizes, d: int) -> ArraySpecs:
    """Return the specification of the arrays for the total and the network, which see d features."""
    specs: dict[str, tuple[tuple[int, ...], str]] = {}
    if sizes.network is not None:
        specs |= _network_specs(sizes.network, d)
    if sizes.has_total:
        specs |= {f"total/{name}": ((d,), "float64") for name in ("mean", "deviation")}
    added = len(TOTAL_SIGNALS) * sizes.has_total + len(NETWORK_SIGNALS) * (sizes.network is not None)
    if sizes.has_total or (added and sizes.has_added):  # networks of earlier versions add nothing
        specs["fusion/added"] = ((added,), "float64")
    return specs


def _channel_specs(sizes: _Sizes, width: int) -> ArraySpecs:
    present = {"channels/never_still": sizes.has_never_still, "channels/silent_rows": sizes.has_silent_rows}
    present |= dict.fromkeys(_STANDING_ARRAYS, sizes.has_standing)
    return {name: ((width,), "float64") for name, is_present in present.items() if is_present}


def _joint_specs(width: int) -> ArraySpecs:
    shapes = {"mean": (width,), "whitening": (width, width), "largest": (1,)}
    return {f"joint/{name}": (shape, "float64") for name, shape in shapes.items()}


def _relation_specs(width: int) -> ArraySpecs:
    shapes = {"weights": (1 + width, width), "error": (width,), "is_used": (width,)}
    return {f"relation/{name}": (shape, "float64") for name, shape in shapes.items()}


def _dispersion_specs(width: int) -> ArraySpecs:
    channels = dict.fromkeys(("is_used", "largest_error"), (width,))
    spans = dict.fromkeys(("lowest", "middle", "highest"), (len(HALF_LIVES), width))
    return {f"dispersion/{name}": (shape, "float64") for name, shape in (channels | spans).items()}


def _calendar_specs(sizes: _Sizes, day_slots: int, width: int) -> ArraySpecs:
    slots = (2 if sizes.has_alternation else 1) * WEEK_DAYS * day_slots
    specs: dict[str, tuple[tuple[int, ...], str]] = {
        "calendar/is_used": ((width,), "float64"),
        "calendar/centre": ((slots, width), "float32"),
        "calendar/spread": ((slots, width), "float32"),
        "calendar/month": ((2 * MONTH_PLACES if sizes.has_month_ends else MONTH_DAYS, width), "float32"),
    }
    if sizes.has_moves:
        specs["calendar/largest_move"] = ((width,), "float64")
    if sizes.has_recent:
        specs |= {"calendar/is_moving": ((width,), "float64"), "calendar/day_rows": ((1,), "float64")}
    if sizes.has_alternation:
        specs["calendar/weeks"] = ((1,), "float64")
    return specs


def _memory_specs(index: int, arrays: Mapping[str, np.ndarray], width: int, signals: int) -> ArraySpecs:
    """Return the specification of the arrays that keep glitches out of the past, if the model has one of them."""
    if not any(f"{index}/{name}" in arrays for name in _MEMORY_ARRAYS):
        return {}
    return {name: ((size,), "float64") for name, size in zip(_MEMORY_ARRAYS, (width, signals), strict=True)}


def _network_specs(sizes: _NetworkSizes, d: int) -> ArraySpecs:
    """Return the specification of the arrays of a network with d input features."""
    weights = shapes(d, sizes.hidden, sizes.latent)
    return {
        "network/mean": ((d,), "float64"),
        "network/deviation": ((d,), "float64"),
        "network/typical": ((1,), "float64"),
        "network/resolution": ((sizes.latent,), "float64"),
        "network/latents": ((sizes.latents, sizes.latent), "float32"),
        **{f"network/weights/{name}": (shape, "float32") for name, shape in weights.items()},
    }


def _continuous_channels(arrays: Mapping[str, np.ndarray], name: str, width: int) -> int:
    """Count the continuous channels of a model, as `Channels.continuous` does."""
    is_flag = arrays.get(name)
    return width if is_flag is None else int((is_flag == 0).sum()) or width


def _check_range(name: str, array: np.ndarray) -> None:
    if name.endswith(_POSITIVE) and (array <= 0).any():
        raise artifact_error(f"has numbers in {name} that are not positive")
    if name.endswith(_NOT_NEGATIVE) and (array < 0).any():
        raise artifact_error(f"has numbers in {name} that are negative")
    if name.endswith(_YES_OR_NO) and not np.isin(array, [0, 1]).all():
        raise artifact_error(f"has numbers in {name} that are neither 0 nor 1")
    if name.endswith("calendar/weeks") and array[0] != 2:
        raise artifact_error(f"has a number in {name} that is not 2")
    if name.endswith("calendar/day_rows") and not MIN_DAY_ROWS <= array[0] <= MAX_DAY_ROWS:
        raise artifact_error(f"has a number in {name} that is not from {MIN_DAY_ROWS} to {MAX_DAY_ROWS}")
    if name.endswith("/deciles") and (array[1:] < array[:-1]).any():
        raise artifact_error(f"has numbers in {name} that do not ascend")
