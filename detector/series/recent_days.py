"""Recent days: how far a channel has been from its usual course at this time of the day during the last two weeks.

The season moves the level of a plant, and how much it does in a day, over months. So for some channels the usual value
moves with the median of the last two weeks at the same time of the day, which a fault of some days does not move.
"""

import numpy as np

from detector.series.line import Line, earlier_rows

DAYS = 14
MIN_DAY_ROWS, MAX_DAY_ROWS = 4, 96  # records of a day, beyond which no level moves: the past would be too long
NEAR_ROWS = (-1, 0, 1)  # records before and after the same time of a day that count, too
MIN_ROWS = 3  # of past days that are present; with fewer, the level has not moved
CONTEXT_DAYS = DAYS + 1  # that a level depends on


def recent_level(residual: np.ndarray, day_rows: int, line: Line | None = None, shift: int = 0) -> np.ndarray:
    """Return the median of the residuals (n, c), NaN if missing, at the same time of the last days, (n, c).

    Args:
        residual: distances from the usual course.
        day_rows: records of a day.
        line: of the rows; None if all are past for later rows.
        shift: records by which another time of the day takes the place of the same one.
    """
    lags = [day * day_rows + near - shift for day in range(1, DAYS + 1) for near in NEAR_ROWS]
    return np.stack([_median_of_past(column, lags, line) for column in residual.T], axis=1)


def _median_of_past(column: np.ndarray, lags: list[int], line: Line | None) -> np.ndarray:
    """Return the median (n,) of the values of a column that came some rows earlier; 0 if too many are missing."""
    past_values = np.full((len(lags), len(column)), np.nan)
    for position, rows in enumerate(lags):
        later, past = earlier_rows(len(column), rows, line)
        past_values[position, later] = column[past]
    past_values.sort(axis=0)  # missing ones last
    count = (~np.isnan(past_values)).sum(axis=0)
    middle = [
        np.take_along_axis(past_values, half[None], axis=0)[0] for half in (np.maximum(count - 1, 0) // 2, count // 2)
    ]
    return np.where(count >= MIN_ROWS, (middle[0] + middle[1]) / 2, 0.0)
