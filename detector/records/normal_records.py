"""Normal records, and their split: to train on, and to calibrate with."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

MIN_TRAINING_RECORDS = 8
CALIBRATION_SHARE = 0.2


@dataclass(frozen=True)
class NormalRecords:
    """Normal records to train on, and normal records to calibrate with, which training never sees.

    A model of series gets no calibration records: each entity's model holds back some of its training records.

    Attributes:
        training: records to train on.
        calibration: records to calibrate with.
        is_drawn: whether the calibration records are a random draw of all; if not, they resemble each other more than
            the training records, such as the latest block in time.
    """

    training: pd.DataFrame
    calibration: pd.DataFrame
    is_drawn: bool = False


def calibration_split(n: int, n_calibration: int, seed: int, *, latest: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return the positions of n normal records, in order of time, to train on and to calibrate with."""
    order = np.arange(n) if latest else np.random.default_rng(seed).permutation(n)
    return np.sort(order[: n - n_calibration]), np.sort(order[n - n_calibration :])


def split_by_entity(entities: np.ndarray, rate: float | None, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the positions of normal records to train on and to calibrate with; an entity's records stay together.

    Args:
        entities: (n,) texts, the entity of each record.
        rate: the false-positive rate that the calibration entities have to resolve; None if there is none.
        seed: of the random draw.
    """
    codes, names = pd.factorize(entities)
    drawn = calibration_split(len(names), calibration_size(len(names), rate), seed, latest=False)
    training, calibration = (np.flatnonzero(np.isin(codes, part)) for part in drawn)
    return training, calibration


def calibration_size(n: int, rate: float | None) -> int:
    """Return the number of calibration records among n normal records: a fifth, or up to a half if the rate needs more.

    >>> calibration_size(1000, 0.01), calibration_size(1000, 0.004), calibration_size(1000, None)
    (200, 249, 200)
    """
    needed = int(np.ceil(1 / rate)) - 1 if rate else 0
    return max(round(CALIBRATION_SHARE * n), min(needed, n // 2))
