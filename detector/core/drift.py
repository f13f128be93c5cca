"""Drift: the distance of new records from a model's training records, by feature and by p-value.

A feature is measured by its population stability index, ``sum (a - b) ln(a / b)`` over its bins, for the shares a
among n new records and b among N training records. If both have the same distribution, the index is about
``(1 / n + 1 / N)`` times a chi-squared variable (Yurdakul, *Statistical Properties of Population Stability Index*,
2018); an index that chance explains is no drift, however large. Nor is an index that segments of the training
records reach themselves: a plant differs from hour to hour, and from week to week.

P-values of records like the calibration records are uniform up to the resolution of m calibration records. The
p-values of the calibration records are the second sample of a two-sample Kolmogorov-Smirnov test, so neither a small
calibration set nor tied scores look like drift. Binning can only shrink the distance, so the test errs on the safe
side.

P-values of series are autocorrelated: `memory` consecutive p-values carry as much information as one independent
p-value. The test is one-sided for series (`detector.series.drift` gives the reason).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

import numpy as np
import pandas as pd
from pydantic import Field, ValidationError

from detector.core.bins import Bins, Counts, Stored, StoredBins, stability_index
from detector.core.chi_square import exceeded_with
from schemas.errors import ArtifactError

P_VALUES = "p_values"
"""The key that p-values are counted under; features are counted under `feature_key`."""

P_VALUE_BINS = 40
MAX_SERIES_TERMS = 20
USUAL_PSI_FACTOR = 2.0  # an index must exceed so many times the largest index of a segment of training records


@dataclass(frozen=True)
class DriftRule:
    """The limits beyond which a change counts as drift.

    Attributes:
        level: significance level of the tests against chance.
        distance: minimum Kolmogorov-Smirnov distance of the p-values.
        psi: minimum population stability index of a feature.
    """

    level: float = 1e-4
    distance: float = 0.1
    psi: float = 0.25


@dataclass(frozen=True)
class Drift:
    """The distance of a window of records from a model's training records.

    Attributes:
        records: records in the window.
        ks_statistic: Kolmogorov-Smirnov distance of the p-values.
        ks_p_value: chance of so large a distance if nothing drifts.
        psi: population stability index of each feature, largest first.
        features: the features that drifted, largest index first.
        is_score_drift: whether the p-values drifted.
    """

    records: int
    ks_statistic: float
    ks_p_value: float
    psi: Mapping[str, float]
    features: tuple[str, ...]
    is_score_drift: bool

    @property
    def is_drift(self) -> bool:
        """Whether anything drifted."""
        return self.is_score_drift or bool(self.features)


class Profile(Stored):
    """The bins of all features, and the calibration records by p-value.

    Attributes:
        features: the bins of each feature.
        p_values: calibration records in each bin of p-values.
        memory: number of consecutive p-values that carry as much information as one independent p-value.
        tail: "any" if every change of the p-values is drift, "small" if only a surplus of small p-values is.
    """

    features: Annotated[dict[str, StoredBins], Field(min_length=1, max_length=100_000)]
    p_values: Annotated[Counts, Field(min_length=P_VALUE_BINS, max_length=P_VALUE_BINS)]
    memory: float = Field(1.0, ge=1)
    tail: Literal["any", "small"] = "any"

    @classmethod
    def fit(cls, records: pd.DataFrame, bins: Mapping[str, type[Bins]], p_values: np.ndarray, window: int) -> Self:
        """Return the profile of a model.

        Args:
            records: the training records, in order of time.
            bins: the type of the bins of each feature.
            p_values: p-values (m,) of the calibration records.
            window: size of the windows that will be compared with the training records.
        """
        fitted: dict[str, Any] = {
            name: kind.of(records[name]).fitted(records[name], window) for name, kind in bins.items()
        }
        return cls(features=fitted, p_values=tuple(_p_value_counts(p_values)))

    def widened(self, records: pd.DataFrame, window: int) -> Self:
        """Return the profile with the usual indexes raised to cover further normal records, in order of time."""
        widened = {name: bins.widened(records[name], window) for name, bins in self.features.items()}
        return self.model_copy(update={"features": widened})

    def counts(self, records: pd.DataFrame, p_values: np.ndarray) -> dict[str, list[int]]:
        """Count n records by bin, for each feature and for the p-values; not those whose p-value is NaN."""
        is_counted = ~np.isnan(p_values)
        rows = slice(None) if is_counted.all() else is_counted
        features = {feature_key(name): bins.count(records[name][rows]) for name, bins in self.features.items()}
        return {P_VALUES: _p_value_counts(p_values[is_counted]), **features}

    def to_state(self) -> dict[str, Any]:
        """Return the profile as JSON values."""
        return self.model_dump(mode="json")

    @classmethod
    def from_state(cls, state: Any) -> Self | None:
        """Return the profile that `to_state` wrote; None for a model without one.

        Raises:
            ArtifactError: If the state is not as it was written.
        """
        if state is None:
            return None
        try:
            return cls.model_validate(state)
        except ValidationError as exc:
            place = ".".join(str(part) for part in exc.errors(include_input=False)[0]["loc"])
            msg = (
                f"The profile of the model's training records is not as it was written (at {place or 'its top'}). "
                "Train again, or restore the store from a backup."
            )
            raise ArtifactError(msg) from exc


def feature_key(name: str) -> str:
    """Return the key that a feature is counted under, whatever its name.

    >>> feature_key("p_values")
    'feature:p_values'
    """
    return f"feature:{name}"


def assess(profile: Profile, counts: Mapping[str, Sequence[int]], rule: DriftRule) -> Drift:
    """Measure how far n > 0 records, counted by `Profile.counts`, lie from the profile."""
    p_values = np.array(counts[P_VALUES])
    distance, p_value = _kolmogorov_smirnov(profile, p_values)
    features = {name: (bins, np.array(counts[feature_key(name)])) for name, bins in profile.features.items()}
    indexes = {name: stability_index(np.array(bins.counts), new) for name, (bins, new) in features.items()}
    drifted = {
        name
        for name, (bins, new) in features.items()
        if indexes[name] >= max(rule.psi, USUAL_PSI_FACTOR * bins.usual)
        and indexes[name] >= index_by_chance(bins, new, rule.level / len(features))
    }
    ordered = dict(sorted(indexes.items(), key=lambda item: -item[1]))
    return Drift(
        records=int(p_values.sum()),
        ks_statistic=distance,
        ks_p_value=p_value,
        psi=ordered,
        features=tuple(name for name in ordered if name in drifted),
        is_score_drift=p_value < rule.level and distance >= rule.distance,
    )


def index_by_chance(bins: Bins, observed: np.ndarray, level: float) -> float:
    """Return the index that records of the training distribution exceed with a probability of `level`."""
    expected = np.array(bins.counts)
    used = int(((expected > 0) | (observed > 0)).sum())
    return float((1 / int(observed.sum()) + 1 / max(int(expected.sum()), 1)) * exceeded_with(level, max(used - 1, 1)))


def _kolmogorov_smirnov(profile: Profile, observed: np.ndarray) -> tuple[float, float]:
    """Return the distance of counted p-values from the profile's, and its p-value."""
    expected = np.array(profile.p_values)
    m, n = int(expected.sum()), int(observed.sum())
    if not m:
        return 0.0, 1.0
    excess = np.cumsum(observed) / n - np.cumsum(expected) / m
    size = m * n / (m + n) / profile.memory
    if profile.tail == "small":
        distance = max(float(np.max(excess)), 0.0)
        return distance, float(np.exp(-2 * size * distance**2))
    distance = float(np.abs(excess).max())
    return distance, _chance_beyond(np.sqrt(size) * distance)


def _chance_beyond(distance: float) -> float:
    """Return the chance that Kolmogorov's limit distribution exceeds a distance, by the series that converges faster.

    >>> round(_chance_beyond(1.36), 3)
    0.049
    """
    if distance < 0.1:  # all but exp(-123) lie beyond
        return 1.0
    terms = np.arange(1, MAX_SERIES_TERMS)
    if distance > 1:
        return float(2 * ((-1.0) ** (terms - 1) * np.exp(-2 * (terms * distance) ** 2)).sum())
    below = np.exp(-(((2 * terms - 1) * np.pi / distance) ** 2) / 8).sum()
    return float(1 - np.sqrt(2 * np.pi) / distance * below)


def _p_value_counts(p_values: np.ndarray) -> list[int]:
    """Count n p-values in equally wide bins of (0, 1]."""
    places = np.ceil(np.asarray(p_values) * P_VALUE_BINS).astype(int) - 1
    return np.bincount(np.clip(places, 0, P_VALUE_BINS - 1), minlength=P_VALUE_BINS).tolist()
