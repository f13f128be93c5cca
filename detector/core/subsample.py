"""Subsamples, evenly spread."""

import numpy as np


def evenly_spread(n: int, size: int) -> np.ndarray:
    """Return (min(n, size),) positions among n, evenly spread.

    >>> evenly_spread(9, 3).tolist()
    [0, 4, 8]
    """
    return np.linspace(0, n - 1, min(n, size)).round().astype(int)
