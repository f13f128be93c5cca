"""Copies among normal records: the same measurement stored several times, exactly or nearly.

If one copy trains and another calibrates, the calibration score of a measurement is that of a record seen in training,
the threshold is far too low, and most new records are flagged. So of each measurement one record is kept.

Records that are equal by chance are no copies: readings of a coarse sensor, or records of categories. New records
repeat such values too, and equal records on both sides of the hold-out are as they should be. The two differ in what
lies around a record: chance puts as many records into a small cube around it as the larger cubes around that cube
imply, and copies put more into it. The tolerance of a copy is the smallest that finds nearly all of them, and no less
than half the step of the values of a column. Nor are records copies that repeat far more often than others do, as those
of a machine that stands still.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from detector.core.floats import as_floats
from detector.core.subsample import subsample_evenly
from schemas.frames import Features

TOLERANCES = (1e-9, 1e-6, 1e-4, 1e-3, 3e-3, 0.01, 0.03, 0.1)  # in interquartile ranges, the smallest first
CUBES = (1, 3, 7)  # half the length of their edges, in tolerances: a record of a grid has 1, 3^d and 7^d cells in them
MIN_COPIED_SHARE = 0.2  # of the records: fewer copies change a rate by as little
MOST_OF_SHARE = 0.9  # of the largest share: the smallest tolerance that finds so much of it is enough
MIN_EXACT_EXCESS, MIN_EXCESS = 1.5, 2.0  # times the records that chance puts into the smallest cube
RATIO_MARGIN = 0.9  # of the ratio of the larger cubes, for its error
MIN_DISTINCT_VALUES = 20  # that a column must exceed: values of a coarser one coincide by chance
MAX_NEAR_COPIES = 10  # of a measurement, if they differ; more are a state that recurs
MAX_EXACT_COPIES, USUAL_COPIES_FACTOR = 50, 4  # of a measurement; and times the usual number if that is more than ten
MAX_QUERIES = 500  # records that cubes are counted around
MAX_DECIMALS = 9
MIN_ENTITIES, MAX_RECORDS_OF_ENTITY = 20, 20  # with fewer entities, or more records of an entity, records are drawn
MAX_ENTITIES_COMPARED = 1_000
MIN_OWN_NEIGHBOURS = 0.25  # share of the records with a record of their own entity as the nearest neighbour
KIND_DISTANCE = 1e3  # between records of different kinds, in tolerances


def is_copy(records: pd.DataFrame, features: Features) -> np.ndarray:
    """Return (n,) bool: whether a record is a copy of an earlier one; all False if the copies are few.

    Date-times do not count, since a measurement that is stored again may get another time.

    Args:
        records: in the order in which the first record of a measurement is the one to keep.
        features: the columns that make a measurement.
    """
    values = np.column_stack([np.zeros((len(records), 0)), *(as_floats(records[name]) for name in features.numeric)])
    if any(len(np.unique(column)) > MIN_DISTINCT_VALUES for column in values.T):
        kinds, spreads, steps = _kinds(records, features, values), _spreads(values), _steps(values)
        finite = np.nan_to_num(values, posinf=0.0, neginf=0.0)
        by_tolerance = [_Measurements(finite / _radii(tolerance * spreads, steps), kinds) for tolerance in TOLERANCES]
        if by_tolerance[-1].close_share() < MIN_COPIED_SHARE:  # then a smaller tolerance finds no more
            return np.zeros(len(records), dtype=bool)
        shares = [measurements.copied_share() for measurements in by_tolerance]
        if max(shares) > 0:
            best = next(place for place, share in enumerate(shares) if share >= MOST_OF_SHARE * max(shares))
            return by_tolerance[best].is_copy()
    return np.zeros(len(records), dtype=bool)


def has_near_copies(records: pd.DataFrame, features: Features, entities: np.ndarray) -> bool:
    """Return whether records have few records of their entity, and these are their nearest neighbours.

    Then a random draw of records puts near-copies on both sides of the hold-out, and entities have to be drawn.

    Args:
        records: (n) normal records.
        features: of the records.
        entities: (n,) texts.
    """
    counts = pd.Series(entities).value_counts()
    if len(counts) < MIN_ENTITIES or counts.median() > MAX_RECORDS_OF_ENTITY or not features.numeric:
        return False
    is_chosen = np.isin(entities, counts.index[subsample_evenly(len(counts), MAX_ENTITIES_COMPARED)])
    values = np.column_stack([as_floats(records[name]) for name in features.numeric])[is_chosen]
    scaled = np.nan_to_num(values, posinf=0.0, neginf=0.0) / _spreads(values)
    if len(scaled) < 2:
        return False
    nearest = _tree(scaled).query(scaled, 2)[1]
    rows = np.arange(len(scaled))
    other = np.where(nearest[:, 0] == rows, nearest[:, 1], nearest[:, 0])
    own = entities[is_chosen]
    return bool((own[other] == own).mean() >= MIN_OWN_NEIGHBOURS)


@dataclass(frozen=True)
class _Measurements:
    """Records whose numbers are in units of the tolerance.

    Attributes:
        scaled: (n, d) numbers.
        kinds: (n,) records of different kinds are no copies of each other.
    """

    scaled: np.ndarray
    kinds: np.ndarray

    def close_share(self) -> float:
        """Return the share of the records that have another one within the tolerance."""
        return float((self.tree.query_ball_point(self.queries, 1.0, p=np.inf, return_length=True) > 1).mean())

    def copied_share(self) -> float:
        """Return the share of the records that have copies; 0 if chance explains them, or they are few."""
        queries = self.queries
        inner, middle, outer = (
            self.tree.query_ball_point(queries, size, p=np.inf, return_length=True).astype(np.float64) for size in CUBES
        )
        exact = self.tree.query_ball_point(queries, 0.0, p=np.inf, return_length=True)
        is_usual = self._is_usual(inner, exact, 1 / inner)
        share = float((is_usual & (inner > 1)).mean())
        if share < MIN_COPIED_SHARE:
            return 0.0
        is_usual &= outer <= np.quantile(outer, MOST_OF_SHARE)  # a state that recurs crowds the cubes near it
        same, near, around = (float(part[is_usual].sum()) for part in (inner - 1, middle - inner, outer - inner))
        by_chance = _by_chance(near, around)
        factor = MIN_EXACT_EXCESS if (exact == inner)[is_usual].all() else MIN_EXCESS
        is_excess = same >= max(by_chance + MIN_COPIED_SHARE * is_usual.sum(), factor * by_chance)
        return share if is_excess else 0.0

    def is_copy(self) -> np.ndarray:
        """Return (n,) bool: whether a record has an earlier copy and is not repeated far more often than others."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        _, first, exact = np.unique(self.points, axis=0, return_index=True, return_inverse=True)
        distinct = self.points[first]
        distance, neighbour = _tree(distinct).query(distinct, MAX_NEAR_COPIES + 1, p=np.inf, distance_upper_bound=1.0)
        rows, columns = np.nonzero(np.isfinite(distance))
        links = coo_array((np.ones(len(rows)), (rows, neighbour[rows, columns])), shape=(len(distinct), len(distinct)))
        group = connected_components(links, directed=False)[1][exact]
        sizes = np.bincount(group)
        usual = self._is_usual(sizes[group], np.bincount(exact)[exact], 1 / sizes[group])
        return np.asarray(pd.Series(group).duplicated().to_numpy() & usual)

    @cached_property
    def points(self) -> np.ndarray:
        """(n, d + 1): the records, with those of different kinds apart."""
        return np.column_stack([self.scaled, KIND_DISTANCE * self.kinds])

    @property
    def queries(self) -> np.ndarray:
        """The records that cubes are counted around."""
        return self.points[subsample_evenly(len(self.points), MAX_QUERIES)]

    @cached_property
    def tree(self) -> Any:
        """Search for the records in a cube."""
        return _tree(self.points)

    @staticmethod
    def _is_usual(sizes: np.ndarray, exact: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Return whether a record is repeated no more often than copies are.

        Args:
            sizes: (n,) records of the same measurement.
            exact: (n,) records that are equal.
            weights: (n,) for the median number of records of a measurement.
        """
        order = np.argsort(sizes, kind="stable")
        total = np.cumsum(weights[order])
        median = sizes[order][np.searchsorted(total, total[-1] / 2)]
        most = min(max(MAX_NEAR_COPIES, USUAL_COPIES_FACTOR * median), MAX_EXACT_COPIES)
        return np.asarray(sizes <= np.where(exact == sizes, most, MAX_NEAR_COPIES))


def _tree(points: np.ndarray) -> Any:
    from scipy.spatial import cKDTree

    return cKDTree(points)


def _by_chance(near: float, around: float) -> float:
    """Return how many records chance puts into the smallest cubes, by the records in the rest of the larger ones.

    The ratio of the larger cubes gives the dimension of the records, at least one.

    >>> round(_by_chance(near=3 - 1, around=7 - 1), 2), round(_by_chance(near=3**2 - 1, around=7**2 - 1), 2)
    (1.0, 1.29)
    """
    if not near:
        return 0.0
    dimensions = np.arange(1, 21)
    ratios = (7.0**dimensions - 1) / (3.0**dimensions - 1)
    dimension = np.interp(RATIO_MARGIN * around / near, ratios, dimensions)
    return float(near / (3.0**dimension - 1))


def _kinds(records: pd.DataFrame, features: Features, values: np.ndarray) -> np.ndarray:
    """Return (n,) int: equal for records with the same categories, and with the same numbers missing."""
    texts = [records[name].astype("str").to_numpy() for name in (*features.boolean, *features.categorical)]
    states = [np.where(np.isfinite(column), 0.0, np.nan_to_num(column, nan=1.0)) for column in values.T]
    columns = dict(enumerate([*texts, *states]))
    return pd.DataFrame(columns).groupby(list(columns), dropna=False, sort=False).ngroup().to_numpy()


def _spreads(values: np.ndarray) -> np.ndarray:
    """Return the interquartile range of each column, or its standard deviation if that range is empty, (d,)."""
    return np.array([_spread(column[np.isfinite(column)]) for column in values.T])


def _spread(column: np.ndarray) -> float:
    if not len(column):
        return 1.0
    low, high = np.quantile(column, [0.25, 0.75])
    return float(high - low) or float(column.std()) or 1.0


def _radii(wanted: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Return tolerances (d,) that are odd multiples of half a step, so that cubes hold whole cells."""
    halves = np.divide(wanted, steps / 2, out=np.zeros_like(steps), where=steps > 0)
    return np.where(steps > 0, (2 * np.floor(halves / 2) + 1) * steps / 2, wanted)


def _steps(values: np.ndarray) -> np.ndarray:
    """Return the step that the values of each column are multiples of, (d,); 0 if they have more decimals than nine."""
    return np.array([_step(np.unique(column[np.isfinite(column)])) for column in values.T])


def _step(distinct: np.ndarray) -> float:
    for decimals in range(MAX_DECIMALS + 1 if len(distinct) > 1 else 0):
        multiples = distinct * 10.0**decimals
        whole = np.round(multiples)
        if np.abs(whole).max() < 2**53 and np.allclose(multiples, whole, rtol=1e-12, atol=1e-6):
            return float(np.gcd.reduce(np.diff(whole).astype(np.int64)) / 10.0**decimals)
    return 0.0
