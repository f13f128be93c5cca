"""The total: the sum of the sizes of all features of a record, none of which may be large by itself."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from detector.series.channels import LINEAR_DEVIATIONS
from detector.series.numpy_network import Scale

CHUNK_RECORDS = 256  # computed at once: small enough for the cache of the processor


@dataclass(frozen=True)
class Total:
    """Mean and deviation of each feature of the profile, (d,) float64."""

    mean: np.ndarray
    deviation: np.ndarray

    @classmethod
    def fit(cls, features: np.ndarray) -> Self:
        """Fit the scale to training features (m, d)."""
        scale = Scale.fit(features)
        return cls(scale.mean, scale.deviation)

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Return the total (n,) float64 of features (n, d) float32, added from feature to feature."""
        mean, unit = self.mean.astype(np.float32), (1 / self.deviation).astype(np.float32)
        starts = range(0, max(1, len(features)), CHUNK_RECORDS)
        parts = [compressed_sizes((features[start : start + CHUNK_RECORDS] - mean) * unit) for start in starts]
        return np.concatenate([np.cumsum(part, axis=1, dtype=np.float64)[:, -1] for part in parts])


def compressed_sizes(z: np.ndarray) -> np.ndarray:
    """Return the absolute values of `compress`, computing the logarithm of the few values that need it.

    >>> compressed_sizes(np.array([-3.0, 4.0, 5.0])).round(3).tolist()
    [3.0, 4.0, 4.693]
    """
    sizes = np.abs(z)
    is_beyond = sizes > LINEAR_DEVIATIONS
    beyond = sizes[is_beyond].astype(np.float64) - LINEAR_DEVIATIONS
    sizes[is_beyond] = LINEAR_DEVIATIONS + np.log1p(beyond)
    return np.asarray(sizes)
