"""The off state of a machine: all of its continuous channels rest at the values at which they usually rest.

A machine that is off is in a state of its own, however long it lasts: the long means of a running machine do not make
its rest a departure. A rest at an unusual time is the matter of the calendar.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

MIN_OFF_SHARE, MAX_OFF_SHARE = 0.02, 0.9  # of the training records
MIN_OFF_ROWS = 3  # that a rest lasts on average


@dataclass(frozen=True)
class OffState:
    """The values at which channels rest.

    Attributes:
        is_part: (c,) 1 for channels that are part of the state, else 0.
        value: (c,) at which each channel rests.
    """

    is_part: np.ndarray
    value: np.ndarray

    @classmethod
    def fit(cls, runs: Sequence[np.ndarray], continuous: np.ndarray) -> Self | None:
        """Fit to runs of normal values, each (n, c); None if no common rest of all continuous channels recurs."""
        if not len(continuous):
            return None
        is_part, value = np.zeros((2, runs[0].shape[1]))
        for channel in continuous:
            is_part[channel], value[channel] = 1, _most_common(np.concatenate([run[:, channel] for run in runs]))
        state = cls(is_part, value)
        is_off = [state.is_off(run) for run in runs]
        rows = sum(int(part.sum()) for part in is_off)
        rests = sum(int((part[1:] & ~part[:-1]).sum() + part[:1].sum()) for part in is_off)
        is_state = MIN_OFF_SHARE <= rows / sum(map(len, runs)) <= MAX_OFF_SHARE and rows >= MIN_OFF_ROWS * rests
        return state if is_state else None

    def is_off(self, values: np.ndarray) -> np.ndarray:
        """Return whether the machine is off at each of n records (n, c), (n,) bool."""
        is_part = self.is_part == 1
        return np.asarray((values[:, is_part] == self.value[is_part]).all(axis=1))


def _most_common(values: np.ndarray) -> float:
    """Return the most common value that is not missing; 0 if all are missing."""
    present, counts = np.unique(values[~np.isnan(values)], return_counts=True)
    return float(present[np.argmax(counts)]) if len(present) else 0.0
