"""Assesses whether the newest scored records still look like the training records of the champion."""

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from jobs.store import Store
from jobs.store.drifts import DriftResponse
from jobs.wording import counted_noun
from schemas.config import MonitorConfig

if TYPE_CHECKING:
    from detector.core.drift import Drift

_MAX_FEATURES_NAMED = 5


def assess_drift(store: Store, name: str, monitor: MonitorConfig, clock: Callable[[], datetime]) -> "Drift | None":
    """Assess the newest records that the champion has scored; on drift, write an event and request a training.

    Args:
        store: the service's own database.
        name: of the monitor.
        monitor: its settings.
        clock: the time now.

    Returns:
        The drift; None if there are too few records or new records, or the champion has no profile.

    Raises:
        ArtifactError: If the champion's profile is not as it was written.
    """
    champion = store.models.champion(name)
    window = None if champion is None else store.drifts.next_window(name, champion.model_id, monitor.drift.records)
    if window is None:
        return None
    from detector.core.drift import DriftRule, Profile, assess

    profile = Profile.from_state(store.models.get(window.model_id).about.profile)
    if profile is None:
        return None
    settings = monitor.drift
    drift = assess(profile, window.counts, DriftRule(settings.level, settings.distance, settings.psi))
    cooldown = monitor.retrain.cooldown if monitor.retrain.on_drift else None
    response = DriftResponse(drift_sentence(name, window.model_id, drift), monitor.channels, cooldown)
    return drift if store.drifts.add(window, drift, response, clock()) else None


def drift_sentence(monitor: str, model_id: int, drift: "Drift") -> str:
    """Return a sentence that names the features which drifted."""
    records = counted_noun(drift.records, "record")
    subject = f"the newest {records} of monitor {monitor!r}"
    if not drift.is_drift:
        return f"No drift: {subject} look like the training records of model {model_id}."
    named = [
        f"{feature} (stability index {drift.psi[feature]:.2g})" for feature in drift.features[:_MAX_FEATURES_NAMED]
    ]
    unnamed = len(drift.features) - _MAX_FEATURES_NAMED
    named += [f"{unnamed} more"] if unnamed > 0 else []
    scores = f"p-values lie {drift.ks_statistic:.2g} from uniform" if drift.is_score_drift else ""
    changes = "; ".join(filter(None, [", ".join(named), scores]))
    return f"Drift: {subject} no longer look like the training records of model {model_id}: {changes}."
