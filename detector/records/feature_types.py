"""Columns of the record matrix: how one feature becomes numbers, and how they become a value again.

Each class is the state learned for one type of feature. `encode` gives two views of it, both in
standard deviations of the training records: *standard* (shifted and scaled) and *quantile* (the rank
among training records as a normal quantile). `decode` gives back the value for people.

A **violation** is a value that training rules out: another value in a constant column, a null where
there was none, a category never seen. It is counted, not encoded, since no distance describes it.
"""

from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import pandas as pd
from pydantic import ConfigDict, Field, TypeAdapter
from scipy.special import ndtri

from detector.core.floats import as_floats

Kind = Literal["gaussian", "binary", "category"]
Share = Annotated[float, Field(ge=0, le=1)]
Scale = Annotated[float, Field(gt=0)]

CLIP = 30.0  # standardised values beyond this are all equally far away
FLAG_SCALE_FLOOR = 0.15  # of the range: a flag that is hardly ever set must not count for thousands
LEVEL_SCALE_FLOOR = 0.02  # a rare level among many is rarer, and its rarity is what there is to see
MAX_KNOWN_LEVELS = 10_000  # categories remembered, to tell a rare one from one never seen
GRID_POINTS = 512  # order statistics kept for the quantile view
_MONDAY = datetime(2024, 1, 1, tzinfo=UTC)
_WEEK_SECONDS = timedelta(days=7).total_seconds()
_DAY_SECONDS = timedelta(days=1).total_seconds()


@dataclass(frozen=True)
class Block:
    """The cells of one feature for n records: w columns, and how often a record violates it.

    Attributes:
        standard: (n, w) float64, 0 where missing.
        quantile: (n, w) float64, 0 where missing.
        missing: (n, w) bool, true where there is nothing to encode.
        violations: (n,) int64, 0 or 1.
    """

    standard: np.ndarray
    quantile: np.ndarray
    missing: np.ndarray
    violations: np.ndarray


@dataclass(frozen=True)
class Column:
    """What was learned about one feature; there is a subclass for each type of feature."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(  # of what `from_state` accepts
        extra="forbid", allow_inf_nan=False, arbitrary_types_allowed=True
    )
    tag: ClassVar[str]
    name: str

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The likelihood of each cell."""
        raise NotImplementedError

    @property
    def cell_means(self) -> list[float]:
        """What a standardised 0 stands for in each binary or category cell: its share among training records."""
        return [0.0] * len(self.kinds)

    @property
    def cell_scales(self) -> list[float]:
        """What a standardised 1 adds to the share in each binary or category cell."""
        return [1.0] * len(self.kinds)

    def encode(self, values: pd.Series) -> Block:
        """The cells of the feature for n records."""
        raise NotImplementedError

    def decode(self, cells: np.ndarray) -> list[Any]:
        """Values for people from standardised cells (n, w)."""
        raise NotImplementedError

    def to_state(self) -> dict[str, Any]:
        """The column as numbers and strings; a large array is left to `grid`."""
        return {"type": self.tag, **{f.name: _listed(getattr(self, f.name)) for f in fields(self) if f.name != "grid"}}

    @classmethod
    def from_state(cls, state: dict[str, Any], grid: np.ndarray | None) -> Self:
        """The column that `to_state` wrote.

        Raises:
            pydantic.ValidationError: where a value is not of the type or range that such a column has.
        """
        known = {name: value for name, value in state.items() if name != "type"}
        return _adapter(cls.tag).validate_python(known if grid is None else {"grid": grid, **known})


@dataclass(frozen=True)
class ConstantColumn(Column):
    """A feature with one value only: it has no cell, and any other value violates it."""

    tag: ClassVar[str] = "constant"
    value: float | str

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """Nothing to learn."""
        return ()

    def encode(self, values: pd.Series) -> Block:
        """No cells, and a violation for each other value."""
        comparable = values.astype("str") if isinstance(self.value, str) else as_floats(values)
        same = np.asarray(comparable == self.value, dtype=bool)
        empty = np.zeros((len(values), 0))
        return Block(empty, empty, empty.astype(bool), (~same).astype(np.int64))

    def decode(self, cells: np.ndarray) -> list[Any]:
        """The constant."""
        return [self.value] * len(cells)


