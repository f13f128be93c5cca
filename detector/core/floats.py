"""Columns of records as floating-point numbers."""

import numpy as np
import pandas as pd


def as_floats(values: pd.Series, offset: float = 0) -> np.ndarray:
    """Return values minus an offset as float64 (n,), NaN for nulls; integers are subtracted as integers."""
    floats = values.to_numpy(dtype=np.float64, na_value=np.nan) - offset
    if not pd.api.types.is_integer_dtype(values):
        return floats
    near = np.abs(floats) < 2.0**52  # beyond, a float holds the difference as well as anything does
    exact = values.to_numpy(dtype=np.int64, na_value=0)[near] - np.int64(offset)
    floats[near] = exact.astype(np.float64)
    return floats
