"""Controls: neighbour scores on the detector's preprocessing without its network.

The value of the network is the model's gain over these scores, not over kNN on standardised columns.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd

from benchmarks.tables import Vector
from detector.core.neighbours import Neighbours
from detector.records.encoder import Encoder, squash
from schemas.config import ModelConfig
from schemas.frames import Features

_DEFAULTS = ModelConfig()

CONTROLS: dict[str, Callable[[Neighbours, np.ndarray], Vector]] = {
    "control_knn": lambda index, points: index.mean_distance(points, 5),
    "control_local_reconstruction": lambda index, points: index.reconstruction_distance(points, _DEFAULTS.neighbours),
}


def fit_control(name: str, train: pd.DataFrame, categorical: tuple[str, ...]) -> Callable[[pd.DataFrame], Vector]:
    """Return the anomaly score of a control: a distance in both views of the encoding, and the nats of violations."""
    numeric = tuple(str(column) for column in train if column not in categorical)
    encoder = Encoder.fit(train, Features(numeric=numeric, categorical=categorical), _DEFAULTS.max_levels)
    index = Neighbours(_coordinates(encoder, train)[0])

    def score(records: pd.DataFrame) -> Vector:
        points, violations = _coordinates(encoder, records)
        nats = violations * np.log(len(train) + 2)
        return np.asarray(np.sqrt(np.square(CONTROLS[name](index, points)) + 2 * nats))

    return score


def _coordinates(encoder: Encoder, records: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return points (n, 2 d), scaled so that distances compare with those in one view, and violations (n,)."""
    matrix = encoder.encode(records)
    views = squash(np.hstack([matrix.standard, matrix.quantile])) / np.sqrt(2)
    return views.astype(np.float32), matrix.violations.astype(np.float64)