@dataclass(frozen=True)
class NullableColumn(Column):
    """A column that adds a cell for "is missing" where training records had nulls."""

    missing_share: Share

    @property
    def value_kinds(self) -> tuple[Kind, ...]:
        """The likelihood of the cells that hold the value."""
        raise NotImplementedError

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The value's cells, then the one for missing."""
        return (*self.value_kinds, "binary") if self.missing_share else self.value_kinds

    @property
    def cell_means(self) -> list[float]:
        """The share of missing values, in its cell."""
        return [0.0] * len(self.value_kinds) + ([self.missing_share] if self.missing_share else [])

    @property
    def cell_scales(self) -> list[float]:
        """The spread of missing values, in its cell."""
        return [1.0] * len(self.value_kinds) + ([_binary_scale(self.missing_share)] if self.missing_share else [])

    def _block(self, standard: np.ndarray, quantile: np.ndarray, is_missing: np.ndarray, broken: np.ndarray) -> Block:
        """The value's cells with the one for missing beside them; a null without such a cell is a violation."""
        missing = np.repeat(is_missing[:, None], standard.shape[1], axis=1)
        standard, quantile = (np.where(missing, 0.0, _clipped(view)) for view in (standard, quantile))
        if not self.missing_share:
            return Block(standard, quantile, missing, (is_missing | broken).astype(np.int64))
        cell = ((is_missing - self.missing_share) / _binary_scale(self.missing_share))[:, None]
        never = np.zeros((len(cell), 1), dtype=bool)
        return Block(
            np.hstack([standard, cell]),
            np.hstack([quantile, cell]),
            np.hstack([missing, never]),
            broken.astype(np.int64),
        )


@dataclass(frozen=True)
class NumberColumn(NullableColumn):
    """A numeric feature.

    Attributes:
        offset: subtracted exactly before anything becomes a float, so that large integers keep their differences.
        mean: of the training records, after the offset.
        scale: their standard deviation.
        grid: (2, g): order statistics of the training records, standardised and ascending; and the
            normal quantile of each, standardised. It begins and ends with the smallest and the largest record.
    """

    tag: ClassVar[str] = "number"
    offset: Annotated[int | float, Field(ge=-(2**63), lt=2**63)]
    mean: float
    scale: Scale
    is_integer: bool
    grid: np.ndarray = field(compare=False, repr=False)

    @property
    def value_kinds(self) -> tuple[Kind, ...]:
        """One Gaussian cell."""
        return ("gaussian",)

    @classmethod
    def fit(cls, name: str, values: pd.Series) -> Column:
        """The column for these training values: constant, a flag where there are two, a number else."""
        is_integer = pd.api.types.is_integer_dtype(values)
        offset = int(values.dropna().median()) if is_integer else 0
        floats = as_floats(values, offset)
        known = floats[np.isfinite(floats)]
        distinct = np.unique(known)
        missing_share = float(np.isnan(floats).mean())
        if len(distinct) < 2:
            return _constant_or_flag(name, float(distinct[0] + offset) if len(distinct) else 0.0, missing_share)
        if len(distinct) == 2:
            low, high = (float(value) + offset for value in distinct)
            share = float((known == distinct[1]).mean())
            return FlagColumn(name, missing_share, low, high, share, is_boolean=False)
        mean, scale = _moments(known)
        return cls(name, missing_share, offset, mean, scale, is_integer, _quantile_grid((known - mean) / scale))

    def encode(self, values: pd.Series) -> Block:
        """The standardised value and its normal quantile; infinities are as far out as anything gets."""
        floats = as_floats(values, self.offset)
        standard = (np.clip(floats, -1e300, 1e300) - self.mean) / self.scale
        knots, scores = self.grid
        quantile = np.interp(standard, knots, scores)
        beyond = standard - np.clip(standard, knots[0], knots[-1])
        broken = np.zeros(len(floats), dtype=bool)
        return self._block(standard[:, None], (quantile + beyond)[:, None], np.isnan(floats), broken)

    def decode(self, cells: np.ndarray) -> list[Any]:
        """The number in its own unit, within those of training: beyond them a value may be impossible."""
        knots = self.grid[0]
        numbers = np.clip(cells[:, 0].astype(np.float64), knots[0], knots[-1]) * self.scale + self.mean
        if self.is_integer:
            return [int(number) + int(self.offset) for number in np.rint(numbers)]
        return [float(number) for number in numbers + self.offset]


