"""Synthetic anomalies: normal records changed so that they should stand out.

They say how a detector fares on anomalies of a known kind where nobody has labelled real ones; they do not
say how it fares on the real ones, whose kind nobody knows.
"""

import numpy as np
import pandas as pd

from detector.core.floats import as_floats
from detector.records.encoder import Encoder
from detector.records.feature_types import (
    CategoryColumn,
    Column,
    ConstantColumn,
    FlagColumn,
    NumberColumn,
    TimestampColumn,
)

MOST_PERTURBED = 3  # features of a record
DEVIATIONS = (3.0, 10.0)  # a perturbed number moves by so many standard deviations
SHUFFLED_SHARE = 1 / 3  # of a record's features
FACTORS = (1.5, 3.0)  # a scaled record lies so many times as far from the mean


def synthetic_anomalies(records: pd.DataFrame, encoder: Encoder, rng: np.random.Generator) -> dict[str, pd.DataFrame]:
    """Anomalies of each kind that applies, at most one for each of n normal records, on its index.

    - *perturbed*: up to three features are wrong by themselves: a number is moved by 3 to 10 standard deviations,
      a flag flipped, a category replaced by another level. Nulls and date-times stay.
    - *shuffled*: a third of the features come from another record: each value is normal, the combination is not.
    - *scaled*: all numbers lie 1.5 to 3 times as far from their mean, in the same direction.

    A record that the change leaves as it was is left out.
    """
    with np.errstate(over="ignore"):  # the largest numbers become infinite, which is as far out as they get
        made = {
            "perturbed": _perturbed(records, encoder, rng),
            "shuffled": _shuffled(records, encoder, rng),
            "scaled": _scaled(records, encoder, rng),
        }
    before = encoder.encode(records).standard
    changed = {kind: frame[(encoder.encode(frame).standard != before).any(axis=1)] for kind, frame in made.items()}
    return {kind: frame for kind, frame in changed.items() if len(frame)}


def _perturbed(records: pd.DataFrame, encoder: Encoder, rng: np.random.Generator) -> pd.DataFrame:
    has_another = np.stack([_has_another_value(column, records[column.name]) for column in encoder.columns], axis=1)
    chosen = _draw(has_another, rng.integers(1, MOST_PERTURBED + 1, len(records)), rng)
    columns = zip(encoder.columns, chosen.T, strict=True)
    return pd.DataFrame(
        {column.name: _with_another_value(column, records[column.name], rows, rng) for column, rows in columns},
        index=records.index,
    )


def _shuffled(records: pd.DataFrame, encoder: Encoder, rng: np.random.Generator) -> pd.DataFrame:
    n, is_shared = len(records), [not isinstance(column, ConstantColumn) for column in encoder.columns]
    others = (np.arange(n) + rng.integers(1, max(n, 2), n)) % n
    count = max(1, round(SHUFFLED_SHARE * sum(is_shared)))
    # of a single feature, another record's value would make another normal record
    chosen = _draw(np.tile(is_shared, (n, 1)), np.full(n, count if sum(is_shared) > 1 else 0), rng)
    shuffled = records[encoder.names]
    for name, rows in zip(encoder.names, chosen.T, strict=True):
        shuffled[name] = records[name].mask(rows, records[name].take(others).set_axis(records.index))
    return shuffled


def _scaled(records: pd.DataFrame, encoder: Encoder, rng: np.random.Generator) -> pd.DataFrame:
    scaled, more = records[encoder.names], rng.uniform(*FACTORS, len(records)) - 1
    for column in encoder.columns:
        if isinstance(column, NumberColumn):
            from_mean = as_floats(records[column.name], column.offset) - column.mean
            scaled[column.name] = _moved(records[column.name], more * from_mean)
    return scaled


def _draw(is_eligible: np.ndarray, counts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(n, f) bool: in each row as many of the eligible positions as `counts` (n,) says, or all if they are fewer."""
    order = np.where(is_eligible, rng.random(is_eligible.shape), 2.0).argsort(axis=1)
    return is_eligible & (order.argsort(axis=1) < counts[:, None])


def _has_another_value(column: Column, values: pd.Series) -> np.ndarray:
    """(n,) bool: where `_with_another_value` can change a value."""
    is_fixed = (
        isinstance(column, ConstantColumn | TimestampColumn)
        or (isinstance(column, FlagColumn) and column.low == column.high)
        or (isinstance(column, CategoryColumn) and len(_levels(column)) < 2)
    )
    return values.notna().to_numpy() & (not is_fixed)


def _with_another_value(column: Column, values: pd.Series, rows: np.ndarray, rng: np.random.Generator) -> pd.Series:
    """The values (n,) of a feature, those in `rows` (n,) replaced."""
    if isinstance(column, NumberColumn):
        deviations = rng.uniform(*DEVIATIONS, len(values)) * rng.choice([-1, 1], len(values))
        return _moved(values, np.where(rows, deviations * column.scale, 0))
    if isinstance(column, FlagColumn):
        flags = as_floats(values)
        flipped = np.where(flags == column.high, column.low, column.high)
        return pd.Series(np.where(rows, flipped, flags), index=values.index).astype(values.dtype)
    if isinstance(column, CategoryColumn):
        return _with_another_level(values.astype("str"), rows, _levels(column), rng)
    return values


def _with_another_level(values: pd.Series, rows: np.ndarray, levels: list[str], rng: np.random.Generator) -> pd.Series:
    if not rows.any():
        return values
    known = pd.Index(levels).get_indexer(pd.Index(values))  # -1 where a level is new: any known one is another
    steps = rng.integers(1, len(levels), len(values))
    others = np.array(levels, dtype=object)[(known + steps) % len(levels)]
    return values.mask(rows, pd.Series(others, index=values.index, dtype=values.dtype))


def _levels(column: CategoryColumn) -> list[str]:
    """The texts that training saw."""
    return [level for level in column.levels if level not in {None, column.RARE}] + list(column.rare)


def _moved(values: pd.Series, by: np.ndarray) -> pd.Series:
    """Numbers moved by so much; integers stay integers, so that large ones keep their differences."""
    by = np.nan_to_num(by)  # finite, as opposite infinities have no sum
    if not pd.api.types.is_integer_dtype(values):
        return pd.Series(as_floats(values) + by, index=values.index)
    return values.astype("Int64") + np.clip(np.rint(by), -(2.0**62), 2.0**62).astype(np.int64)
