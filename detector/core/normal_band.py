"""NormalBand: the expected value of each cell, and the band that normal values rarely leave."""

from dataclasses import dataclass

import numpy as np

BAND_ERRORS = 3.0  # usual errors of the expected value, on either side


@dataclass(frozen=True)
class NormalBand:
    """Expected values of n records and their normal band, in the units of the features.

    Attributes:
        features: the f names, in the order of the columns.
        expected: (n, f), within the range of the training records; NaN if a record has no model.
        low: (n, f), lower end of the band.
        high: (n, f), upper end of the band.
    """

    features: tuple[str, ...]
    expected: np.ndarray
    low: np.ndarray
    high: np.ndarray