@dataclass(frozen=True)
class FlagColumn(NullableColumn):
    """A feature with two values; `share` of the training records have the higher one."""

    tag: ClassVar[str] = "flag"
    low: float
    high: float
    share: Share
    is_boolean: bool

    @classmethod
    def fit(cls, name: str, values: pd.Series) -> Column:
        """The column for these yes/no values: constant where there is one of them."""
        floats = as_floats(values)
        known = floats[~np.isnan(floats)]
        missing_share = float(np.isnan(floats).mean())
        if known.min() == known.max():
            return _constant_or_flag(name, float(known[0]), missing_share)
        return cls(name, missing_share, 0.0, 1.0, float((known != 0).mean()), is_boolean=True)

    @property
    def value_kinds(self) -> tuple[Kind, ...]:
        """One Bernoulli cell; none where there is a single value beside nulls."""
        return ("binary",) if self.low != self.high else ()

    @property
    def cell_means(self) -> list[float]:
        """The share of the higher value, then of missing ones."""
        return [self.share] * len(self.value_kinds) + super().cell_means[len(self.value_kinds) :]

    @property
    def cell_scales(self) -> list[float]:
        """The spread of the flag, then of missing values."""
        return [_binary_scale(self.share)] * len(self.value_kinds) + super().cell_scales[len(self.value_kinds) :]

    def encode(self, values: pd.Series) -> Block:
        """0 or 1, standardised; a third value is a violation and encoded as the nearer of the two."""
        floats = as_floats(values)
        is_missing = np.isnan(floats)
        broken = ~is_missing & (floats != self.low) & (floats != self.high)
        if not self.value_kinds:
            empty = np.zeros((len(floats), 0))
            return self._block(empty, empty, is_missing, broken)
        nearer = (np.clip(floats, self.low, self.high) - self.low) / (self.high - self.low)
        cell = ((nearer - self.share) / _binary_scale(self.share))[:, None]
        return self._block(cell, cell, is_missing, broken)

    def decode(self, cells: np.ndarray) -> list[Any]:
        """The more probable value."""
        if not self.value_kinds:
            return [self.low] * len(cells)
        is_high = cells[:, 0] * _binary_scale(self.share) + self.share >= 0.5
        if self.is_boolean:
            return [bool(high) for high in is_high]
        return [self.high if high else self.low for high in is_high]


@dataclass(frozen=True)
class CategoryColumn(Column):
    """A nominal feature: one cell for each frequent level, one for the rare ones, one for null if it occurs.

    Attributes:
        levels: the level of each cell; None stands for null, `RARE` for all rare levels.
        shares: of each cell among training records.
        rare: the levels behind the rare cell; empty where there are too many to remember, and then a
            level never seen counts as rare.
    """

    tag: ClassVar[str] = "category"
    RARE: ClassVar[str] = "(rare)"
    levels: tuple[str | None, ...]
    shares: tuple[Share, ...]
    rare: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(set(self.levels)) != len(self.shares):
            raise ValueError(f"{len(self.shares)} shares for {len(set(self.levels))} distinct levels")

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """One cell for each level."""
        return tuple("category" for _ in self.levels)

    @property
    def cell_means(self) -> list[float]:
        """The share of each level."""
        return list(self.shares)

    @property
    def cell_scales(self) -> list[float]:
        """The spread of each level's cell."""
        return [_binary_scale(share, LEVEL_SCALE_FLOOR) for share in self.shares]

    @classmethod
    def fit(cls, name: str, values: pd.Series, max_levels: int) -> Column:
        """The column for these training values: constant where there is one value."""
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
        rare = tuple(tail) if len(counts) <= MAX_KNOWN_LEVELS else ()
        return cls(name, tuple(totals), shares, rare)

    def encode(self, values: pd.Series) -> Block:
        """One-hot, standardised; a level never seen has no cell and is a violation."""
        cell_of: dict[Any, int] = {level: cell for cell, level in enumerate(self.levels)}
        rare_cell = cell_of.get(self.RARE, -1)
        cell_of |= dict.fromkeys(self.rare, rare_cell)
        codes, distinct = pd.factorize(values.astype("str"), use_na_sentinel=True)
        unknown = rare_cell if not self.rare else -1
        lookup = np.array([cell_of.get(level, unknown) for level in distinct] + [cell_of.get(None, -1)])
        cells = lookup[codes]  # a null has the code -1, the last entry
        one_hot = cells[:, None] == np.arange(len(self.levels))
        standard = (one_hot - np.array(self.shares)) / np.array(self.cell_scales)
        missing = np.repeat((cells < 0)[:, None], len(self.levels), axis=1)
        standard = np.where(missing, 0.0, _clipped(standard))
        return Block(standard, standard, missing, (cells < 0).astype(np.int64))

    def decode(self, cells: np.ndarray) -> list[Any]:
        """The most probable level."""
        probable = np.argmax(cells * np.array(self.cell_scales) + np.array(self.shares), axis=1)
        return [self.levels[cell] for cell in probable]


