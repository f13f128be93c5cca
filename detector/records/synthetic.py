"""Synthetic anomalies: normal records changed so that they should stand out.

They measure how well a detector finds anomalies of certain kinds when no real anomalies are labelled. The kinds of
real anomalies are unknown, so the result does not carry over to them.
"""

import numpy as np
import pandas as pd

from detector.records.encoder import Encoder

MAX_PERTURBED_FEATURES = 3  # of a record
SHUFFLED_SHARE = 1 / 3  # of a record's features
SCALE_FACTORS = (1.5, 3.0)  # by which the distance of a scaled record from the mean grows


def synthetic_anomalies(records: pd.DataFrame, encoder: Encoder, rng: np.random.Generator) -> dict[str, pd.DataFrame]:
    """Make anomalies of each kind that applies, at most one from each of n normal records, on its index.

    - *perturbed*: up to three features are wrong by themselves: a number is moved by 3 to 10 standard deviations,
      a flag flipped, a category replaced by another level. Nulls and date-times stay.
    - *shuffled*: a third of the features come from another record: each value is normal, the combination is not.
    - *scaled*: all numbers lie 1.5 to 3 times as far from their mean, in the same direction.

    Records that the change leaves as they were are left out.
    """
    with np.errstate(over="ignore"):  # the largest numbers may become infinite
        anomalies = {
            "perturbed": _perturbed(records, encoder, rng),
            "shuffled": _shuffled(records, encoder, rng),
            "scaled": _scaled(records, encoder, rng),
        }
    before = encoder.encode(records).standard
    changed = {kind: frame[(encoder.encode(frame).standard != before).any(axis=1)] for kind, frame in anomalies.items()}
    return {kind: frame for kind, frame in changed.items() if len(frame)}


def _perturbed(records: pd.DataFrame, encoder: Encoder, rng: np.random.Generator) -> pd.DataFrame:
    is_eligible = np.stack(
        [records[column.name].notna().to_numpy() & column.is_perturbable for column in encoder.columns], axis=1
    )
    chosen = _draw(is_eligible, rng.integers(1, MAX_PERTURBED_FEATURES + 1, len(records)), rng)
    columns = zip(encoder.columns, chosen.T, strict=True)
    return pd.DataFrame(
        {column.name: column.perturbed(records[column.name], rows, rng) for column, rows in columns},
        index=records.index,
    )


def _shuffled(records: pd.DataFrame, encoder: Encoder, rng: np.random.Generator) -> pd.DataFrame:
    n, is_eligible = len(records), [not column.is_constant for column in encoder.columns]
    others = (np.arange(n) + rng.integers(1, max(n, 2), n)) % n
    count = max(1, round(SHUFFLED_SHARE * sum(is_eligible)))
    # with a single feature, another record's value would make another normal record
    chosen = _draw(np.tile(is_eligible, (n, 1)), np.full(n, count if sum(is_eligible) > 1 else 0), rng)
    shuffled = records[encoder.names]
    for name, rows in zip(encoder.names, chosen.T, strict=True):
        shuffled[name] = records[name].mask(rows, records[name].take(others).set_axis(records.index))
    return shuffled


def _scaled(records: pd.DataFrame, encoder: Encoder, rng: np.random.Generator) -> pd.DataFrame:
    growth = rng.uniform(*SCALE_FACTORS, len(records)) - 1
    return pd.DataFrame(
        {column.name: column.stretched(records[column.name], growth) for column in encoder.columns}, index=records.index
    )


def _draw(is_eligible: np.ndarray, counts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw `counts` (n,) of the eligible positions (n, f) in each row, or all if they are fewer; (n, f) bool."""
    order = np.where(is_eligible, rng.random(is_eligible.shape), 2.0).argsort(axis=1)
    return is_eligible & (order.argsort(axis=1) < counts[:, None])
