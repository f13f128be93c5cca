"""The features that the contrast forests notice in a record.

A record falls through each tree from node to node, and with each comparison the share of copies changes. Summed over
the trees, the changes of a column are its contribution (Saabas 2014): so both columns of a combination are named that
is odd although each of its values is usual.
"""

from collections.abc import Sequence

import numpy as np

from detector.core.arithmetic import Trees, products
from detector.records.contrast import USUAL_SURPRISE, ContrastForest


def noticed_nats(forests: Sequence[ContrastForest], cells: np.ndarray, feature_cells: np.ndarray) -> np.ndarray:
    """Return the surprise of the forests beyond the usual one by feature, (n, f), not negative.

    It is 0 for forests of an earlier version, whose inner nodes have no shares of copies.

    Args:
        forests: of the model.
        cells: (n, d) float32, squashed.
        feature_cells: (d, f), 1 if a cell belongs to a feature.
    """
    nats, new = np.zeros((len(cells), feature_cells.shape[1])), np.full(len(cells), -1)
    for forest in forests:
        excess = np.maximum(forest.surprise(cells, new).astype(np.float64) - USUAL_SURPRISE, 0)
        rises = np.maximum(products(path_changes(forest.trees, cells), feature_cells), 0)
        total = rises.sum(axis=1)
        nats += rises * (excess / np.where(total > 0, total, 1))[:, None]
    return nats


def path_changes(trees: Trees, rows: np.ndarray) -> np.ndarray:
    """Return the mean over trees of the changes of the share of copies by the comparisons of each column, (n, d).

    With the mean share at the roots, the changes of a row (d,) sum to its mean share of copies.
    """
    changes = np.zeros(rows.shape)
    is_inner = trees.limits < np.finfo(np.float32).max
    if not trees.values[is_inner].any():  # in an earlier version only leaves have a share
        return changes
    records = np.repeat(np.arange(len(rows)), len(trees.roots))  # (n * T,), with the nodes that they have come to
    nodes = np.tile(trees.roots, len(rows))
    for _level in range(trees.levels.max()):
        columns = trees.columns[nodes]
        children = trees.children[nodes] + (rows[records, columns] > trees.limits[nodes])
        change = trees.values[children].astype(np.float64) - trees.values[nodes]
        cells = records * rows.shape[1] + columns
        changes += np.bincount(cells, change, changes.size).reshape(changes.shape)
        goes_on = is_inner[children]
        records, nodes = records[goes_on], children[goes_on]
    return changes / len(trees.roots)
