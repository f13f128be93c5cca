"""NumberColumn: numeric features."""

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

import numpy as np
import pandas as pd
from pydantic import Field

from detector.core.arithmetic import interpolated
from detector.core.floats import as_floats
from detector.records.feature_types.base import Block, Cell, Column, NullableColumn, Scale
from detector.records.feature_types.flag import FlagColumn, single_value

GRID_POINTS = 512  # order statistics kept for the quantile view
PERTURBED_DEVIATIONS = (3.0, 10.0)  # range of the standard deviations by which a perturbed number moves


@dataclass(frozen=True)
class NumberColumn(NullableColumn):
    """A numeric feature.

    Attributes:
        offset: subtracted exactly before anything becomes a float, so that large integers keep their differences.
        mean: mean of the training records, after the offset.
        scale: their standard deviation.
        grid: (2, g), order statistics of the training records, standardised and ascending; and the normal quantile
            of each record, standardised. It begins and ends with the smallest and the largest record.
    """

    tag: ClassVar[str] = "number"
    offset: Annotated[int | float, Field(ge=-(2**63), lt=2**63)]
    mean: float
    scale: Scale
    is_integer: bool
    grid: np.ndarray = field(compare=False, repr=False)

    @classmethod
    def fit(cls, name: str, values: pd.Series, _max_levels: int) -> Column:
        """Return the column for training values: a number, a flag if there are two values, or a constant if one."""
        is_integer = pd.api.types.is_integer_dtype(values)
        offset = int(values.dropna().median()) if is_integer else 0
        floats = as_floats(values, offset)
        finite = floats[np.isfinite(floats)]
        distinct = np.unique(finite)
        missing_share = float(np.isnan(floats).mean())
        if len(distinct) < 2:
            return single_value(name, float(distinct[0] + offset) if len(distinct) else 0.0, missing_share)
        if len(distinct) == 2:
            low, high = (float(value) + offset for value in distinct)
            share = float((finite == distinct[1]).mean())
            return FlagColumn(name, missing_share, low, high, share, is_boolean=False)
        mean, scale = _moments(finite)
        return cls(name, missing_share, offset, mean, scale, is_integer, _quantile_grid((finite - mean) / scale))

    @classmethod
    def is_type_of(cls, values: pd.Series) -> bool:
        """Return whether the values are numbers."""
        return pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)

    @property
    def is_perturbable(self) -> bool:
        """True: every number can move."""
        return True

    @property
    def value_cells(self) -> tuple[Cell, ...]:
        """One Gaussian cell."""
        return (Cell("gaussian", unit=self.scale),)

    def stored_grid(self) -> np.ndarray:
        """Return the order statistics."""
        return self.grid

    def encode(self, values: pd.Series) -> Block:
        """Return the standardised value and its normal quantile; infinities are as far out as anything gets."""
        floats = as_floats(values, self.offset)
        standard = (np.clip(floats, -1e300, 1e300) - self.mean) / self.scale
        knots, scores = self.grid
        quantile = interpolated(standard, knots, scores)
        beyond = standard - np.clip(standard, knots[0], knots[-1])
        is_wrong = np.zeros(len(floats), dtype=bool)
        return self.block(standard[:, None], (quantile + beyond)[:, None], np.isnan(floats), is_wrong)

    def decode(self, cells: np.ndarray) -> list[Any]:
        """Return numbers in their own unit, within the range of training: a value beyond it may be impossible."""
        knots = self.grid[0]
        numbers = np.clip(cells[:, 0].astype(np.float64), knots[0], knots[-1]) * self.scale + self.mean
        if self.is_integer:
            return [int(number) + int(self.offset) for number in np.rint(numbers)]
        return [float(number) for number in numbers + self.offset]

    def perturbed(self, values: pd.Series, rows: np.ndarray, rng: np.random.Generator) -> pd.Series:
        """Return the values with the selected values moved up or down by 3 to 10 standard deviations."""
        deviations = rng.uniform(*PERTURBED_DEVIATIONS, len(values)) * rng.choice([-1, 1], len(values))
        return _moved(values, np.where(rows, deviations * self.scale, 0))

    def stretched(self, values: pd.Series, by: np.ndarray) -> pd.Series:
        """Return the values, each farther from the mean by a multiple (n,) of its distance."""
        return _moved(values, by * (as_floats(values, self.offset) - self.mean))


def _moments(values: np.ndarray) -> tuple[float, float]:
    """Return mean and standard deviation, without overflow of the squares."""
    largest = float(np.abs(values).max())
    shrunk = values / largest
    return float(shrunk.mean()) * largest, float(shrunk.std()) * largest


def _quantile_grid(standard: np.ndarray) -> np.ndarray:
    """Return order statistics (at most `GRID_POINTS`) and the standardised normal quantile of their mid-rank."""
    from scipy.special import ndtri  # in a training alone

    distinct, counts = np.unique(standard, return_counts=True)
    n = len(standard)
    rank = (np.cumsum(counts) - counts / 2) / n
    score = ndtri(np.clip(rank, 0.5 / n, 1 - 0.5 / n))
    mean = np.average(score, weights=counts)
    scale = np.sqrt(np.average((score - mean) ** 2, weights=counts))
    kept = np.unique(np.linspace(0, len(distinct) - 1, min(GRID_POINTS, len(distinct))).astype(int))
    return np.stack([distinct[kept], ((score - mean) / scale)[kept]])


def _moved(values: pd.Series, by: np.ndarray) -> pd.Series:
    """Return moved numbers; integers stay integers, so that large numbers keep their differences."""
    by = np.nan_to_num(by)  # finite, as opposite infinities have no sum
    if not pd.api.types.is_integer_dtype(values):
        return pd.Series(as_floats(values) + by, index=values.index)
    return values.astype("Int64") + np.clip(np.rint(by), -(2.0**62), 2.0**62).astype(np.int64)
