"""Subsamples at even spacing, without randomness."""

import numpy as np


def subsample_evenly(n: int, limit: int) -> np.ndarray:
    """Return at most `limit` evenly spaced positions among n, as an array (min(n, limit),).

    >>> subsample_evenly(9, 3).tolist()
    [0, 4, 8]
    """
    return np.linspace(0, n - 1, min(n, limit)).round().astype(int)


def subsample_rows(rows: np.ndarray, limit: int) -> np.ndarray:
    """Return an evenly spaced subsample of at most `limit` rows."""
    return rows[subsample_evenly(len(rows), limit)]
