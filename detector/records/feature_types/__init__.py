"""Feature types: each is one class in a module of its own, which owns all of its behaviour.

To add a type, write a subclass of `Column`, its entry in `FEATURE_TYPES`, and its name in `schemas.frames.Features` and
`schemas.config.MonitorConfig`.
"""

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from pydantic import TypeAdapter

from detector.core.bins import Bins
from detector.records.feature_types.base import CLIP, Block, Cell, Column
from detector.records.feature_types.category import CategoryColumn
from detector.records.feature_types.constant import ConstantColumn
from detector.records.feature_types.flag import FlagColumn
from detector.records.feature_types.number import GRID_POINTS, NumberColumn
from detector.records.feature_types.timestamp import TimestampColumn
from schemas.frames import Features

__all__ = [
    "CLIP",
    "COLUMN_TYPES",
    "FEATURE_TYPES",
    "GRID_POINTS",
    "Block",
    "Cell",
    "Column",
    "drift_bins",
    "fit_columns",
    "restored_column",
    "type_by_dtype",
]

FEATURE_TYPES: dict[str, type[Column]] = {
    "numeric": NumberColumn,
    "boolean": FlagColumn,
    "categorical": CategoryColumn,
    "timestamp": TimestampColumn,
}
"""Feature types by the key under which a monitor lists them; a column of numbers may become a flag or a constant."""

_COLUMNS: list[type[Column]] = [ConstantColumn, *FEATURE_TYPES.values()]
COLUMN_TYPES = {column.tag: column for column in _COLUMNS}
"""Feature types by their name in artifacts."""


def fit_columns(records: pd.DataFrame, features: Features, max_levels: int) -> tuple[Column, ...]:
    """Learn a column for each feature from normal records, in the order of the features."""
    return tuple(
        FEATURE_TYPES[kind].fit(name, records[name], max_levels)
        for kind, names in features.by_type().items()
        for name in names
    )


def restored_column(state: dict[str, Any], grid: np.ndarray | None) -> Column:
    """Return the column that `Column.to_state` wrote.

    Raises:
        KeyError: If its type does not exist.
        pydantic.ValidationError: If a value is not of the type or range that such a column has.
    """
    attributes = {name: value for name, value in state.items() if name != "type"}
    adapter = _adapter(state["type"])
    column: Column = adapter.validate_python(attributes if grid is None else {"grid": grid, **attributes})
    return column


def drift_bins(features: Features) -> dict[str, type[Bins]]:
    """Return the bins in which drift of each feature is counted."""
    return {name: FEATURE_TYPES[kind].bins for kind, names in features.by_type().items() for name in names}


def type_by_dtype(values: pd.Series) -> str:
    """Return the feature type that the dtype of a column implies, as a key of `FEATURE_TYPES`."""
    return next(kind for kind, column in FEATURE_TYPES.items() if column.is_type_of(values))


@cache
def _adapter(tag: str) -> TypeAdapter[Any]:
    return TypeAdapter(COLUMN_TYPES[tag])
