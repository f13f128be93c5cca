"""ConstantColumn: features with a single value in all training records."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from detector.core.category_texts import aliases
from detector.core.floats import as_floats
from detector.records.feature_types.base import Block, Cell, Column


@dataclass(frozen=True)
class ConstantColumn(Column):
    """A feature with a single value: it has no cell, and any other value is a violation."""

    tag: ClassVar[str] = "constant"
    value: float | str

    @property
    def is_constant(self) -> bool:
        """True: there is a single value."""
        return True

    @property
    def is_nominal(self) -> bool:
        """Whether the constant is a category."""
        return isinstance(self.value, str)

    @property
    def cells(self) -> tuple[Cell, ...]:
        """No cells."""
        return ()

    @property
    def encoding(self) -> tuple[Any, ...]:
        """Two constants compare if they are equal."""
        return *super().encoding, self.value

    def encode(self, values: pd.Series) -> Block:
        """Return no cells, and a violation for each other value."""
        if isinstance(self.value, str):
            is_same = values.astype("str").isin([self.value, *aliases([self.value])]).to_numpy(dtype=bool)
        else:
            is_same = np.asarray(as_floats(values) == self.value, dtype=bool)
        empty = np.zeros((len(values), 0))
        return Block(empty, empty, empty.astype(bool), (~is_same).astype(np.int64))

    def decode(self, cells: np.ndarray) -> list[Any]:
        """Return the constant."""
        return [self.value] * len(cells)