@dataclass(frozen=True)
class TimestampColumn(NullableColumn):
    """A date-time feature as positions on the circles of the day and the week.

    The date itself is left out: every new record would lie beyond all training records.
    """

    tag: ClassVar[str] = "timestamp"
    means: Annotated[tuple[float, ...], Field(min_length=4, max_length=4)]
    scales: Annotated[tuple[Scale, ...], Field(min_length=4, max_length=4)]

    @property
    def value_kinds(self) -> tuple[Kind, ...]:
        """Cosine and sine of the time of day and of the day of the week."""
        return ("gaussian",) * 4

    @classmethod
    def fit(cls, name: str, values: pd.Series) -> Column:
        """The column for these training values."""
        circles = _circles(values)
        known = circles[~np.isnan(circles[:, 0])]
        scales = np.maximum(known.std(axis=0), 0.01)  # records of one moment only still measure others
        missing_share = 1 - len(known) / len(circles)
        return cls(name, missing_share, tuple(known.mean(axis=0).tolist()), tuple(scales.tolist()))

    def encode(self, values: pd.Series) -> Block:
        """Four standardised positions."""
        standard = (_circles(values) - np.array(self.means)) / np.array(self.scales)
        is_missing = np.isnan(standard[:, 0])
        return self._block(standard, standard, is_missing, np.zeros(len(standard), dtype=bool))

    def decode(self, cells: np.ndarray) -> list[Any]:
        """The weekday and the time of day (UTC), such as "Tue 14:30"."""
        circles = cells[:, :4] * np.array(self.scales) + np.array(self.means)
        day = np.arctan2(circles[:, 1], circles[:, 0]) / (2 * np.pi) % 1
        week = np.arctan2(circles[:, 3], circles[:, 2]) / (2 * np.pi) % 1
        weekday = np.rint(week * 7 - day).astype(int) % 7
        return [
            (_MONDAY + timedelta(days=int(d), minutes=round(m * 1440))).strftime("%a %H:%M")
            for d, m in zip(weekday, day, strict=True)
        ]


COLUMN_TYPES: dict[str, type[Column]] = {
    column.tag: column for column in (ConstantColumn, NumberColumn, FlagColumn, CategoryColumn, TimestampColumn)
}


@cache
def _adapter(tag: str) -> TypeAdapter[Any]:
    return TypeAdapter(COLUMN_TYPES[tag])


def _constant_or_flag(name: str, value: float, missing_share: float) -> Column:
    if missing_share:
        return FlagColumn(name, missing_share, value, value, 0.0, is_boolean=False)
    return ConstantColumn(name, value)


def _moments(known: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation, without overflow of the squares."""
    largest = float(np.abs(known).max())
    shrunk = known / largest
    return float(shrunk.mean()) * largest, float(shrunk.std()) * largest


def _quantile_grid(standard: np.ndarray) -> np.ndarray:
    """Order statistics (at most `GRID_POINTS`) and the standardised normal quantile of their mid-rank."""
    distinct, counts = np.unique(standard, return_counts=True)
    n = len(standard)
    rank = (np.cumsum(counts) - counts / 2) / n
    score = ndtri(np.clip(rank, 0.5 / n, 1 - 0.5 / n))
    mean = np.average(score, weights=counts)
    scale = np.sqrt(np.average((score - mean) ** 2, weights=counts))
    kept = np.unique(np.linspace(0, len(distinct) - 1, min(GRID_POINTS, len(distinct))).astype(int))
    return np.stack([distinct[kept], ((score - mean) / scale)[kept]])


def _circles(values: pd.Series) -> np.ndarray:
    times = pd.to_datetime(values, utc=True)
    seconds = ((times - pd.Timestamp(_MONDAY)) / pd.Timedelta(seconds=1)).to_numpy(np.float64)
    angles = 2 * np.pi * np.stack([seconds / _DAY_SECONDS % 1, seconds / _WEEK_SECONDS % 1])
    return np.stack([np.cos(angles[0]), np.sin(angles[0]), np.cos(angles[1]), np.sin(angles[1])], axis=1)


def _binary_scale(share: float, floor: float = FLAG_SCALE_FLOOR) -> float:
    return max(float(np.sqrt(share * (1 - share))), floor)


def _clipped(view: np.ndarray) -> np.ndarray:
    return np.clip(view, -CLIP, CLIP)


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
