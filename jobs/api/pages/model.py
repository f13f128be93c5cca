"""The page of a model: what decided, its training, whether its p-values hold, and the drift of its features."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np

from jobs.api.pages.charts import Chart, chart
from jobs.api.service_view import ServiceView
from jobs.store import StoredModel
from jobs.store.history import StoredDrift

if TYPE_CHECKING:
    from detector.core.drift import Profile

_MAX_BATCHES = 100  # the newest, in whose records the p-values are counted
_MAX_DRIFTS, _MAX_FEATURES = 12, 15
_PSI_LEVELS = (0.1, 0.25, 1.0)


@dataclass(frozen=True)
class FeatureDrift:
    """The stability index of a feature in each assessment, oldest first; None if it was not assessed."""

    feature: str
    indexes: Sequence[float | None]


@dataclass(frozen=True)
class DriftTable:
    """The drift of the features that moved most, over the newest assessments.

    Attributes:
        assessed_at: the time of each assessment, oldest first.
        features: the most drifted first.
        n_features: number of all features.
    """

    assessed_at: Sequence[datetime]
    features: Sequence[FeatureDrift]
    n_features: int


@dataclass(frozen=True)
class ModelCharts:
    """The charts of a model; each None if there is nothing to draw.

    Attributes:
        training: the ELBO after each epoch.
        calibration: the share of scored records whose p-value is at most a nominal rate.
        counted: number of records in it.
        drift: the drift of the features.
    """

    training: Chart | None
    calibration: Chart | None
    counted: int
    drift: DriftTable | None


def model_charts(service: ServiceView, model: StoredModel) -> ModelCharts:
    """Return the charts of a model from what is stored; nothing is scored."""
    counts = service.store.drifts.newest_counts(model.monitor, model.id, _MAX_BATCHES)
    profile = _profile(model)
    drifts = [d for d in service.store.history.drifts(model.monitor, _MAX_DRIFTS) if d.model_id == model.id]
    return ModelCharts(
        training=_training(model),
        calibration=None if counts is None or profile is None else calibration_chart(profile, counts.p_values),
        counted=0 if counts is None else counts.records,
        drift=drift_table(drifts),
    )


def calibration_chart(profile: "Profile", counts: Sequence[int]) -> Chart | None:
    """Return the share of records whose p-value is at most a rate, compared with that of the calibration records.

    Args:
        profile: of the model.
        counts: scored records in each bin of p-values.
    """
    found, nominal = np.array(counts, dtype=float), np.array(profile.p_values, dtype=float)
    if not found.sum() or not nominal.sum():
        return None
    rates = np.append(0.0, np.cumsum(nominal) / nominal.sum())
    shares = np.append(0.0, np.cumsum(found) / found.sum())
    ideal, line = [(0.0, 0.0), (1.0, 1.0)], list(zip(rates.tolist(), shares.tolist(), strict=True))
    return chart([("as calibrated", "expected", ideal), ("scored records", "measured", line)])


def drift_table(drifts: Sequence[StoredDrift]) -> DriftTable | None:
    """Return the features that moved most in assessments, newest first; None without assessments."""
    if not drifts:
        return None
    ordered = list(reversed(drifts))
    largest: dict[str, float] = {}
    for drift in ordered:
        for feature, index in drift.psi.items():
            largest[feature] = max(index, largest.get(feature, 0.0))
    names = sorted(largest, key=lambda name: (-largest[name], name))
    features = [FeatureDrift(name, [drift.psi.get(name) for drift in ordered]) for name in names[:_MAX_FEATURES]]
    return DriftTable([drift.assessed_at for drift in ordered], features, len(names))


def psi_level(index: float) -> int:
    """Return the level of a stability index, from 1 to 4, by which it is coloured.

    >>> psi_level(0.05), psi_level(0.3), psi_level(2.0)
    (1, 3, 4)
    """
    return 1 + sum(index >= level for level in _PSI_LEVELS)


def _training(model: StoredModel) -> Chart | None:
    history = [epoch for epoch in model.about.history if epoch.elbo is not None]
    training = [(float(epoch.number), float(epoch.elbo or 0.0)) for epoch in history]
    held_out = [(float(e.number), float(e.held_out_elbo)) for e in history if e.held_out_elbo is not None]
    return chart([("training records", "measured", training), ("held-out records", "known", held_out)])


def _profile(model: StoredModel) -> "Profile | None":
    from detector.core.drift import Profile

    return Profile.from_state(model.about.profile)
