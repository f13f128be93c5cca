"""Encoder: records to the record matrix and back, feature by feature."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from detector.records.cell_kinds import DENSITIES, SHARED
from detector.records.feature_types import CLIP, Block, Column, fit_columns, restored_column
from schemas.errors import MissingColumns, RecordsError
from schemas.frames import Features
from schemas.texts import counted_noun

SQUASH_FROM = 4.0  # standardised values beyond this enter the network on a logarithmic scale


@dataclass(frozen=True)
class Matrix:
    """n encoded records of d cells in two views, both standardised.

    Attributes:
        standard: (n, d) float32, clipped at 30; 0 if missing.
        quantile: (n, d) float32, likewise.
        missing: (n, d) bool.
        violations: (n,) float32, number of features whose value training rules out.
    """

    standard: np.ndarray
    quantile: np.ndarray
    missing: np.ndarray
    violations: np.ndarray

    def __len__(self) -> int:
        return len(self.standard)

    def __getitem__(self, rows: Any) -> "Matrix":
        return Matrix(self.standard[rows], self.quantile[rows], self.missing[rows], self.violations[rows])


@dataclass(frozen=True)
class Layout:
    """The feature, the likelihood and the scale of each of the d cells of a matrix.

    Attributes:
        kinds: (d,) the likelihood of each cell, by name.
        feature: (d,) index of the feature of each cell.
        means: (d,) share behind a standardised 0, for cells that hold a probability.
        scales: (d,) share that a standardised 1 adds, for cells that hold a probability.
    """

    kinds: np.ndarray
    feature: np.ndarray
    means: np.ndarray
    scales: np.ndarray

    @property
    def width(self) -> int:
        """The number of cells d."""
        return len(self.kinds)

    @property
    def is_density(self) -> np.ndarray:
        """(d,) bool, whether a cell holds a quantity rather than a probability."""
        return np.array([kind in DENSITIES for kind in self.kinds], dtype=bool)

    def groups(self) -> np.ndarray:
        """Return (d, g) float32, 1 if a cell belongs to one of the g features whose cells share a likelihood."""
        is_shared = np.array([kind in SHARED for kind in self.kinds], dtype=bool)
        owners = np.unique(self.feature[is_shared])
        return ((self.feature[:, None] == owners[None, :]) & is_shared[:, None]).astype(np.float32)

    def feature_cells(self, n_features: int) -> np.ndarray:
        """Return (d, f) float32, 1 if a cell belongs to a feature."""
        return (self.feature[:, None] == np.arange(n_features)[None, :]).astype(np.float32)


@dataclass(frozen=True)
class Encoder:
    """The state of preprocessing: one column for each feature, in the order of the features."""

    columns: tuple[Column, ...]

    @classmethod
    def fit(cls, records: pd.DataFrame, features: Features, max_levels: int) -> "Encoder":
        """Learn every column from normal records.

        Raises:
            MissingColumns: If a feature is not among the records' columns.
            RecordsError: If a feature is null in all records, or all features are constant.
        """
        _check_columns(records, features)
        encoder = cls(fit_columns(records, features, max_levels))
        if not encoder.layout.width:
            raise RecordsError(
                f"Every feature is constant in the {counted_noun(len(records), 'training record')}: "
                f"{list(features.names)}. There is nothing to learn; list features that vary, or widen `normal`."
            )
        return encoder

    @property
    def names(self) -> list[str]:
        """The features, in the order of the columns."""
        return [column.name for column in self.columns]

    @property
    def layout(self) -> Layout:
        """The layout of the cells of the matrix."""
        cells = [cell for column in self.columns for cell in column.cells]
        return Layout(
            kinds=np.array([cell.kind for cell in cells], dtype=object),
            feature=np.repeat(np.arange(len(self.columns)), self._widths()),
            means=np.array([cell.mean for cell in cells], dtype=np.float32),
            scales=np.array([cell.scale for cell in cells], dtype=np.float32),
        )

    def encode(self, records: pd.DataFrame) -> Matrix:
        """Return the record matrix of n records; a pure function of each record.

        Raises:
            MissingColumns: If the records lack a feature.
        """
        return self.encode_with_violations(records)[0]

    def encode_with_violations(self, records: pd.DataFrame) -> tuple[Matrix, np.ndarray]:
        """Return the record matrix, and whether training rules out the value of each feature: (n, f) int64, 0 or 1.

        Raises:
            MissingColumns: If the records lack a feature.
        """
        missing = [name for name in self.names if name not in records.columns]
        if missing:
            raise MissingColumns(missing, records.columns)
        blocks = [_encoded(column, records[column.name]) for column in self.columns]
        violations = np.stack([block.violations for block in blocks], axis=1)
        matrix = Matrix(
            standard=np.hstack([block.standard for block in blocks]).astype(np.float32),
            quantile=np.hstack([block.quantile for block in blocks]).astype(np.float32),
            missing=np.hstack([block.missing for block in blocks]),
            violations=violations.sum(axis=1).astype(np.float32),
        )
        return matrix, violations

    def decode(self, standard: np.ndarray) -> dict[str, list[Any]]:
        """Return the values of each feature from standardised cells (n, d)."""
        cells = np.split(standard, np.cumsum(self._widths())[:-1], axis=1)
        return {column.name: column.decode(part) for column, part in zip(self.columns, cells, strict=True)}

    def to_state(self) -> list[dict[str, Any]]:
        """Return the columns as numbers and strings."""
        return [column.to_state() for column in self.columns]

    def grids(self) -> dict[str, np.ndarray]:
        """Return the large arrays of the columns, by the position of the column."""
        grids = {str(position): column.stored_grid() for position, column in enumerate(self.columns)}
        return {position: grid for position, grid in grids.items() if grid is not None}

    @classmethod
    def from_state(cls, states: Sequence[dict[str, Any]], grids: dict[str, np.ndarray]) -> "Encoder":
        """Return the encoder that `to_state` and `grids` describe."""
        return cls(tuple(restored_column(state, grids.get(str(position))) for position, state in enumerate(states)))

    def _widths(self) -> list[int]:
        """Return the number of cells of each feature."""
        return [len(column.cells) for column in self.columns]


def squash(view: np.ndarray) -> np.ndarray:
    """Return standardised cells as the network sees them: beyond +-4 they grow with the logarithm only.

    >>> squash(np.array([-2.0, 4.0, 30.0])).round(2).tolist()
    [-2.0, 4.0, 7.3]
    """
    size = np.abs(view)
    beyond = np.maximum(size - SQUASH_FROM, 0)
    return np.sign(view) * (np.minimum(size, SQUASH_FROM) + np.log1p(beyond))


def unsquash(squashed: np.ndarray) -> np.ndarray:
    """Return the inverse of `squash`, within the clip."""
    size = np.abs(squashed)
    beyond = np.expm1(np.clip(size - SQUASH_FROM, 0, np.log1p(CLIP - SQUASH_FROM)))
    return np.sign(squashed) * (np.minimum(size, SQUASH_FROM) + beyond)


def _check_columns(records: pd.DataFrame, features: Features) -> None:
    missing = features.missing_from(records.columns)
    if missing:
        raise MissingColumns(missing, records.columns)
    empty = [name for name in features.names if records[name].isna().all()]
    if empty:
        raise RecordsError(
            f"The features {empty} are null in all {counted_noun(len(records), 'training record')}. "
            "Remove them from config.toml, or widen `normal` to records that have them."
        )


def _encoded(column: Column, values: pd.Series) -> Block:
    try:
        return column.encode(values)
    except (TypeError, ValueError) as exc:
        raise RecordsError(
            f"The feature {column.name!r} holds {values.dtype} values, expected {column.tag} as in training. "
            "If the table's column changed its type, change it back or train again."
        ) from exc
