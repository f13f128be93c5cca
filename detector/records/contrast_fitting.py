"""Fitting of the contrast forests to the cells of training records: the noise of their copies, and the trees."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from detector.core.arithmetic import Trees
from detector.core.subsample import subsample_evenly
from detector.records.contrast import ContrastForest, log_odds

TREES = 20  # of each kind of noise
SEEN_SHARE = 2 / 3  # of the records, with their copies, for each tree; the others measure what is usual
MAX_DEPTH = 30
MIN_LEAF = 3  # records or copies
MAX_RECORDS = 3_000  # that trees separate from copies
COPIES = 3  # of each record
MAX_COPIES = 6_000
MIN_TRAINING_RECORDS = 250  # fewer do not suffice for trees
MAX_CELLS = 20  # with more, trees see too few of them, and copies are too easily found
MIN_SPREAD = 0.05  # of log odds; ordinary tables have three times as much, a table of equal records nearly none
_HIGH = 0.9  # quantile


@dataclass(frozen=True)
class Noise:
    """The noise of the copies of one forest, and how its trees choose the limits of their nodes.

    Attributes:
        splitter: "random" limits see where there are few records, "best" ones a sharp border.
        mean_cells: number of noisy cells on average; None if each copy has a random share of its cells.
        is_snapped: whether each cell takes the nearest value that it has in a training record.
    """

    splitter: Literal["random", "best"]
    mean_cells: float | None = None
    is_snapped: bool = False


NOISES = (Noise("random", mean_cells=1.2), Noise("random", is_snapped=True), Noise("best"))
LEVELS = (0.1, 2.0)  # limits of the standard deviation of a copy, drawn evenly over its logarithm
MIN_MEAN_CELLS = 1.5  # noisy ones, if a copy has a random share


def fit_contrasts(cells: np.ndarray, missing: np.ndarray, rng: np.random.Generator) -> tuple[ContrastForest, ...]:
    """Return a forest for each kind of noise, or none if there are too few records or too many cells.

    Args:
        cells: (m, d) float32, squashed.
        missing: (m, d) bool; a missing cell gets no noise.
        rng: draws the noise and the trees.
    """
    if len(cells) < MIN_TRAINING_RECORDS or cells.shape[1] > MAX_CELLS:
        return ()
    return tuple(_fit(cells, missing, noise, rng) for noise in NOISES)


def _fit(cells: np.ndarray, missing: np.ndarray, noise: Noise, rng: np.random.Generator) -> ContrastForest:
    rows = subsample_evenly(len(cells), MAX_RECORDS)
    seen = rng.permuted(np.tile(np.arange(len(rows)) < SEEN_SHARE * len(rows), (TREES, 1)), axis=1)  # (T, m)
    copies, copied = noisy_copies(cells[rows], missing[rows], noise, rng)
    trees = [_fit_tree((cells[rows[is_seen]], copies[is_seen[copied]]), noise, rng) for is_seen in seen]
    shares = _held_out_shares(trees, cells, rows, seen)
    centre, high = np.quantile(log_odds(shares), [0.5, _HIGH])
    return ContrastForest(_joined_trees(trees), float(centre), max(float(high - centre), MIN_SPREAD), shares)


def noisy_copies(
    cells: np.ndarray, missing: np.ndarray, noise: Noise, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return copies of records (m, d) with noise, (c, d) float32, and the positions of the records, (c,)."""
    count, width = max(1, min(COPIES, MAX_COPIES // len(cells))) * len(cells), cells.shape[1]
    copied = rng.integers(0, len(cells), count)
    lowest, highest = np.log(LEVELS)
    level = np.exp(rng.uniform(lowest, highest, (count, 1)))
    share = rng.random((count, 1))
    share = np.maximum(share, MIN_MEAN_CELLS / width) if noise.mean_cells is None else noise.mean_cells / width
    is_noisy = (rng.random((count, width)) < share) & ~missing[copied]
    moved = (cells[copied] + level * rng.standard_normal((count, width))).astype(np.float32)
    if noise.is_snapped:
        moved = np.stack([_nearest_values(*pair) for pair in zip(moved.T, cells.T, strict=True)], axis=1)
    return np.where(is_noisy, moved, cells[copied]), copied


def _fit_tree(classes: tuple[np.ndarray, np.ndarray], noise: Noise, rng: np.random.Generator) -> Any:
    """Return a tree that separates records from copies, each class with half of the weight."""
    from sklearn.tree import DecisionTreeClassifier

    label = np.repeat([0, 1], [len(rows) for rows in classes])
    weights = np.repeat([1 / len(rows) for rows in classes], [len(rows) for rows in classes])
    tree = DecisionTreeClassifier(
        splitter=noise.splitter,
        max_features="sqrt",
        max_depth=MAX_DEPTH,
        min_samples_leaf=MIN_LEAF,
        random_state=int(rng.integers(2**31)),
    )
    return tree.fit(np.concatenate(classes), label, sample_weight=weights).tree_


def _nearest_values(numbers: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the value nearest to each number (n,)."""
    ascending = np.unique(values)
    borders = (ascending[1:] + ascending[:-1]) / 2
    return np.asarray(ascending[np.searchsorted(borders, numbers)])


def _held_out_shares(trees: Sequence[Any], cells: np.ndarray, rows: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Return the mean share of copies (m,) in the places of records, by the trees that have not seen them."""
    total, judges = np.zeros(len(cells)), np.zeros(len(cells))
    for tree, is_seen in zip(trees, seen, strict=True):
        unseen = np.setdiff1d(np.arange(len(cells)), rows[is_seen], assume_unique=True)
        weights = tree.predict(cells[unseen]).reshape(-1, 2)
        total[unseen] += weights[:, 1] / weights.sum(axis=1)
        judges[unseen] += 1
    return np.asarray(total / np.maximum(judges, 1))


def _joined_trees(trees: Sequence[Any]) -> Trees:
    """Return the trees in one sequence of nodes, each pair of siblings side by side."""
    parts = [_by_level(tree) for tree in trees]
    sizes = [len(part.columns) for part in parts]
    roots = np.cumsum([0, *sizes[:-1]]).astype(np.int32)
    joined = Trees(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))
    return joined._replace(children=joined.children + np.repeat(roots, sizes), roots=roots)


def _by_level(tree: Any) -> Trees:
    """Return one tree, its nodes in the order of their levels."""
    order, levels, level = [np.zeros(1, dtype=int)], 0, np.zeros(1, dtype=int)
    while len(inner := level[tree.children_left[level] >= 0]):
        level = np.stack([tree.children_left[inner], tree.children_right[inner]], axis=1).ravel()
        order.append(level)
        levels += 1
    nodes = np.concatenate(order)
    place, is_leaf = np.argsort(nodes), tree.children_left[nodes] < 0
    weights = tree.value[nodes, 0]
    return Trees(
        columns=np.where(is_leaf, 0, tree.feature[nodes]).astype(np.int32),
        limits=np.where(is_leaf, np.finfo(np.float32).max, _rounded_down(tree.threshold[nodes])).astype(np.float32),
        children=np.where(is_leaf, np.arange(len(nodes)), place[tree.children_left[nodes]]).astype(np.int32),
        values=(weights[:, 1] / weights.sum(axis=1)).astype(np.float32),
        roots=np.zeros(1, np.int32),
        levels=np.array([levels], np.int32),
    )


def _rounded_down(limits: np.ndarray) -> np.ndarray:
    """Return the largest float32 up to each limit: numbers in float32 are at most the one if at most the other."""
    rounded = limits.astype(np.float32)
    return np.where(rounded > limits, np.nextafter(rounded, np.float32(-np.inf)), rounded)
