"""FlagColumn: yes/no features, and numeric features with two values."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from detector.core.floats import as_floats
from detector.records.feature_types.base import Block, Cell, Column, NullableColumn, Share, binary_scale
from detector.records.feature_types.constant import ConstantColumn


@dataclass(frozen=True)
class FlagColumn(NullableColumn):
    """A feature with two values; `share` of the training records have the higher one.

    With one value and nulls, `low` and `high` are equal and the only cell is the one for missing.
    """

    tag: ClassVar[str] = "flag"
    low: float
    high: float
    share: Share
    is_boolean: bool

    @classmethod
    def fit(cls, name: str, values: pd.Series, _max_levels: int) -> Column:
        """Return the column for yes/no values: a constant if there is a single value."""
        floats = as_floats(values)
        present = floats[~np.isnan(floats)]
        missing_share = float(np.isnan(floats).mean())
        if present.min() == present.max():
            return single_value(name, float(present[0]), missing_share)
        return cls(name, missing_share, 0.0, 1.0, float((present != 0).mean()), is_boolean=True)

    @classmethod
    def is_type_of(cls, values: pd.Series) -> bool:
        """Return whether the values are truth values."""
        return pd.api.types.is_bool_dtype(values)

    @property
    def is_perturbable(self) -> bool:
        """Whether there is another value to flip to."""
        return self.low != self.high

    @property
    def value_cells(self) -> tuple[Cell, ...]:
        """One Bernoulli cell; none if there is a single value next to nulls."""
        return (Cell("binary", self.share, binary_scale(self.share)),) if self.low != self.high else ()

    @property
    def encoding(self) -> tuple[Any, ...]:
        """Two flags compare if they have the same two values."""
        return *super().encoding, self.low, self.high

    def encode(self, values: pd.Series) -> Block:
        """Return 0 or 1, standardised; a third value is a violation and encoded as the nearer of the two."""
        floats = as_floats(values)
        is_missing = np.isnan(floats)
        is_third = ~is_missing & (floats != self.low) & (floats != self.high)
        if not self.value_cells:
            empty = np.zeros((len(floats), 0))
            return self.block(empty, empty, is_missing, is_third)
        nearer = (np.clip(floats, self.low, self.high) - self.low) / (self.high - self.low)
        cell = ((nearer - self.share) / binary_scale(self.share))[:, None]
        return self.block(cell, cell, is_missing, is_third)

    def decode(self, cells: np.ndarray) -> list[Any]:
        """Return the more probable value."""
        if not self.value_cells:
            return [self.low] * len(cells)
        is_high = cells[:, 0] * binary_scale(self.share) + self.share >= 0.5
        if self.is_boolean:
            return [bool(high) for high in is_high]
        return [self.high if high else self.low for high in is_high]

    def perturbed(self, values: pd.Series, rows: np.ndarray, _rng: np.random.Generator) -> pd.Series:
        """Return the values with the selected values flipped."""
        floats = as_floats(values)
        flipped = np.where(floats == self.high, self.low, self.high)
        return pd.Series(np.where(rows, flipped, floats), index=values.index).astype(values.dtype)


def single_value(name: str, value: float, missing_share: float) -> Column:
    """Return the column of a number that is the only one in training: a constant, or a flag if there are nulls."""
    if missing_share:
        return FlagColumn(name, missing_share, value, value, 0.0, is_boolean=False)
    return ConstantColumn(name, value)
