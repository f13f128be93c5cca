"""Deciles: the rank of each cell among the entity's training records.

Entities differ in level, in unit and in how often a flag is set. But a tenth of each entity's training cells lies in
each of its deciles, so counts by decile can be added up over any mix of entities.

A value that fills several deciles, such as a flag, is distributed over them by a hash of the entity's name and the
record's time: as good as random, and independent of the other records.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self
from zlib import crc32

import numpy as np

from detector.series.channels import bounded
from detector.series.series import Series

DECILES = 10
UNSEEN = -1


@dataclass(frozen=True)
class Deciles:
    """The deciles of each channel.

    Attributes:
        edges: (11, c) float64, the smallest training value and the upper end of each decile.
    """

    edges: np.ndarray

    @classmethod
    def fit(cls, runs: Sequence[np.ndarray]) -> Self:
        """Fit the deciles to runs of normal records, each (n, c)."""
        columns = [column[~np.isnan(column)] for column in bounded(np.concatenate(runs)).T]
        ranks = np.arange(DECILES + 1) / DECILES
        edges = [
            np.quantile(column, ranks, method="inverted_cdf") if len(column) else np.zeros(DECILES + 1)
            for column in columns
        ]
        return cls(np.stack(edges, axis=1))

    def assign(self, entity: str, series: Series) -> np.ndarray:
        """Return the decile of each cell from 0 to 9, (n, c); -1 for values outside training, NaN if missing."""
        hashes, values = _hashes(entity, series.times), bounded(series.values)
        columns = [self._assign_column(channel, column, hashes) for channel, column in enumerate(values.T)]
        return np.where(np.isnan(values), np.nan, np.stack(columns, axis=1))

    def _assign_column(self, channel: int, values: np.ndarray, hashes: np.ndarray) -> np.ndarray:
        lowest, tops = self.edges[0, channel], self.edges[1:, channel]
        first = np.searchsorted(tops, values, side="left")
        last = np.maximum(np.searchsorted(tops, values, side="right") - 1, first)
        decile = first + np.floor(hashes * (last - first + 1))
        return np.where((values < lowest) | (first == DECILES), UNSEEN, decile)


def _hashes(entity: str, times: np.ndarray) -> np.ndarray:
    """Return numbers (n,) in [0, 1), uniform for any step of the times: the mixer of SplitMix64."""
    integers = times.astype(np.int64) if times.dtype.kind in "Mmiu" else times.astype(np.float64)
    mixed = integers.view(np.uint64) ^ np.uint64(crc32(entity.encode()) << 32)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((mixed ^ (mixed >> np.uint64(31))) >> np.uint64(11)) * 2.0**-53
