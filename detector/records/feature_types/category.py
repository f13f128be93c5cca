"""CategoryColumn: nominal features."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from detector.core.bins import Bins, LevelBins
from detector.core.category_texts import aliases
from detector.records.feature_types.base import Block, Cell, Column, Share, binary_scale, clipped
from detector.records.feature_types.constant import ConstantColumn

LEVEL_SCALE_FLOOR = 0.02  # of the range: lower than for flags, since the rarity of a level is a signal
MAX_REMEMBERED_LEVELS = 10_000  # stored to distinguish a rare category from an unseen category


@dataclass(frozen=True)
class CategoryColumn(Column):
    """A nominal feature: one cell for each frequent level, one for all rare levels, one for null if it occurs.

    Attributes:
        levels: the level of each cell; None stands for null, `RARE` for all rare levels.
        shares: share of each cell among training records.
        rare: the levels behind the rare cell; empty if there are too many to remember, and then a level never seen
            counts as rare.
    """

    tag: ClassVar[str] = "category"
    bins: ClassVar[type[Bins]] = LevelBins
    RARE: ClassVar[str] = "(rare)"
    levels: tuple[str | None, ...]
    shares: tuple[Share, ...]
    rare: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(set(self.levels)) != len(self.shares):
            raise ValueError(f"{len(self.shares)} shares for {len(set(self.levels))} distinct levels")

    @classmethod
    def fit(cls, name: str, values: pd.Series, max_levels: int) -> Column:
        """Return the column for training values: a constant if there is a single value."""
        texts = values.astype("str")
        counts = texts.value_counts()  # frequent first, nulls left out
        frequent = counts.index[: max_levels - 1] if len(counts) > max_levels else counts.index
        tail = counts.index[len(frequent) :]
        number_missing = int(texts.isna().sum())
        if len(counts) == 1 and not number_missing:
            return ConstantColumn(name, str(counts.index[0]))
        totals: dict[str | None, int] = {str(level): int(count) for level, count in counts[frequent].items()}
        totals |= {cls.RARE: int(counts[tail].sum())} if len(tail) else {}
        totals |= {None: number_missing} if number_missing else {}
        shares = tuple(float(total / len(texts)) for total in totals.values())
        rare = tuple(tail) if len(counts) <= MAX_REMEMBERED_LEVELS else ()
        return cls(name, tuple(totals), shares, rare)

    @classmethod
    def is_type_of(cls, values: pd.Series) -> bool:
        """Return whether the values are neither numbers nor date-times, such as texts."""
        types = pd.api.types
        is_other = (types.is_bool_dtype, types.is_numeric_dtype, types.is_datetime64_any_dtype)
        return not any(is_dtype(values) for is_dtype in is_other)

    @property
    def is_nominal(self) -> bool:
        """True: categories are nominal."""
        return True

    @property
    def is_perturbable(self) -> bool:
        """Whether there is another level to choose."""
        return len(self._texts()) >= 2

    @property
    def cells(self) -> tuple[Cell, ...]:
        """One cell for each level."""
        return tuple(Cell("category", share, binary_scale(share, LEVEL_SCALE_FLOOR)) for share in self.shares)

    @property
    def encoding(self) -> tuple[Any, ...]:
        """Two categories compare if they have the same levels, in any order."""
        return self.tag, frozenset(self.levels)

    def encode(self, values: pd.Series) -> Block:
        """Return one-hot cells, standardised; a level never seen has no cell and is a violation."""
        cell_of: dict[Any, int] = {level: cell for cell, level in enumerate(self.levels)}
        rare_cell = cell_of.get(self.RARE, -1)
        cell_of |= dict.fromkeys(self.rare, rare_cell)
        cell_of |= {text: cell_of[level] for text, level in aliases([*self.levels, *self.rare]).items()}
        codes, distinct = pd.factorize(values.astype("str"), use_na_sentinel=True)
        unknown = rare_cell if not self.rare else -1
        lookup = np.array([cell_of.get(level, unknown) for level in distinct] + [cell_of.get(None, -1)])
        positions = lookup[codes]  # a null has the code -1, the last entry
        one_hot = positions[:, None] == np.arange(len(self.levels))
        standard = (one_hot - np.array(self.shares)) / self._scales()
        missing = np.repeat((positions < 0)[:, None], len(self.levels), axis=1)
        standard = np.where(missing, 0.0, clipped(standard))
        return Block(standard, standard, missing, (positions < 0).astype(np.int64))

    def decode(self, cells: np.ndarray) -> list[Any]:
        """Return the most probable level."""
        probable = np.argmax(cells * self._scales() + np.array(self.shares), axis=1)
        return [self.levels[position] for position in probable]

    def perturbed(self, values: pd.Series, rows: np.ndarray, rng: np.random.Generator) -> pd.Series:
        """Return the values with the selected values replaced by another level of training."""
        texts = values.astype("str")
        if not rows.any():
            return texts
        levels = self._texts()
        positions = pd.Index(levels).get_indexer(pd.Index(texts))  # -1 for a new level: any level is another
        steps = rng.integers(1, len(levels), len(texts))
        others = np.array(levels, dtype=object)[(positions + steps) % len(levels)]
        return texts.mask(rows, pd.Series(others, index=texts.index, dtype=texts.dtype))

    def _texts(self) -> list[str]:
        """Return all levels of training that are texts."""
        return [level for level in self.levels if level not in {None, self.RARE}] + list(self.rare)

    def _scales(self) -> np.ndarray:
        return np.array([cell.scale for cell in self.cells])
