"""How far new records moved from those that a model was made from: each feature, and the p-values.

Records are counted in bins that the training fixed, so that the counts of batches add up to those of any window.

A feature is measured by its population stability index, ``sum (a - b) ln(a / b)`` over its bins, for the shares a
among n new records and b among N training records. Where both are of one distribution, the index is about
``(1 / n + 1 / N)`` times a chi-squared variable (Yurdakul, *Statistical Properties of Population Stability Index*,
2018); one that chance explains is no drift, however large. Nor is one such as segments of the training records
themselves have: a plant differs from hour to hour, and from one week to the next.

P-values of records like the calibration records are uniform, as far as m of these can tell: their own p-values are
the other sample of a two-sample Kolmogorov-Smirnov test. So neither a small calibration set nor scores with ties
look like drift. Binned, the distance is at most that of the single values, and the test errs on the safe side.

P-values of series resemble their neighbours', so that `memory` of them say as much as one of independent records; and
the test is one-sided there (`detector.series.drift` says why).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from scipy.special import chdtri, kolmogorov

from detector.core.floats import as_floats
from schemas.errors import ArtifactError
from schemas.frames import Features

P_VALUES = "p_values"
"""What the p-values are counted under; features are counted under `feature_key`."""

P_VALUE_BINS = 40
NUMBER_BINS = 10
MOST_LEVELS = 30
_LEAST_STRETCHES = 4
_MOST_STRETCHES = 100
_BEYOND = 2.0  # times what a segment of training records differs from all: the next may well exceed the largest
_SMOOTHING = 0.5  # a record's half in every bin, so that an empty one has a logarithm

Counts = Annotated[tuple[Annotated[int, Field(ge=0, le=2**53)], ...], Field(max_length=1_000)]


@dataclass(frozen=True)
class DriftRule:
    """What counts as drift.

    Attributes:
        level: of the tests against chance.
        distance: least Kolmogorov-Smirnov distance of the p-values.
        psi: least population stability index of a feature.
    """

    level: float = 1e-4
    distance: float = 0.1
    psi: float = 0.25


@dataclass(frozen=True)
class Drift:
    """How far a window of records lies from what the model was made from.

    Attributes:
        records: in the window.
        ks_statistic: Kolmogorov-Smirnov distance of the p-values.
        ks_p_value: chance of so large a distance where nothing drifts.
        psi: population stability index of each feature, largest first.
        features: those that drifted, largest index first.
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


