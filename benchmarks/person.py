"""The rule of a person who watches a machine without any software, to compare with.

Expected is the mean of the same time of the season if the machine has one, else the median of the last records. A
person sees three records in a row more than 5 standard deviations away, one record more than 10 away unless the machine
pauses for single records, and a value that stands still for 12 records in a channel that never stood still for so long.
Of a counter the increase is watched.
"""

import numpy as np
import pandas as pd

from benchmarks.machines import Machine
from benchmarks.series.data import Mask, Vector

FAR, VERY_FAR = 5.0, 10.0  # standard deviations
FAR_RECORDS, STILL_RECORDS = 3, 12
MEDIAN_RECORDS, MIN_MEDIAN_RECORDS = 144, 20
MAD_TO_DEVIATION = 1.4826
GROWING_SHARE = 0.999  # of the steps of a counter
MIN_DEVIATION = 1e-3  # of the largest value: a channel that hardly varies is not watched more closely


def person_alarms(machine: Machine) -> Mask:
    """Return the records (n,) that a person sees, by any channel."""
    alarms = np.zeros(len(machine.values), dtype=bool)
    for values in machine.channels.values():
        watched = _increase(values) if (np.diff(values) >= 0).mean() > GROWING_SHARE else values
        deviations = _deviations(machine, watched)
        is_far = pd.Series(deviations > FAR).rolling(FAR_RECORDS).sum().to_numpy() == FAR_RECORDS
        is_still = pd.Series(np.diff(watched, prepend=np.nan) == 0).rolling(STILL_RECORDS).sum().to_numpy()
        is_stuck = (is_still == STILL_RECORDS) & ~(is_still[: machine.trained] == STILL_RECORDS).any()
        alarms |= is_far | is_stuck | ((deviations > VERY_FAR) & (not machine.pauses))
    return alarms


def _increase(values: Vector) -> Vector:
    return np.diff(values, prepend=values[0])


def _deviations(machine: Machine, values: Vector) -> Vector:
    """Return the distance (n,) of each value from its expected value, in usual standard deviations."""
    trained = machine.trained
    if machine.season is None:
        expected = pd.Series(values).rolling(MEDIAN_RECORDS, min_periods=MIN_MEDIAN_RECORDS).median().shift(1)
        away = np.abs(values - expected.to_numpy())
        spread = MAD_TO_DEVIATION * np.nanmedian(away[:trained])
        return np.nan_to_num(away / max(spread, 1e-9))
    slot = np.arange(len(values)) % machine.season
    past = pd.Series(values[:trained]).groupby(slot[:trained])
    deviation = past.std().to_numpy()
    smallest = max(float(np.median(deviation)), MIN_DEVIATION * float(np.nanmax(np.abs(values[:trained]))))
    away = np.abs(values - past.mean().to_numpy()[slot])
    return np.asarray(away / np.maximum(deviation[slot], smallest))
