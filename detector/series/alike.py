"""Alike: whether entities are so much alike that those with few records can share a model.

A shared model of shops of different sizes, or with different closing days, has so wide a range that it finds nothing.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from detector.series.channels import bounded
from detector.series.clock import DAY_SECONDS, WEEK_DAYS
from detector.series.series import Series

MIN_OWN_RECORDS = 100  # of an entity that is unlike the others, for a model of its own
MIN_EXPLAINED = 0.4  # of a channel's variance, by the entity beyond the day of the week
MIN_WEEKS = 4  # of records, from which entities may differ in their days of the week


def are_unlike(runs: Mapping[str, Sequence[Series]]) -> bool:
    """Return whether the entities of runs of records explain much of the variance of a channel."""
    entities = [np.concatenate([bounded(run.values) for run in parts]) for parts in runs.values()]
    values = np.concatenate(entities)
    entity = np.repeat(np.arange(len(entities)), [len(part) for part in entities])
    weekday = np.concatenate([_weekdays([run.times for run in parts]) for parts in runs.values()])
    without, within = (_squares_around_means(values, group) for group in (weekday, WEEK_DAYS * entity + weekday))
    total = _squares_around_means(values, np.zeros_like(weekday))
    return bool((without - within > MIN_EXPLAINED * total).any())


def _weekdays(times: Sequence[np.ndarray]) -> np.ndarray:
    """Return the day of the week of the times of runs, (n,); 0 for other times than dates and of short histories."""
    joined = np.concatenate(times)
    if not np.issubdtype(joined.dtype, np.datetime64):
        return np.zeros(len(joined), dtype=np.int64)
    days = joined.astype("datetime64[s]").astype(np.int64) // DAY_SECONDS
    return days % WEEK_DAYS if len(np.unique(days // WEEK_DAYS)) > MIN_WEEKS else np.zeros_like(days)


def _squares_around_means(values: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Return the sum (c,) of the squared distances of values (n, c) from the mean of their group (n,)."""
    sums = []
    for column in values.T:
        own, present = group[~np.isnan(column)], column[~np.isnan(column)]
        count, total = np.bincount(own), np.bincount(own, present)
        sums.append(np.square(present - (total / np.maximum(count, 1))[own]).sum())
    return np.array(sums)
