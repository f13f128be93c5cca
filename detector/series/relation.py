"""Relation: what a channel is at a time, by what the other channels are at the same time.

A forecast from the past of a channel follows a fault that lasts, and as long as each channel stays within its range, no
other signal shows that they no longer belong together: a solar inverter whose power is two thirds of what its light
allows.
So each channel is rebuilt from the others, by ridge regression on their cells of the same record.

Only machines of few channels have this signal: among many some relation always changes with the state of the machine.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from detector.core.arithmetic import products
from detector.series.channels import Cells
from detector.series.joint_range import MIN_RECORDS_A_CHANNEL

MAX_CHANNELS = 8
MAX_ERROR_SHARE = 0.5  # of the standard deviation of a channel that the others explain
MIN_ERROR = 0.05  # standard deviations: a perfectly explained channel must not dominate the score
MIN_TO_TELL_APART = 3  # explained channels
RIDGE = 1e-3  # per record


@dataclass(frozen=True)
class Relation:
    """Ridge regression of each channel on the cells of the other channels.

    Attributes:
        weights: (1 + c, c) float64, the constant first; 0 for channels that the others do not explain.
        error: (c,) float64, standard deviation of the residual.
        is_used: (c,) float64, 1 if the others explain the channel.
    """

    weights: np.ndarray
    error: np.ndarray
    is_used: np.ndarray

    @staticmethod
    def has_enough(runs: Sequence[np.ndarray]) -> bool:
        """Return whether runs of normal records (n, c) are enough for a relation if a fold of them is held back, too.

        Else it would be a signal of the model, and not of the scores that calibrate it.
        """
        complete = sum(int((~np.isnan(run).any(axis=1)).sum()) for run in runs)
        return complete >= 2 * MIN_RECORDS_A_CHANNEL * runs[0].shape[1]

    @classmethod
    def fit(cls, runs: Sequence[Cells], continuous: np.ndarray) -> Self | None:
        """Fit to runs of normal records; None for a single channel and for many.

        Args:
            runs: cells of c channels.
            continuous: positions of the channels that may be explained.
        """
        complete = np.concatenate([run.has_relation for run in runs])
        z = np.concatenate([run.z for run in runs])[complete]
        records, channels = z.shape
        if not 1 < channels <= MAX_CHANNELS:
            return None
        weights = _regression(z)
        error = (z - products(_design(z), weights)).std(axis=0) if records else np.zeros(channels)
        deviation = z.std(axis=0) if records else np.zeros(channels)
        is_used = np.isin(np.arange(channels), continuous) & (error < MAX_ERROR_SHARE * deviation)
        is_used &= records >= MIN_RECORDS_A_CHANNEL * channels
        return cls(np.where(is_used, weights, 0.0), error + MIN_ERROR, is_used.astype(np.float64))

    def expected(self, cells: Cells) -> np.ndarray:
        """Return each cell (n, c) as the others explain it; the constant alone for a channel that they do not."""
        return products(_design(cells.z), self.weights)

    def residual(self, cells: Cells) -> np.ndarray:
        """Return the standardised error of each channel (n, c).

        It is 0 if the channel is not explained, or a cell of the record is missing or replaced.
        """
        error = (cells.z - self.expected(cells)) / self.error
        return np.where(cells.has_relation[:, None], error * self.is_used, 0.0)

    @property
    def tells_channels_apart(self) -> bool:
        """Whether an error shows which channel is faulty: of two channels, either may be."""
        return bool(self.is_used.sum() >= MIN_TO_TELL_APART)

    def removed_by(self, cells: Cells) -> np.ndarray:
        """Return the part of the squared errors of a record that a change of each channel alone can remove, (n, c).

        A faulty channel spreads its error over the others, but no other channel can remove as much of it: this is the
        reconstruction-based contribution of Alcala & Qin (2009).
        """
        effects = (self.weights[1:] - np.eye(len(self.error))) * self.is_used / self.error
        lengths = np.sqrt(np.square(effects).sum(axis=1, keepdims=True))
        directions = np.divide(effects, lengths, out=np.zeros_like(effects), where=lengths > 0)
        return np.asarray(np.square(products(self.residual(cells), directions.T)))


def _regression(z: np.ndarray) -> np.ndarray:
    """Return the weights (1 + c, c) of each channel of records (n, c) by the others."""
    records, channels = z.shape
    design = _design(z)
    gram, weights = design.T @ design, np.zeros((1 + channels, channels))
    penalty = np.diag([1e-9, *[max(1.0, RIDGE * records)] * (channels - 1)])
    for channel in range(channels):
        others = np.delete(np.arange(1 + channels), 1 + channel)
        weights[others, channel] = np.linalg.solve(gram[np.ix_(others, others)] + penalty, gram[others, 1 + channel])
    return weights


def _design(z: np.ndarray) -> np.ndarray:
    return np.concatenate([np.ones((len(z), 1)), z], axis=1)
