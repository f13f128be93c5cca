"""Conversion of numeric columns to floats, exact for large integers."""

import numpy as np
import pandas as pd


def as_floats(values: pd.Series, offset: float = 0) -> np.ndarray:
    """Return values less an offset as float64 (n,), NaN for nulls; integers are subtracted as integers."""
    floats = values.to_numpy(dtype=np.float64, na_value=np.nan) - offset
    if not pd.api.types.is_integer_dtype(values):
        return floats
    is_near = np.abs(floats) < 2.0**52  # beyond this the float is as good as the exact difference
    exact = values.to_numpy(dtype=np.int64, na_value=0)[is_near] - np.int64(offset)
    floats[is_near] = exact.astype(np.float64)
    return floats
