"""Resamples the rows of a watched table to records on a grid of time, one for each cell of an entity.

Sums of floats depend on their order, and a database adds in an order of its own. So the values of a cell are aggregated
here, by time and then by key: the same rows give the same bits.
"""

from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd

from schemas.config import MonitorConfig


def cells_of(rows: pd.DataFrame, starts: np.ndarray, monitor: MonitorConfig) -> np.ndarray:
    """Number the cells of each entity, and return each row's (n,).

    Args:
        rows: The n rows, with documented types.
        starts: (n,) the start of each row's cell, in seconds since 1970.
        monitor: The configuration, which names the column of entities.
    """
    entities = [] if monitor.entity is None else [rows[monitor.entity].to_numpy()]
    return rows.groupby([*entities, starts], sort=False, dropna=False).ngroup().to_numpy()


def resampled(rows: pd.DataFrame, starts: np.ndarray, monitor: MonitorConfig) -> pd.DataFrame:
    """Return one record for each cell that has rows, in order of keys.

    Its key is the largest key of the rows, its time the end of the cell. A feature is the mean of its values, or the
    last by time; nulls do not count, and if all are null, so is the feature. The mean of a boolean feature is true if
    at least half of the values are. The label is true if that of a row is.

    Args:
        rows: The n rows in order of keys, with documented types, all with a time.
        starts: (n,) the start of each row's cell, in seconds since 1970.
        monitor: The configuration, with `series.resample`.
    """
    cells = cells_of(rows, starts, monitor)
    last = np.sort(pd.Series(np.arange(len(rows))).groupby(cells).last().to_numpy(dtype=np.int64))
    step = int((monitor.resample or timedelta(0)).total_seconds())
    ends = pd.to_datetime(starts[last] + step, unit="s", utc=True).astype("datetime64[us, UTC]")
    records = rows.iloc[last].assign(**{str(monitor.time): ends})
    values = _values(rows, cells, monitor).loc[cells[last]]
    for name in values:
        records[name] = values[name].set_axis(records.index)
    return records.reset_index(drop=True)


def _values(rows: pd.DataFrame, cells: np.ndarray, monitor: MonitorConfig) -> pd.DataFrame:
    """Return the features of each cell, and its label if the rows have one; indexed by the cell's number."""
    by_time = rows[str(monitor.time)].argsort(kind="stable").to_numpy()
    features = monitor.features
    label = monitor.label if monitor.label in rows else None
    names = [*features.names, *([label] if label else [])]
    numbers = {name: _numbers(rows[name])[by_time] for name in names}
    grouped = pd.DataFrame(numbers).groupby(cells[by_time])
    values = grouped[list(features.names)].last()
    if monitor.series is not None and monitor.series.resample_by == "mean":
        values = values.assign(**{name: _means(numbers[name], cells[by_time]) for name in features.names})
    truths = {name: _truths(values[name] >= 0.5, values[name].isna()) for name in features.boolean}
    if label:
        largest = grouped[label].max()
        truths[label] = _truths(largest > 0, largest.isna())
    return values.assign(**truths)


def _means(values: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Return the mean of each cell without nulls; NaN if all are null.

    A sum depends on the order of the cell's rows alone. The means of a pandas group also depend on the rows in between.
    """
    is_known = ~np.isnan(values)
    sums = np.bincount(cells, weights=np.where(is_known, values, 0.0))
    counts = np.bincount(cells, weights=is_known)
    return np.asarray(np.divide(sums, counts, out=np.full(len(sums), np.nan), where=counts > 0))


def _numbers(column: "pd.Series[Any]") -> np.ndarray:
    return column.to_numpy(dtype=np.float64, na_value=np.nan)


def _truths(is_true: "pd.Series[bool]", is_missing: "pd.Series[bool]") -> "pd.Series[Any]":
    return is_true.astype("boolean").mask(is_missing)
