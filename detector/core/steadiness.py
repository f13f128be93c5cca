"""Features that move with time: what training learned of them does not hold for new records.

A running number, a counter or a year leaves the range of the training records with the next record, so that every new
record is unlike all of them, and a false-positive rate means nothing.
"""

from collections.abc import Mapping
from typing import Literal, TypeAlias

import numpy as np
import pandas as pd

from detector.core.bins import Bins, stability_index
from detector.core.drift import USUAL_PSI_FACTOR, index_by_chance
from detector.core.floats import as_floats

Movement: TypeAlias = Literal["constant", "rising", "falling", "unique", "newest_differ"]

MIN_RECORDS = 50
MIN_RANK_CORRELATION = 0.95  # with the order of the records
MIN_STEPS_VALUES = 3  # of a feature that never falls, or never rises
MIN_UNIQUE_SHARE = 0.5  # of the categories of a feature: more than half of them occur once
MIN_UNIQUE_NUMBERS = 0.99
NEWEST_SHARE = 0.2
MIN_PSI, LEVEL = 0.25, 1e-4  # as of drift
MAX_ENTITIES = 50  # whose records are ranked by themselves


def movement(values: pd.Series, bins: type[Bins], *, is_category: bool, entities: np.ndarray) -> Movement | None:
    """Return how a feature moves with the order of the records; None if it is steady or there are too few records.

    Args:
        values: (n,) of the records, from the oldest to the newest.
        bins: that count values of the feature.
        is_category: whether the values have no order.
        entities: (n,) of the records; a counter of each machine rises by itself.
    """
    present = values[values.notna()]
    if len(values) < MIN_RECORDS or present.empty:
        return None
    if present.nunique() == 1:
        return "constant" if len(present) == len(values) else None
    if is_category:
        return "unique" if present.nunique() > MIN_UNIQUE_SHARE * len(present) else _newest_differ(values, bins)
    numbers = as_floats(values)
    correlation = _rank_correlation(numbers, entities)
    if abs(correlation) >= MIN_RANK_CORRELATION:
        return "rising" if correlation > 0 else "falling"
    return "unique" if _is_number_of_record(numbers) else _newest_differ(values, bins)


def _rank_correlation(numbers: np.ndarray, entities: np.ndarray) -> float:
    """Return the rank correlation with the order of the records: of all, or the median of entities if it is larger."""
    groups = pd.Series(numbers).groupby(entities, sort=False).indices
    rows = [part for part in groups.values() if len(part) >= MIN_RECORDS][:MAX_ENTITIES]
    by_entity = float(np.median([_correlation(numbers[part]) for part in rows])) if len(rows) else 0.0
    return max(_correlation(numbers), by_entity, key=abs)


def _correlation(numbers: np.ndarray) -> float:
    known = pd.Series(numbers[~np.isnan(numbers)])
    ranks = known.rank().to_numpy()
    if len(ranks) < MIN_RECORDS or ranks.min() == ranks.max():
        return 0.0
    if known.nunique() >= MIN_STEPS_VALUES and (known.is_monotonic_increasing or known.is_monotonic_decreasing):
        return 1.0 if known.is_monotonic_increasing else -1.0  # such as years: ties lower the correlation of ranks
    return float(np.corrcoef(ranks, np.arange(len(ranks)))[0, 1])


def _is_number_of_record(numbers: np.ndarray) -> bool:
    """Return whether nearly all values are different whole numbers, so close that chance would repeat some."""
    known = numbers[np.isfinite(numbers)]
    if not len(known) or (known != np.round(known)).any():
        return False
    by_chance = len(known) ** 2 / (2 * (known.max() - known.min() + 1))
    return len(np.unique(known)) >= MIN_UNIQUE_NUMBERS * len(known) and by_chance >= 0.1 * len(known)


def _newest_differ(values: pd.Series, bins: type[Bins]) -> Movement | None:
    """Compare the newest fifth with the rest by the rule of drift."""
    newest = max(1, int(NEWEST_SHARE * len(values)))
    old, new = values.iloc[:-newest], values.iloc[-newest:]
    fitted = bins.of(old).fitted(old, newest)
    counts = np.array(fitted.count(new))
    index = stability_index(np.array(fitted.counts), counts)
    is_far = index >= max(MIN_PSI, USUAL_PSI_FACTOR * fitted.usual, index_by_chance(fitted, counts, LEVEL))
    return "newest_differ" if is_far else None


def movements(
    records: pd.DataFrame, bins: Mapping[str, type[Bins]], categories: frozenset[str], entities: np.ndarray
) -> dict[str, Movement]:
    """Return the features that move, with how they move.

    Args:
        records: (n) from the oldest to the newest.
        bins: by feature.
        categories: the features whose values have no order.
        entities: (n,) of the records.
    """
    found = {
        name: movement(records[name], kind, is_category=name in categories, entities=entities)
        for name, kind in bins.items()
    }
    return {name: how for name, how in found.items() if how is not None}
