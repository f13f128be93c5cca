"""Column: the interface of feature types, which convert values to cells and back.

`encode` gives two views of a feature, both in standard deviations of the training records: *standard* (shifted and
scaled) and *quantile* (the rank among training records as a normal quantile). `decode` returns values for people.

A **violation** is a value that training rules out: another value in a constant column, a null in a column that had
none, a category never seen. It is counted, not encoded, since no distance describes it.
"""

from dataclasses import dataclass, fields
from typing import Annotated, Any, ClassVar

import numpy as np
import pandas as pd
from pydantic import ConfigDict, Field

from detector.core.bins import Bins, NumberBins
from detector.records.cell_kinds import Kind

Share = Annotated[float, Field(ge=0, le=1)]
Scale = Annotated[float, Field(gt=0)]

CLIP = 30.0  # standard deviations, to which standardised values are limited
FLAG_SCALE_FLOOR = 0.15  # of the range: a flag that is hardly ever set must not count for thousands


@dataclass(frozen=True)
class Cell:
    """One column of the record matrix.

    Attributes:
        kind: its likelihood.
        mean: the share of training records behind a standardised 0, for a cell that holds a probability.
        scale: the share that a standardised 1 adds to the mean.
        unit: units of the data in a standardised 1, for a cell that holds a quantity.
    """

    kind: Kind
    mean: float = 0.0
    scale: float = 1.0
    unit: float = 1.0


@dataclass(frozen=True)
class Block:
    """The w cells of one feature for n records, and its violations.

    Attributes:
        standard: (n, w) float64, 0 if missing.
        quantile: (n, w) float64, 0 if missing.
        missing: (n, w) bool, true if there is no value to encode.
        violations: (n,) int64, 0 or 1.
    """

    standard: np.ndarray
    quantile: np.ndarray
    missing: np.ndarray
    violations: np.ndarray


@dataclass(frozen=True)
class Column:
    """The learned state of one feature, and the behaviour of its type.

    A new type of feature is a subclass, listed in `detector.records.feature_types`. The defaults are:
    no synthetic anomalies, cells without units, bins of numbers.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(  # of stored states
        extra="forbid", allow_inf_nan=False, arbitrary_types_allowed=True
    )
    tag: ClassVar[str]  # name of the type in artifacts
    bins: ClassVar[type[Bins]] = NumberBins  # in which drift is counted
    name: str

    @classmethod
    def fit(cls, name: str, values: pd.Series, max_levels: int) -> "Column":
        """Return the column learned from training values, which are not all null.

        Args:
            name: the feature.
            values: training values.
            max_levels: the largest number of categories with a cell of their own.
        """
        raise NotImplementedError

    @classmethod
    def is_type_of(cls, _values: pd.Series) -> bool:
        """Return whether the dtype of values implies this type."""
        return False

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The columns of the record matrix that hold the feature."""
        raise NotImplementedError

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The likelihood of each cell."""
        return tuple(cell.kind for cell in self.cells)

    @property
    def encoding(self) -> tuple[Any, ...]:
        """The properties that two columns must share for densities in their cells to be comparable."""
        return self.tag, self.kinds

    @property
    def is_constant(self) -> bool:
        """Whether the training records had a single value."""
        return False

    @property
    def is_nominal(self) -> bool:
        """Whether 1 and 1.0 are the same value."""
        return False

    @property
    def is_perturbable(self) -> bool:
        """Whether `perturbed` can change a value."""
        return False

    def stored_grid(self) -> np.ndarray | None:
        """Return the attribute `grid` (2, g), which is too large for the state, if there is one."""
        return None

    def encode(self, values: pd.Series) -> Block:
        """Return the cells of n values."""
        raise NotImplementedError

    def decode(self, cells: np.ndarray) -> list[Any]:
        """Return values for people from standardised cells (n, w)."""
        raise NotImplementedError

    def perturbed(self, values: pd.Series, _rows: np.ndarray, _rng: np.random.Generator) -> pd.Series:
        """Return n values with the selected rows (n,) made wrong; nulls are never selected."""
        return values

    def stretched(self, values: pd.Series, _by: np.ndarray) -> pd.Series:
        """Return n values, each moved away from the mean by a multiple (n,) of its distance; only numbers move."""
        return values

    def to_state(self) -> dict[str, Any]:
        """Return the column as numbers and strings, without its grid."""
        return {"type": self.tag, **{f.name: _listed(getattr(self, f.name)) for f in fields(self) if f.name != "grid"}}


@dataclass(frozen=True)
class NullableColumn(Column):
    """A column that adds a cell for "is missing" if training records had nulls."""

    missing_share: Share

    @property
    def value_cells(self) -> tuple[Cell, ...]:
        """The cells that hold the value."""
        raise NotImplementedError

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The value's cells, then the one for missing."""
        if not self.missing_share:
            return self.value_cells
        return (*self.value_cells, Cell("binary", self.missing_share, binary_scale(self.missing_share)))

    def block(self, standard: np.ndarray, quantile: np.ndarray, is_missing: np.ndarray, is_wrong: np.ndarray) -> Block:
        """Return the value's cells (n, w), followed by the one for missing; without one, a null is a violation."""
        missing = np.repeat(is_missing[:, None], standard.shape[1], axis=1)
        standard, quantile = (np.where(missing, 0.0, clipped(view)) for view in (standard, quantile))
        if not self.missing_share:
            return Block(standard, quantile, missing, (is_missing | is_wrong).astype(np.int64))
        cell = ((is_missing - self.missing_share) / binary_scale(self.missing_share))[:, None]
        never = np.zeros((len(cell), 1), dtype=bool)
        return Block(
            np.hstack([standard, cell]),
            np.hstack([quantile, cell]),
            np.hstack([missing, never]),
            is_wrong.astype(np.int64),
        )


def binary_scale(share: float, floor: float = FLAG_SCALE_FLOOR) -> float:
    """Return the standard deviation of a flag that a share of the records has, at least the floor."""
    return max(float(np.sqrt(share * (1 - share))), floor)


def clipped(view: np.ndarray) -> np.ndarray:
    """Limit standardised values to `CLIP`."""
    return np.clip(view, -CLIP, CLIP)


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
