"""Channels: values in their own units to comparable cells and back, and what a channel of its kind should never do."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from detector.series.running_means import lagged, run_length

LINEAR_TO = 4.0  # standard deviations; beyond them a cell grows with the logarithm
JUMP = 4.0  # how far a constant channel lies out that changes
BREACH = 8.0  # how far a cell lies out that does what its channel never did: beyond what a busy flag's switches do
STILL_ROWS = 64  # unchanged rows are counted up to here
RESTLESS = 8  # a channel that never stood still for longer should never: others do for reasons of their own
SHORTEST_REST = 3  # unchanged rows that any channel may have
TOO_LONG = 4  # times as long as ever
NEAR = 0.5  # standard deviations
LARGEST = 1e100  # infinite cells count as this
CONSTANT = 1e-7  # deviation, relative to the mean, below which a channel is constant
FLAG_VALUES = 2


@dataclass(frozen=True)
class Cells:
    """Standardised channels of consecutive records, all (n, c) float64.

    Attributes:
        z: compressed standardised values; 0 where the cell is missing.
        is_missing: where there is no value.
        breach: up to 8 where a cell is missing or takes a value as never in training, else 0.
        is_stuck: where the channel has stood still as never in training.
    """

    z: np.ndarray
    is_missing: np.ndarray
    breach: np.ndarray
    is_stuck: np.ndarray

    @property
    def misconduct(self) -> np.ndarray:
        """(n, c): how far a cell lies out by what its channel should never do."""
        return np.maximum(self.breach, BREACH * self.is_stuck)


@dataclass(frozen=True)
class Channels:
    """What training says of each channel, all (c,) float64.

    Attributes:
        mean: of the values.
        deviation: standard deviation; 0 of a constant channel.
        lowest: smallest value.
        highest: largest value.
        is_flag: 1 where there were at most two values: such a channel is a state or a command, without a shape.
        missing_share: share of missing cells.
        longest_still: most unchanged rows in a row, up to 64.
    """

    mean: np.ndarray
    deviation: np.ndarray
    lowest: np.ndarray
    highest: np.ndarray
    is_flag: np.ndarray
    missing_share: np.ndarray
    longest_still: np.ndarray

    @classmethod
    def fit(cls, runs: Sequence[np.ndarray]) -> Self:
        """The channels of runs of normal records, each (n, c)."""
        runs = [bounded(run) for run in runs]
        columns = [_known(column) for column in np.concatenate(runs).T]
        mean = np.array([column.mean() for column in columns])
        deviation = np.array([column.std() for column in columns])
        is_constant = deviation <= CONSTANT * np.maximum(np.abs(mean), 1)
        still = np.max([run_length(_is_unchanged(run), STILL_ROWS).max(axis=0) for run in runs], axis=0)
        return cls(
            mean,
            np.where(is_constant, 0.0, deviation),
            np.array([column.min() for column in columns]),
            np.array([column.max() for column in columns]),
            np.array([float(len(np.unique(column)) <= FLAG_VALUES) for column in columns]),
            np.isnan(np.concatenate(runs)).mean(axis=0),
            still.astype(np.float64),
        )

    @property
    def shaped(self) -> np.ndarray:
        """Positions of the channels that have a shape; all channels where none has."""
        numbers = np.flatnonzero(self.is_flag == 0)
        return numbers if len(numbers) else np.arange(len(self.mean))

    @property
    def changeable(self) -> np.ndarray:
        """(c,) standard deviation of the channels that are numbers, 0 of flags: what synthetic anomalies go by."""
        return np.where(self.is_flag == 0, self.deviation, 0.0)

    def cells(self, values: np.ndarray) -> Cells:
        """The cells of consecutive records (n, c); whether one is stuck depends on the 64 rows before it."""
        values = bounded(values)
        is_missing = np.isnan(values)
        change = np.where(is_missing, 0, values - self.mean)
        jump = JUMP * np.sign(change) * (np.abs(change) > self._tolerance)
        z = np.where(self.deviation > 0, compress(change / np.where(self.deviation > 0, self.deviation, 1)), jump)
        breach = np.where(is_missing, self._silence, self._novelty(values))
        return Cells(z, is_missing, breach, self._is_stuck(values))

    def is_usual(self, z: np.ndarray) -> np.ndarray:
        """(n, c) bool: whether standardised cells lie between the lowest and the highest value of training, or near."""
        lowest, highest = self.cells(np.stack([self.lowest, self.highest])).z
        return np.asarray((lowest - NEAR <= z) & (z <= highest + NEAR))

    def values(self, z: np.ndarray) -> np.ndarray:
        """(n, c) in the channels' units, for standardised cells."""
        return self.mean + self.deviation * expand(z)

    @property
    def _tolerance(self) -> np.ndarray:
        return CONSTANT * np.maximum(np.abs(self.mean), 1)

    @property
    def _silence(self) -> np.ndarray:
        """(c,): the standardised value of "missing" itself, at most 8."""
        share = np.clip(self.missing_share, 1e-6, 1)
        return np.minimum(np.sqrt((1 - share) / share), BREACH)

    def _is_stuck(self, values: np.ndarray) -> np.ndarray:
        """(n, c): where a restless channel has stood still for four times as long as it ever did."""
        longest = np.maximum(self.longest_still, SHORTEST_REST)
        rows = run_length(_is_unchanged(values), STILL_ROWS)
        return (rows >= TOO_LONG * longest) & (self.longest_still <= RESTLESS)

    def _novelty(self, values: np.ndarray) -> np.ndarray:
        """(n, c): 8 where a flag or a constant channel takes a value that it never had."""
        beyond = np.maximum(self.lowest - values, values - self.highest)
        return BREACH * (beyond > self._tolerance) * self.is_flag


def bounded(values: np.ndarray) -> np.ndarray:
    """The values with infinite ones as the largest; missing ones stay missing."""
    return np.clip(values, -LARGEST, LARGEST)


def compress(z: np.ndarray) -> np.ndarray:
    """The identity up to four, from there a logarithm with the same slope.

    >>> compress(np.array([-3.0, 4.0, 5.0])).round(3).tolist()
    [-3.0, 4.0, 4.693]
    """
    beyond = np.maximum(np.abs(z) - LINEAR_TO, 0)
    return np.asarray(np.sign(z) * (np.minimum(np.abs(z), LINEAR_TO) + np.log1p(beyond)))


def expand(z: np.ndarray) -> np.ndarray:
    """What `compress` made of it.

    >>> expand(compress(np.array([-3.0, 4.0, 5.0]))).round(3).tolist()
    [-3.0, 4.0, 5.0]
    """
    beyond = np.maximum(np.abs(z) - LINEAR_TO, 0)
    return np.asarray(np.sign(z) * (np.minimum(np.abs(z), LINEAR_TO) + np.expm1(beyond)))


def _known(column: np.ndarray) -> np.ndarray:
    """Values of a channel that are there; 0 where none is."""
    known = column[~np.isnan(column)]
    return known if len(known) else np.zeros(1)


def _is_unchanged(values: np.ndarray) -> np.ndarray:
    """(n, c): where a cell equals the one before it."""
    return (values == lagged(values, 1)) & (np.arange(len(values)) > 0)[:, None]
