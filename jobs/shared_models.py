"""A model of one monitor for another with the same features, such as those of the parts of a table."""

from datetime import datetime

from jobs.kinds import kind_of
from jobs.scoring.learned_features import learned_features
from jobs.store import Champion, NewModel, Store
from schemas.config import MonitorConfig
from schemas.errors import UsageError
from schemas.frames import Features


def copy_model(store: Store, model_id: int, name: str, monitor: MonitorConfig, at: datetime) -> int:
    """Store a copy of a model as a challenger of another monitor, and return its id.

    Args:
        store: the service's own database.
        model_id: of the model.
        name: the other monitor's.
        monitor: its configuration.
        at: the time now.

    Raises:
        UsageError: If there is no such model, it was never a champion, its artifact was deleted, or the monitor has
            other features.
        ArtifactError: If the model is of another kind than those of the monitor.
        RateTooSmall: If its calibration records cannot resolve the rate of the monitor.
    """
    model = store.models.get(model_id)
    if model.promoted_at is None or model.pruned_at is not None:
        reason = "was never a champion" if model.pruned_at is None else "has lost its artifact"
        raise UsageError(f"Model {model_id} {reason}. Name one that monitor {model.monitor!r} was scored with.")
    learned = learned_features(store, model_id, monitor)
    if not _are_same(learned, monitor.features):
        raise UsageError(
            f"Model {model_id} learned {_listed(learned)}, and monitor {name!r} watches {_listed(monitor.features)}. "
            "Give both monitors the same features in config.toml."
        )
    blob = store.models.blob(model_id)
    kind_of(monitor).load(blob, Champion(model_id, name, model.sha256, model.created_at, at), monitor)
    card = store.models.card_markdown(model_id)
    return store.models.add(name, NewModel(blob, model.sha256, model.manifest, model.card, card), at, promote=False)


def _are_same(learned: Features, watched: Features) -> bool:
    return {kind: {*names} for kind, names in learned.by_type().items()} == {
        kind: {*names} for kind, names in watched.by_type().items()
    }


def _listed(features: Features) -> str:
    return ", ".join(f"{kind} {list(names)}" for kind, names in features.by_type().items() if names)
