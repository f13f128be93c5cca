"""Controls: neighbour scores on the detector's preprocessing without its network.

The value of the network is the model's gain over these scores, not over kNN on standardised columns.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from benchmarks.tables import Vector
from detector.core.neighbours import Neighbours
from detector.records.encoder import Encoder, squash
from schemas.config import ModelConfig
from schemas.frames import Features

_DEFAULTS = ModelConfig()


@dataclass(frozen=True)
class Control:
    """A neighbour score; if its views are separate, it is the geometric mean of the distances in each of them."""

    distance: Callable[[Neighbours, np.ndarray], Vector]
    has_separate_views: bool = False


def _knn(index: Neighbours, points: np.ndarray) -> Vector:
    return index.mean_distance(points, 5)


def _local_reconstruction(index: Neighbours, points: np.ndarray) -> Vector:
    return index.reconstruction_distance(points, _DEFAULTS.neighbours)


CONTROLS: dict[str, Control] = {
    "control_knn": Control(_knn),
    "control_local_reconstruction": Control(_local_reconstruction),
    "control_separate_views": Control(_local_reconstruction, has_separate_views=True),
}


def fit_control(name: str, train: pd.DataFrame, categorical: tuple[str, ...]) -> Callable[[pd.DataFrame], Vector]:
    """Return the anomaly score of a control: distances in the views of the encoding, and the nats of violations."""
    control = CONTROLS[name]
    numeric = tuple(str(column) for column in train if column not in categorical)
    encoder = Encoder.fit(train, Features(numeric=numeric, categorical=categorical), _DEFAULTS.max_levels)

    def spaces(records: pd.DataFrame) -> tuple[list[np.ndarray], np.ndarray]:
        """Return the points of n records in each space, and their violations (n,)."""
        matrix = encoder.encode(records)
        views = [squash(view).astype(np.float32) for view in (matrix.standard, matrix.quantile)]
        side_by_side = (np.hstack(views) / np.sqrt(2)).astype(np.float32)  # distances compare with those in one view
        return views if control.has_separate_views else [side_by_side], matrix.violations.astype(np.float64)

    searches = [Neighbours(points) for points in spaces(train)[0]]

    def score(records: pd.DataFrame) -> Vector:
        points, violations = spaces(records)
        nats = violations * np.log(len(train) + 2)
        distances = [control.distance(*pair) for pair in zip(searches, points, strict=True)]
        counted = [np.sqrt(np.square(distance) + 2 * nats) for distance in distances]
        return np.asarray(np.prod(counted, axis=0) ** (1 / len(counted)))

    return score
