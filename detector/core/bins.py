"""Bins of one feature: fixed in training, they count the values of later records.

The counts of batches add up to the counts of a window. The last two bins hold values that training did not see, and
nulls.
"""

from itertools import pairwise
from typing import Annotated, Literal, Self, TypeAlias

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, model_validator

from detector.core.category_texts import aliases
from detector.core.floats import as_floats

NUMBER_BINS = 10
MAX_LEVEL_BINS = 30
MIN_SEGMENTS = 4  # that the training records are cut into, each as long as a window
MAX_SEGMENTS = 100
SMOOTHING_RECORDS = 0.5  # added to every bin, so that an empty bin has a logarithm

Counts = Annotated[tuple[Annotated[int, Field(ge=0, le=2**53)], ...], Field(max_length=1_000)]


class Stored(BaseModel):
    """A frozen part of a profile as JSON: an unknown key or a number that is not finite is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Bins(Stored):
    """The bins of one feature.

    Attributes:
        counts: training records in each bin.
        usual: the largest stability index of a segment of normal records.
    """

    counts: Counts
    usual: float = Field(0.0, ge=0)

    @classmethod
    def of(cls, values: pd.Series) -> Self:
        """Return empty bins for training values."""
        raise NotImplementedError

    def count(self, values: pd.Series) -> list[int]:
        """Count n values by bin."""
        return self._counted(self._places(values)).tolist()

    def fitted(self, values: pd.Series, window: int) -> Self:
        """Return the bins with the counts of training values, in order of time, and their usual index."""
        counts = self._counted(self._places(values))
        filled = self.model_copy(update={"counts": tuple(counts.tolist())})
        return filled.widened(values, max(1, min(window, len(values) // MIN_SEGMENTS)))

    def widened(self, values: pd.Series, window: int) -> Self:
        """Return the bins with `usual` raised to cover further normal values, in order of time."""
        places, expected, size = self._places(values), np.array(self.counts), min(window, len(values))
        starts = np.linspace(0, len(values) - size, min(len(values) // size, MAX_SEGMENTS)).astype(int)
        indexes = [stability_index(expected, self._counted(places[start : start + size])) for start in starts]
        return self.model_copy(update={"usual": max(self.usual, *indexes)})

    def _counted(self, places: np.ndarray) -> np.ndarray:
        return np.bincount(places, minlength=self._size())

    def _places(self, values: pd.Series) -> np.ndarray:
        """Return the bin of each value (n,)."""
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
        """Return empty bins between the quantiles of training values."""
        floats = cls._floats(values)
        finite = floats[np.isfinite(floats)]
        ranks = np.arange(1, NUMBER_BINS + 1) / NUMBER_BINS
        tops = np.unique(np.quantile(finite, ranks, method="inverted_cdf")) if len(finite) else np.zeros(0)
        low = float(finite.min()) if len(finite) else 0.0
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
    """A bin for each frequent category; rare categories count as unseen."""

    kind: Literal["level"] = "level"
    levels: Annotated[tuple[str, ...], Field(max_length=MAX_LEVEL_BINS)]

    @classmethod
    def of(cls, values: pd.Series) -> Self:
        """Return empty bins for the frequent categories of training values."""
        frequent = values.astype("str").value_counts().index[:MAX_LEVEL_BINS]
        return cls(levels=tuple(map(str, frequent)), counts=(0,) * (len(frequent) + 2))

    def _places(self, values: pd.Series) -> np.ndarray:
        texts = values.astype("str")
        unseen, null = len(self.levels), len(self.levels) + 1
        codes, distinct = pd.factorize(texts, use_na_sentinel=True)
        place_of = {level: place for place, level in enumerate(self.levels)}
        place_of |= {text: place_of[level] for text, level in aliases(self.levels).items()}
        places = np.array([place_of.get(level, unseen) for level in distinct] + [null])
        return places[codes]  # a null has the code -1, the last entry

    def _size(self) -> int:
        return len(self.levels) + 2

    @model_validator(mode="after")
    def _check_distinct(self) -> Self:
        if len(set(self.levels)) < len(self.levels):
            raise ValueError("two bins of one level")
        return self


StoredBins: TypeAlias = Annotated[NumberBins | TimeBins | LevelBins, Field(discriminator="kind")]


def stability_index(expected: np.ndarray, observed: np.ndarray) -> float:
    """Return the population stability index of two counts of the same bins.

    >>> round(stability_index(np.array([50, 50]), np.array([500, 500])), 3)
    0.0
    >>> round(stability_index(np.array([50, 50]), np.array([250, 750])), 2)
    0.27
    """
    before, after = (
        (counts + SMOOTHING_RECORDS) / (counts.sum() + SMOOTHING_RECORDS * len(counts))
        for counts in (expected, observed)
    )
    return float(((after - before) * np.log(after / before)).sum())
