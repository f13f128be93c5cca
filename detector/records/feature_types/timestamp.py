"""TimestampColumn: date-time features."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, ClassVar

import numpy as np
import pandas as pd
from pydantic import Field

from detector.core.bins import Bins, TimeBins
from detector.records.feature_types.base import Block, Cell, Column, NullableColumn, Scale

MIN_SCALE = 0.01  # of the radius of the circle, for training records that all have the same time
_MONDAY = datetime(2024, 1, 1, tzinfo=UTC)
_WEEK_SECONDS = timedelta(days=7).total_seconds()
_DAY_SECONDS = timedelta(days=1).total_seconds()


@dataclass(frozen=True)
class TimestampColumn(NullableColumn):
    """A date-time feature as positions on the circles of the day and the week.

    The date itself is left out: every new record would lie beyond all training records.
    """

    tag: ClassVar[str] = "timestamp"
    bins: ClassVar[type[Bins]] = TimeBins
    means: Annotated[tuple[float, ...], Field(min_length=4, max_length=4)]
    scales: Annotated[tuple[Scale, ...], Field(min_length=4, max_length=4)]

    @classmethod
    def fit(cls, name: str, values: pd.Series, _max_levels: int) -> Column:
        """Return the column for training values."""
        circles = _circles(values)
        present = circles[~np.isnan(circles[:, 0])]
        scales = np.maximum(present.std(axis=0), MIN_SCALE)
        missing_share = 1 - len(present) / len(circles)
        return cls(name, missing_share, tuple(present.mean(axis=0).tolist()), tuple(scales.tolist()))

    @classmethod
    def is_type_of(cls, values: pd.Series) -> bool:
        """Return whether the values are date-times."""
        return pd.api.types.is_datetime64_any_dtype(values)

    @property
    def value_cells(self) -> tuple[Cell, ...]:
        """Cosine and sine of the time of day and of the day of the week."""
        return tuple(Cell("gaussian", unit=scale) for scale in self.scales)

    def encode(self, values: pd.Series) -> Block:
        """Return four standardised positions."""
        standard = (_circles(values) - np.array(self.means)) / np.array(self.scales)
        is_missing = np.isnan(standard[:, 0])
        return self.block(standard, standard, is_missing, np.zeros(len(standard), dtype=bool))

    def decode(self, cells: np.ndarray) -> list[Any]:
        """Return the weekday and the time of day (UTC), such as "Tue 14:30"."""
        circles = cells[:, :4] * np.array(self.scales) + np.array(self.means)
        day = np.arctan2(circles[:, 1], circles[:, 0]) / (2 * np.pi) % 1
        week = np.arctan2(circles[:, 3], circles[:, 2]) / (2 * np.pi) % 1
        weekday = np.rint(week * 7 - day).astype(int) % 7
        return [
            (_MONDAY + timedelta(days=int(d), minutes=round(m * 1440))).strftime("%a %H:%M")
            for d, m in zip(weekday, day, strict=True)
        ]


def _circles(values: pd.Series) -> np.ndarray:
    times = pd.to_datetime(values, utc=True)
    seconds = ((times - pd.Timestamp(_MONDAY)) / pd.Timedelta(seconds=1)).to_numpy(np.float64)
    angles = 2 * np.pi * np.stack([seconds / _DAY_SECONDS % 1, seconds / _WEEK_SECONDS % 1])
    return np.stack([np.cos(angles[0]), np.sin(angles[0]), np.cos(angles[1]), np.sin(angles[1])], axis=1)
