"""Running means over a fixed number of past rows, with the same bits at every cut of a series.

A mean with weights 2^(-age / half-life) over R rows is built by doubling: the sum over 2m rows is the sum over m rows
plus the decayed sum m rows earlier. So a row's mean is a fixed tree of additions over those rows, and earlier rows
have no effect. Rows before the first one count as 0, the mean of a standardised channel: a young series is drawn to it.
"""

import numpy as np

WINDOW_HALF_LIVES = 2  # after which a past row no longer counts


def window_rows(half_life: int) -> int:
    """Return the number of rows in a running mean, the current one included: a power of two.

    >>> window_rows(8), window_rows(256)
    (16, 512)
    """
    return 1 << (WINDOW_HALF_LIVES * half_life - 1).bit_length()


def running_mean(x: np.ndarray, half_life: int) -> np.ndarray:
    """Return the decayed mean of each row and the rows before it, (n, ...)."""
    decay = 0.5 ** (1 / half_life)
    rows, total = 1, np.array(x, dtype=np.float64)
    while rows < window_rows(half_life):
        total[rows:] += decay**rows * total[:-rows]
        rows *= 2
    return np.asarray(total * ((1 - decay) / (1 - decay**rows)))


def past_mean(x: np.ndarray, half_life: int) -> np.ndarray:
    """Return the decayed mean of the rows before each row, (n, ...); 0 for the first."""
    return np.concatenate([np.zeros_like(x[:1], dtype=np.float64), running_mean(x[:-1], half_life)])


def mean_after(x: np.ndarray, kept: np.ndarray, half_life: int) -> np.ndarray:
    """Return the decayed mean of each row of `x` and the rows of `kept` before it, (n, ...).

    `kept` holds the rows of `x` as they enter the past; if both are equal, the mean is `running_mean` to the bit.
    """
    decay = 0.5 ** (1 / half_life)
    own_weight = (1 - decay) / (1 - decay ** window_rows(half_life))
    return running_mean(kept, half_life) + own_weight * (x - kept)


def lagged(x: np.ndarray, rows: int) -> np.ndarray:
    """Return the row that came `rows` earlier than each row, or the first row, (n, ...)."""
    return x[np.maximum(np.arange(len(x)) - rows, 0)]


def run_length(is_same: np.ndarray, limit: int) -> np.ndarray:
    """Count the consecutive rows up to each row for which `is_same` (n, ...) holds, at most `limit`.

    >>> run_length(np.array([True, True, False, True]), 8).tolist()
    [1, 2, 0, 1]
    """
    rows = np.arange(1, len(is_same) + 1).reshape(-1, *[1] * (is_same.ndim - 1))
    last_break = np.maximum.accumulate(np.where(is_same, 0, rows), axis=0)
    return np.asarray(np.minimum(rows - last_break, limit))
