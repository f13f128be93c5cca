"""Attribution of a record's score to its features, and the values that would have been normal.

An anomalous cell moves the latent position and so smears error over innocent cells. Therefore the causes
are identified one at a time: the feature with the highest cost above the typical one is hidden from the network, as
cells were hidden in training, and the other features are measured again without it. The expected values come from the
last round, in which no cause was visible. The first cause is hidden whatever its cost: a wrong category
costs few nats, and while visible it accounts for half of the network's expectation.

What the contrast forests notice of a record is added, the more the fewer the networks notice.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from detector.core.arithmetic import products
from detector.records.encoder import Matrix
from detector.records.posterior import Posterior

MAX_HIDDEN_FEATURES = 5
MIN_EXCESS_NATS = 4.5  # above the typical cost: 3 standard deviations


@dataclass(frozen=True)
class Attribution:
    """The scores of n records attributed to f features.

    Attributes:
        share: (n, f), not negative; the shares of a record sum to its score, or to the size of one below 0.
        deviation: (n, f), the value less the expected value in standard deviations of training records; for a
            feature of several cells, the length of the difference.
        expected: (n, d), standardised cells that would have been normal.
    """

    share: np.ndarray
    deviation: np.ndarray
    expected: np.ndarray


def attribute(
    matrix: Matrix,
    scores: np.ndarray,
    feature_cells: np.ndarray,
    excess_of: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]],
    noticed: np.ndarray | None = None,
) -> Attribution:
    """Attribute the scores (n,) of n records to f features.

    Args:
        matrix: the records.
        scores: to whose size the shares of each record sum up.
        feature_cells: (d, f), 1 if a cell belongs to a feature.
        excess_of: takes the positions of m records and the features to hide in them (m, f); returns the nats by
            which each feature costs more than typical (m, f), and the expected cells (m, d).
        noticed: (n, f) nats of each feature that the contrast forests notice, which count the more the fewer the
            networks notice; none if None.
    """
    excess, expected = _excess(len(scores), feature_cells.shape[1], excess_of)
    if noticed is not None:
        forests, networks = noticed.sum(axis=1), excess.sum(axis=1)
        excess += noticed * (forests / (forests + networks))[:, None]
    share = excess / excess.sum(axis=1, keepdims=True) * np.abs(scores)[:, None]
    return Attribution(share, _deviation(matrix, expected, feature_cells), expected)


def _excess(
    n: int, f: int, excess_of: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the nats that each feature costs beyond the typical ones, (n, f), and the expected cells, (n, d)."""
    suspects = np.arange(n)
    hidden, visible_cost = np.zeros((n, f), dtype=np.float32), np.zeros((n, f))
    cost, expected = excess_of(suspects, hidden)
    for number in range(max(1, min(MAX_HIDDEN_FEATURES, f - 1))):
        candidate = np.where(hidden[suspects] > 0, -np.inf, cost[suspects])
        top = candidate.argmax(axis=1)
        is_suspect = candidate.max(axis=1) > (MIN_EXCESS_NATS if number else -np.inf)
        suspects, top = suspects[is_suspect], top[is_suspect]  # a record without a suspect gets none later
        if not len(suspects):
            break
        hidden[suspects, top] = 1
        visible_cost[suspects, top] = cost[suspects, top]
        cost[suspects], expected[suspects] = excess_of(suspects, hidden[suspects])
    return np.maximum(np.maximum(visible_cost, cost), 0) + 1e-12, expected  # without any excess, even shares


def feature_nll(posterior: Posterior, feature_cells: np.ndarray) -> np.ndarray:
    """Return the nats of each feature, (n, f)."""
    return np.asarray(products(posterior.nll, feature_cells))


def _deviation(matrix: Matrix, expected: np.ndarray, feature_cells: np.ndarray) -> np.ndarray:
    difference = np.where(matrix.missing, 0, matrix.standard - expected)
    length = np.sqrt(products(np.square(difference), feature_cells))
    has_one_cell = feature_cells.sum(axis=0) == 1
    return np.where(has_one_cell, products(difference, feature_cells), length)
