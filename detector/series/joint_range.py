"""The joint range of channels: it shows a record that is unlike all of training though each of its cells is usual.

Of a channel that follows no calendar a single cell shows little, but the channels of a machine belong together: a flow
needs an open valve. So the Mahalanobis distance of a record's cells from the mean of training is compared with the
largest one in training.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from detector.core.arithmetic import products

RIDGE = 1e-3  # added to the variances of standardised cells
MIN_RECORDS_A_CHANNEL = 20  # of training, by which it is known how channels belong together
MIN_CHANNELS = 2


@dataclass(frozen=True)
class JointRange:
    """How far the records of training are from their mean.

    Attributes:
        mean: (c,) of the standardised cells.
        whitening: (c, c) float64; cells less the mean times it are uncorrelated and of variance one.
        largest: (1,) the largest squared distance from the mean.
    """

    mean: np.ndarray
    whitening: np.ndarray
    largest: np.ndarray

    @classmethod
    def fit(cls, runs: Sequence[np.ndarray]) -> Self | None:
        """Fit to runs of standardised cells of normal records, each (n, c); None for one channel or few records."""
        z = np.concatenate(runs)
        records, channels = z.shape
        if channels < MIN_CHANNELS or records < MIN_RECORDS_A_CHANNEL * channels:
            return None
        mean = z.mean(axis=0)
        covariance = (z - mean).T @ (z - mean) / records + RIDGE * np.eye(channels)
        whitening = np.linalg.cholesky(np.linalg.inv(covariance))
        return cls(mean, whitening, _distances(z, mean, whitening).max(keepdims=True))

    def is_outside(self, z: np.ndarray) -> np.ndarray:
        """Return whether records (n, c) are further from the mean than any in training, (n,) bool."""
        return np.asarray(_distances(z, self.mean, self.whitening) > self.largest)


def _distances(z: np.ndarray, mean: np.ndarray, whitening: np.ndarray) -> np.ndarray:
    """Return the squared distances (n,) of records from the mean, added from channel to channel."""
    return np.asarray(np.cumsum(np.square(products(z - mean, whitening)), axis=1)[:, -1])
