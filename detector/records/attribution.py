"""Which features made a record's score, and what would have been normal instead.

An anomalous cell moves the latent position and so smears error over innocent cells. Therefore the causes
are found one at a time: the feature that costs most beyond what is typical is hidden from the network, as
cells were hidden in training, and the rest is judged again without it. The expected values are those of the
last round, in which no cause was visible. The first cause is hidden however little it costs: a wrong category
costs few nats, and in plain sight it is half of what the network expects.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from detector.records.encoder import Matrix
from detector.records.posterior import Posterior

ROUNDS = 5  # features hidden at most
SUSPICIOUS = 4.5  # nats beyond the typical: what 3 standard deviations cost


@dataclass(frozen=True)
class Attribution:
    """n records explained over f features.

    Attributes:
        share: (n, f), not negative; the shares of a record sum to its score.
        deviation: (n, f), the value less the expected one in standard deviations of training records; for a
            feature of several cells, the length of the difference.
        expected: (n, d) standardised cells that would have been normal.
    """

    share: np.ndarray
    deviation: np.ndarray
    expected: np.ndarray


def attribute(
    matrix: Matrix,
    scores: np.ndarray,
    feature_cells: np.ndarray,
    excess_of: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]],
) -> Attribution:
    """Shares of the scores (n,) by feature.

    Args:
        matrix: the records.
        scores: what the shares sum to.
        feature_cells: (d, f), 1 where a cell belongs to a feature.
        excess_of: from positions of m records and the features to hide in them (m, f) to the nats that
            each feature costs beyond the typical (m, f), and the expected cells (m, d).
    """
    n, f = len(scores), feature_cells.shape[1]
    suspects = np.arange(n)
    hidden, found = np.zeros((n, f), dtype=np.float32), np.zeros((n, f))
    cost, expected = excess_of(suspects, hidden)
    for number in range(max(1, min(ROUNDS, f - 1))):
        candidate = np.where(hidden[suspects] > 0, -np.inf, cost[suspects])
        top = candidate.argmax(axis=1)
        is_suspect = candidate.max(axis=1) > (SUSPICIOUS if number else -np.inf)
        suspects, top = suspects[is_suspect], top[is_suspect]  # a record without a suspect stays without
        if not len(suspects):
            break
        hidden[suspects, top] = 1
        found[suspects, top] = cost[suspects, top]
        cost[suspects], expected[suspects] = excess_of(suspects, hidden[suspects])
    weight = np.maximum(np.maximum(found, cost), 0) + 1e-12  # without any excess, even shares
    share = weight / weight.sum(axis=1, keepdims=True) * scores[:, None]
    return Attribution(share, _deviation(matrix, expected, feature_cells), expected)


def feature_nll(posterior: Posterior, feature_cells: np.ndarray) -> np.ndarray:
    """(n, f): nats of each feature."""
    return np.asarray(posterior.nll @ feature_cells)


def _deviation(matrix: Matrix, expected: np.ndarray, feature_cells: np.ndarray) -> np.ndarray:
    difference = np.where(matrix.missing, 0, matrix.standard - expected)
    length = np.sqrt(np.square(difference) @ feature_cells)
    has_one_cell = feature_cells.sum(axis=0) == 1
    return np.where(has_one_cell, difference @ feature_cells, length)