class _State(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Bins(_State):
    """The bins of one feature; the last two hold values that training did not see, and nulls.

    Attributes:
        counts: training records in each.
        usual: the largest stability index of a segment of training records.
    """

    counts: Counts
    usual: float = Field(0.0, ge=0)

    def count(self, values: pd.Series) -> list[int]:
        """How many of n values lie in each bin."""
        return self._counted(self._places(values)).tolist()

    def fitted(self, values: pd.Series, window: int) -> Self:
        """These bins with what training values, in order of time, have in them; segments are as long as a window."""
        counts = self._counted(self._places(values))
        of_all = self.model_copy(update={"counts": tuple(counts.tolist())})
        return of_all.widened(values, max(1, min(window, len(values) // _LEAST_STRETCHES)))

    def widened(self, values: pd.Series, window: int) -> Self:
        """These bins where segments of normal values, in order of time and as long as a window, are usual too."""
        places, expected, size = self._places(values), np.array(self.counts), min(window, len(values))
        starts = np.linspace(0, len(values) - size, min(len(values) // size, _MOST_STRETCHES)).astype(int)
        found = [stability_index(expected, self._counted(places[start : start + size])) for start in starts]
        return self.model_copy(update={"usual": max(self.usual, *found)})

    def _counted(self, places: np.ndarray) -> np.ndarray:
        return np.bincount(places, minlength=self._size())

    def _places(self, values: pd.Series) -> np.ndarray:
        """(n,) the bin of each value."""
        raise NotImplementedError

    def _size(self) -> int:
        raise NotImplementedError

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(self.counts) != self._size():
            msg = f"{len(self.counts)} counts for {self._size()} bins"
            raise ValueError(msg)
        return self


class RangeBins(Bins):
    """Bins from `low` up to each of `tops`, about equally full of training records."""

    low: float
    tops: Annotated[tuple[float, ...], Field(max_length=NUMBER_BINS)]

    @classmethod
    def of(cls, values: pd.Series) -> Self:
        """The bins, still empty, for these training values."""
        floats = cls._floats(values)
        known = floats[np.isfinite(floats)]
        ranks = np.arange(1, NUMBER_BINS + 1) / NUMBER_BINS
        tops = np.unique(np.quantile(known, ranks, method="inverted_cdf")) if len(known) else np.zeros(0)
        low = float(known.min()) if len(known) else 0.0
        return cls(low=low, tops=tuple(tops.tolist()), counts=(0,) * (len(tops) + 2))

    @staticmethod
    def _floats(values: pd.Series) -> np.ndarray:
        return as_floats(values)

    def _places(self, values: pd.Series) -> np.ndarray:
        floats = self._floats(values)
        unseen, null = len(self.tops), len(self.tops) + 1
        places = np.searchsorted(np.array(self.tops), floats, side="left")
        return np.where(np.isnan(floats), null, np.where(floats < self.low, unseen, places))

    def _size(self) -> int:
        return len(self.tops) + 2

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        ends = (self.low, *self.tops)
        if any(left > right for left, right in pairwise(ends)):
            raise ValueError("the bins do not ascend")
        return self


class NumberBins(RangeBins):
    """Bins of numbers and flags."""

    kind: Literal["number"] = "number"


class TimeBins(RangeBins):
    """Bins of date-times by the time of day."""

    kind: Literal["time"] = "time"

    @staticmethod
    def _floats(values: pd.Series) -> np.ndarray:
        times = pd.to_datetime(values, utc=True)
        return (times - times.dt.normalize()).dt.total_seconds().to_numpy(np.float64)


class LevelBins(Bins):
    """A bin for each of the frequent categories; rare ones count as not seen."""

    kind: Literal["level"] = "level"
    levels: Annotated[tuple[str, ...], Field(max_length=MOST_LEVELS)]

    @classmethod
    def of(cls, values: pd.Series) -> Self:
        """The bins, still empty, for these training values."""
        frequent = values.astype("str").value_counts().index[:MOST_LEVELS]
        return cls(levels=tuple(map(str, frequent)), counts=(0,) * (len(frequent) + 2))

    def _places(self, values: pd.Series) -> np.ndarray:
        texts = values.astype("str")
        unseen, null = len(self.levels), len(self.levels) + 1
        codes, distinct = pd.factorize(texts, use_na_sentinel=True)
        place_of = {level: place for place, level in enumerate(self.levels)}
        places = np.array([place_of.get(level, unseen) for level in distinct] + [null])
        return places[codes]  # a null has the code -1, the last entry

    def _size(self) -> int:
        return len(self.levels) + 2

    @model_validator(mode="after")
    def _check_distinct(self) -> Self:
        if len(set(self.levels)) < len(self.levels):
            raise ValueError("two bins of one level")
        return self


class Profile(_State):
    """The bins of all features, and the calibration records by p-value.

    Attributes:
        features: the bins of each.
        p_values: calibration records in each bin of p-values.
        memory: how many p-values in a row say as much as one of independent records.
        tail: which p-values drift when there are more of them.
    """

    features: Annotated[
        dict[str, Annotated[NumberBins | TimeBins | LevelBins, Field(discriminator="kind")]],
        Field(min_length=1, max_length=100_000),
    ]
    p_values: Annotated[Counts, Field(min_length=P_VALUE_BINS, max_length=P_VALUE_BINS)]
    memory: float = Field(1.0, ge=1)
    tail: Literal["any", "small"] = "any"

    @classmethod
    def fit(cls, records: pd.DataFrame, features: Features, p_values: np.ndarray, window: int) -> Self:
        """The profile of a model.

        Args:
            records: the training records, in order of time.
            features: of the model.
            p_values: (m,) of the calibration records.
            window: how many records will be compared with them.
        """
        kinds: dict[str, type[NumberBins | LevelBins | TimeBins]] = dict.fromkeys(features.names, NumberBins)
        kinds |= dict.fromkeys(features.categorical, LevelBins) | dict.fromkeys(features.timestamp, TimeBins)
        fitted = {name: kind.of(records[name]).fitted(records[name], window) for name, kind in kinds.items()}
        return cls(features=fitted, p_values=tuple(_p_value_counts(p_values)))

    def widened(self, records: pd.DataFrame, window: int) -> Self:
        """The profile where windows of these normal records, at least one and in order of time, are usual too."""
        widened = {name: bins.widened(records[name], window) for name, bins in self.features.items()}
        return self.model_copy(update={"features": widened})

    def counts(self, records: pd.DataFrame, p_values: np.ndarray) -> dict[str, list[int]]:
        """How many of n records lie in each bin, by feature and by p-value."""
        found = {feature_key(name): bins.count(records[name]) for name, bins in self.features.items()}
        return {P_VALUES: _p_value_counts(p_values), **found}

    def to_state(self) -> dict[str, Any]:
        """The profile as JSON can hold it."""
        return self.model_dump(mode="json")

    @classmethod
    def from_state(cls, state: Any) -> Self | None:
        """The profile that `to_state` wrote; None where a model has none.

        Raises:
            ArtifactError: where it is not as written.
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
    """What a feature is counted under, whatever its name.

    >>> feature_key("p_values")
    'feature:p_values'
    """
    return f"feature:{name}"


def assess(profile: Profile, counts: Mapping[str, Sequence[int]], rule: DriftRule) -> Drift:
    """How far n > 0 records, counted by `Profile.counts`, lie from the profile."""
    found = np.array(counts[P_VALUES])
    distance, p_value = _kolmogorov_smirnov(profile, found)
    features = {name: (bins, np.array(counts[feature_key(name)])) for name, bins in profile.features.items()}
    indexes = {name: stability_index(np.array(bins.counts), new) for name, (bins, new) in features.items()}
    drifted = {
        name
        for name, (bins, new) in features.items()
        if indexes[name] >= max(rule.psi, _BEYOND * bins.usual, _by_chance(bins, new, rule.level / len(features)))
    }
    ordered = dict(sorted(indexes.items(), key=lambda item: -item[1]))
    return Drift(
        records=int(found.sum()),
        ks_statistic=distance,
        ks_p_value=p_value,
        psi=ordered,
        features=tuple(name for name in ordered if name in drifted),
        is_score_drift=p_value < rule.level and distance >= rule.distance,
    )


def stability_index(expected: np.ndarray, found: np.ndarray) -> float:
    """The population stability index of two counts of the same bins.

    >>> round(stability_index(np.array([50, 50]), np.array([500, 500])), 3)
    0.0
    >>> round(stability_index(np.array([50, 50]), np.array([250, 750])), 2)
    0.27
    """
    before, after = ((counts + _SMOOTHING) / (counts.sum() + _SMOOTHING * len(counts)) for counts in (expected, found))
    return float(((after - before) * np.log(after / before)).sum())


def _by_chance(bins: Bins, found: np.ndarray, level: float) -> float:
    """The index that records of one distribution exceed with a probability of `level`."""
    expected = np.array(bins.counts)
    used = int(((expected > 0) | (found > 0)).sum())
    return float((1 / int(found.sum()) + 1 / max(int(expected.sum()), 1)) * chdtri(max(used - 1, 1), level))


def _kolmogorov_smirnov(profile: Profile, found: np.ndarray) -> tuple[float, float]:
    """Distance of the p-values found from those of the profile, and its p-value."""
    expected = np.array(profile.p_values)
    m, n = int(expected.sum()), int(found.sum())
    if not m:
        return 0.0, 1.0
    excess = np.cumsum(found) / n - np.cumsum(expected) / m
    size = m * n / (m + n) / profile.memory
    if profile.tail == "small":
        distance = max(float(np.max(excess)), 0.0)
        return distance, float(np.exp(-2 * size * distance**2))
    distance = float(np.abs(excess).max())
    return distance, float(kolmogorov(np.sqrt(size) * distance))


def _p_value_counts(p_values: np.ndarray) -> list[int]:
    """How many of n p-values lie in each of the equally wide bins of (0, 1]."""
    places = np.ceil(np.asarray(p_values) * P_VALUE_BINS).astype(int) - 1
    return np.bincount(np.clip(places, 0, P_VALUE_BINS - 1), minlength=P_VALUE_BINS).tolist()
