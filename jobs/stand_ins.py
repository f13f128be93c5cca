"""Finds numbers that stand for a missing value, such as -999."""

from typing import Any

import numpy as np
import pandas as pd

_MIN_RECORDS = 50  # that show how far a number is from all others
_MIN_TIMES = 2
_MIN_DISTANCE = 0.5  # from all other numbers, by the largest of them: 99.99 is near 100 if all others are 100
_MIN_NINES = {-1: 2, 1: 4}  # by sign: 99 and 999 may be measurements
_LIMITS = {-32_768.0, 32_767.0, 65_535.0, -2_147_483_648.0, 2_147_483_647.0, 4_294_967_295.0, -999.25, 1e30, -1e30}


def stand_ins(values: "pd.Series[Any]") -> tuple[float, ...]:
    """Return the numbers of a column that stand for a missing value.

    These are nines or limits of a type that occur more than once, further from all other numbers than those are from
    each other, and than half of the largest of them.

    >>> stand_ins(pd.Series([20.5, 21.5] * 50 + [-999] * 3)), stand_ins(pd.Series([-1000.0, 5.0] * 50 + [-999] * 3))
    ((-999.0,), ())
    >>> stand_ins(pd.Series([100.0] * 100 + [99.99] * 3)), stand_ins(pd.Series([100.0] * 100 + [9999] * 3))
    ((), (9999.0,))
    """
    numbers = pd.to_numeric(values, errors="coerce").dropna().to_numpy("float64")
    distinct, times = np.unique(numbers, return_counts=True)
    is_mark = np.array([_is_mark(number) for number in distinct], dtype=bool)
    others = distinct[~is_mark]
    if not is_mark.any() or times[~is_mark].sum() < _MIN_RECORDS:
        return ()
    distance = max(others[-1] - others[0], _MIN_DISTANCE * np.abs(others).max())
    is_far = (others[0] - distinct > distance) | (distinct - others[-1] > distance)
    return tuple(distinct[is_mark & is_far & (times >= _MIN_TIMES)].tolist())


def sql_of(mark: float) -> str:
    """Return a number as SQL has it.

    >>> sql_of(-999.0), sql_of(9999.9)
    ('-999', '9999.9')
    """
    return repr(mark).removesuffix(".0")


def _is_mark(number: float) -> bool:
    digits = f"{abs(number):.10g}".replace(".", "")
    return number in _LIMITS or (set(digits) == {"9"} and len(digits) >= _MIN_NINES[1 if number > 0 else -1])
