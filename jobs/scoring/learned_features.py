"""The columns that a champion learned: records are scored with them until the next training."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from jobs.reading.source import Source
from jobs.store import NewEvent, Store
from schemas.config import MonitorConfig
from schemas.frames import Features

_TYPES = {"number": "numeric", "flag": "boolean", "category": "categorical", "timestamp": "timestamp"}
"""The type of features that are learned as columns of a type, for models that name no features."""


def watch_learned_features(source: Source, store: Store, model_id: int, at: datetime) -> None:
    """Make a source read the columns of a model, and report if the configuration lists others by now."""
    configured, name = source.monitor.features, source.name
    learned = learned_features(store, model_id, source.monitor)
    if _types_of(learned) == _types_of(configured):
        store.events.close("features_changed", name, at)
        return
    source.watch(learned)
    store.events.open(NewEvent("features_changed", _message(name, model_id, learned, configured), name), at)


def learned_features(store: Store, model_id: int, monitor: MonitorConfig) -> Features:
    """Return the columns that a model learned, by type; those of the monitor if the model does not name its own."""
    manifest = store.models.columns(model_id)
    if features := manifest.get("features"):
        return Features(**{kind: tuple(names) for kind, names in features.items()})
    if manifest.get("numeric") is not None:  # a model of series
        return Features(tuple(manifest["numeric"]), tuple(manifest.get("boolean") or ()))
    columns = manifest.get("columns")
    return _by_column(columns, monitor.features) if columns else monitor.features


def features_as_json(features: Features) -> dict[str, list[str]]:
    """Return features as the manifest of a model names them."""
    return {kind: list(names) for kind, names in asdict(features).items()}


def _by_column(columns: Any, configured: Features) -> Features:
    """Return the features of a model of an earlier version, in the types of the configuration if it lists them."""
    types = _types_of(configured)
    learned: dict[str, list[str]] = {kind: [] for kind in configured.by_type()}
    for column in columns:
        kind = types.get(column["name"]) or _type_of(column)
        learned[kind].append(column["name"])
    return Features(**{kind: tuple(names) for kind, names in learned.items()})


def _types_of(features: Features) -> dict[str, str]:
    return {name: kind for kind, names in features.by_type().items() for name in names}


def _type_of(column: Mapping[str, Any]) -> str:
    is_text = isinstance(column.get("value"), str)
    return _TYPES.get(column["type"], "categorical" if is_text else "numeric")


def _message(name: str, model_id: int, learned: Features, configured: Features) -> str:
    added = [feature for feature in configured.names if feature not in learned.names]
    removed = [feature for feature in learned.names if feature not in configured.names]
    changes = [f"adds {', '.join(added)}"] * bool(added) + [f"leaves out {', '.join(removed)}"] * bool(removed)
    return (
        f"config.toml now {' and '.join(changes) or 'lists features of other types'} for monitor {name!r}. Until its "
        f"next training, records are scored with the columns that model {model_id} learned: plumbline train {name}"
    )
