"""Deciles: where the cells of records lie among those of the entity's training records.

Entities differ in level, in unit and in how often a flag is set. But of each one's training cells a tenth lies in each
of its own deciles; so counts by decile can be added up over entities, in whatever mix these come.

A value that fills several deciles, such as a flag, is dealt out to them by a number that is made of the entity's name
and the record's time: as good as random, and the same for a record whatever comes with it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self
from zlib import crc32

import numpy as np

from detector.series.channels import bounded
from detector.series.series import Series

COUNT = 10
UNSEEN = -1


@dataclass(frozen=True)
class Deciles:
    """The deciles of each channel.

    Attributes:
        ends: (11, c) float64, the smallest training value and the upper end of each decile.
    """

    ends: np.ndarray

    @classmethod
    def fit(cls, runs: Sequence[np.ndarray]) -> Self:
        """The deciles of runs of normal records, each (n, c)."""
        columns = [column[~np.isnan(column)] for column in bounded(np.concatenate(runs)).T]
        ranks = np.arange(COUNT + 1) / COUNT
        of_each = [
            np.quantile(known, ranks, method="inverted_cdf") if len(known) else np.zeros(COUNT + 1) for known in columns
        ]
        return cls(np.stack(of_each, axis=1))

    def places(self, entity: str, series: Series) -> np.ndarray:
        """(n, c) the decile of each cell from 0 to 9; -1 where it lies beyond all of training, NaN where missing."""
        dealt, values = _dealt(entity, series.times), bounded(series.values)
        columns = [self._column(channel, column, dealt) for channel, column in enumerate(values.T)]
        return np.where(np.isnan(values), np.nan, np.stack(columns, axis=1))

    def _column(self, channel: int, values: np.ndarray, dealt: np.ndarray) -> np.ndarray:
        lowest, tops = self.ends[0, channel], self.ends[1:, channel]
        first = np.searchsorted(tops, values, side="left")
        last = np.maximum(np.searchsorted(tops, values, side="right") - 1, first)
        places = first + np.floor(dealt * (last - first + 1))
        return np.where((values < lowest) | (first == COUNT), UNSEEN, places)


def _dealt(entity: str, times: np.ndarray) -> np.ndarray:
    """(n,) numbers in [0, 1), scattered evenly whatever the step of the times: the mixer of SplitMix64."""
    integers = times.astype(np.int64) if times.dtype.kind in "Mmiu" else times.astype(np.float64)
    mixed = integers.view(np.uint64) ^ np.uint64(crc32(entity.encode()) << 32)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((mixed ^ (mixed >> np.uint64(31))) >> np.uint64(11)) * 2.0**-53
