"""Some of many, evenly spread."""

import numpy as np


def evenly_spread(n: int, most: int) -> np.ndarray:
    """(min(n, most),) positions of n, evenly spread.

    >>> evenly_spread(9, 3).tolist()
    [0, 4, 8]
    """
    return np.linspace(0, n - 1, min(n, most)).round().astype(int)
