"""Running means over a fixed number of past rows, with the same bits at every cut of a series.

A mean with weights 2^(-age / half-life) over R rows is built by doubling: the sum over 2m rows is the sum over m rows
plus the decayed sum m rows earlier. So a row's mean is a fixed tree of additions over those rows, and earlier rows
have no effect. Rows before the first one count as 0, the mean of a standardised channel: a young series is drawn to it.
"""

import numpy as np

from detector.series.line import Line, earlier_rows

WINDOW_HALF_LIVES = 2  # after which a past row no longer counts


def window_rows(half_life: int) -> int:
    """Return the number of rows in a running mean, the current one included: a power of two.

    >>> window_rows(8), window_rows(256)
    (16, 512)
    """
    return 1 << (WINDOW_HALF_LIVES * half_life - 1).bit_length()


def running_mean(x: np.ndarray, half_life: int, line: Line | None = None) -> np.ndarray:
    """Return the decayed mean of each row and the rows before it, (n, ...).

    Here and below, the rows of a line are past for later rows; all rows are without a line.
    """
    decay = 0.5 ** (1 / half_life)
    rows, total = 1, np.array(x, dtype=np.float64)
    while rows < window_rows(half_life):
        later, past = earlier_rows(len(total), rows, line)
        total[later] += decay**rows * total[past]
        rows *= 2
    return np.asarray(total * ((1 - decay) / (1 - decay**rows)))


def past_mean(x: np.ndarray, half_life: int, line: Line | None = None) -> np.ndarray:
    """Return the decayed mean of the rows before each row, (n, ...); 0 for the first."""
    mean = np.zeros_like(x, dtype=np.float64)
    later, past = earlier_rows(len(x), 1, line)
    mean[later] = running_mean(x, half_life, line)[past]
    return mean


def mean_after(x: np.ndarray, kept: np.ndarray, half_life: int, line: Line | None = None) -> np.ndarray:
    """Return the decayed mean of each row of `x` and the rows of `kept` before it, (n, ...).

    `kept` holds the rows of `x` as they enter the past; if both are equal, the mean is `running_mean` to the bit.
    """
    decay = 0.5 ** (1 / half_life)
    own_weight = (1 - decay) / (1 - decay ** window_rows(half_life))
    return running_mean(kept, half_life, line) + own_weight * (x - kept)


def spread_around_mean(
    x: np.ndarray, kept: np.ndarray, half_lives: tuple[int, int], line: Line | None = None
) -> np.ndarray:
    """Return the size (n, ...) of recent steps away from the mean of the rows before.

    Args:
        x: (n, ...) rows.
        kept: the same rows as they enter the past.
        half_lives: of the mean, and of the squared steps.
        line: of the rows.
    """
    mean = past_mean(kept, half_lives[0], line)
    squares = mean_after(np.square(x - mean), np.square(kept - mean), half_lives[1], line)
    return np.sqrt(np.maximum(squares, 0))  # rounding can make the difference of two squares negative


def lagged(x: np.ndarray, rows: int, line: Line | None = None) -> np.ndarray:
    """Return the row that came `rows` earlier than each row, or the first row, (n, ...).

    With a line, `rows` is at least 1; a row without a past is the first row for itself.
    """
    if line is None:
        return x[np.maximum(np.arange(len(x)) - rows, 0)]
    first = np.where(line.places > 0, line.rows[0], np.arange(len(x)))
    return x[np.where(line.places > rows, line.rows[np.maximum(line.places - rows, 0)], first)]


def run_length(is_same: np.ndarray, limit: int, line: Line | None = None) -> np.ndarray:
    """Count the consecutive rows up to each row for which `is_same` (n, ...) holds, at most `limit`.

    >>> run_length(np.array([True, True, False, True]), 8).tolist()
    [1, 2, 0, 1]
    """
    if line is not None:
        on_line = run_length(is_same[line.rows], limit)
        before = np.concatenate([np.zeros_like(on_line[:1]), on_line])[line.places]
        return np.asarray(np.where(is_same, np.minimum(before + 1, limit), 0))
    rows = np.arange(1, len(is_same) + 1).reshape(-1, *[1] * (is_same.ndim - 1))
    last_break = np.maximum.accumulate(np.where(is_same, 0, rows), axis=0)
    return np.asarray(np.minimum(rows - last_break, limit))


def recent_count(is_set: np.ndarray, rows: int, line: Line | None = None) -> np.ndarray:
    """Count for how many of the last `rows` rows, each row included, `is_set` (n, ...) holds.

    >>> recent_count(np.array([True, False, True, True]), 2).tolist()
    [1, 1, 1, 2]
    """
    past = is_set if line is None else is_set[line.rows]
    places = np.arange(len(is_set)) if line is None else line.places
    total = np.concatenate([np.zeros_like(past[:1], dtype=np.int64), np.cumsum(past, axis=0)])
    return np.asarray(is_set + total[places] - total[np.maximum(places - (rows - 1), 0)])
