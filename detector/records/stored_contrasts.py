"""The contrast forests as arrays of an artifact, and their checks."""

from collections.abc import Mapping

import numpy as np

from detector.core.arithmetic import Trees
from detector.core.blob import ArraySpecs, artifact_error
from detector.records.contrast import ContrastForest

_PREFIX = "contrast/"
MAX_FORESTS = 16
MAX_TREES = 1_000  # of a forest: a record falls through all of them
MAX_LEVELS = 100


def contrast_arrays(forests: tuple[ContrastForest, ...]) -> dict[str, np.ndarray]:
    """Return the arrays of the forests by name."""
    arrays: dict[str, np.ndarray] = {}
    for number, forest in enumerate(forests):
        named = forest.trees._asdict() | {"usual": np.array([forest.centre, forest.spread])}
        arrays |= {f"{_PREFIX}{number}/{name}": array for name, array in named.items()}
    return arrays


def contrast_specs(arrays: Mapping[str, np.ndarray]) -> ArraySpecs:
    """Return the shapes and types of the arrays of the forests, of up to `MAX_TREES`; none if the artifact has none."""
    specs: dict[str, tuple[tuple[int, ...], str]] = {}
    for prefix in _prefixes(arrays):
        nodes, trees = (np.size(arrays.get(f"{prefix}{name}", ())) for name in ("columns", "roots"))
        specs |= {
            f"{prefix}columns": ((nodes,), "int32"),
            f"{prefix}limits": ((nodes,), "float32"),
            f"{prefix}children": ((nodes,), "int32"),
            f"{prefix}values": ((nodes,), "float32"),
            f"{prefix}roots": ((min(trees, MAX_TREES),), "int32"),
            f"{prefix}levels": ((trees,), "int32"),
            f"{prefix}usual": ((2,), "float64"),
        }
    return specs


def read_contrasts(arrays: Mapping[str, np.ndarray], width: int) -> tuple[ContrastForest, ...]:
    """Return the forests from arrays of the right shapes; none if the artifact has none.

    Raises:
        ArtifactError: If a row of `width` cells would leave the nodes, or a spread is not above 0.
    """
    return tuple(_forest(arrays, prefix, width) for prefix in _prefixes(arrays))


def _prefixes(arrays: Mapping[str, np.ndarray]) -> list[str]:
    prefixes = [f"{_PREFIX}{number}/" for number in range(MAX_FORESTS)]
    return [prefix for prefix in prefixes if f"{prefix}roots" in arrays]


def _forest(arrays: Mapping[str, np.ndarray], prefix: str, width: int) -> ContrastForest:
    trees = Trees(**{name: arrays[f"{prefix}{name}"] for name in Trees._fields})
    nodes = len(trees.columns)
    has_roots = len(trees.roots) and trees.roots.min() >= 0 and trees.roots.max() < nodes
    if not has_roots or trees.columns.min() < 0 or trees.columns.max() >= width:
        raise artifact_error(f"has trees of {prefix[:-1]} without a root, or of cells that no record has")
    if trees.levels.min() < 0 or trees.levels.max() > MAX_LEVELS:
        raise artifact_error(f"has trees of {prefix[:-1]} with more than {MAX_LEVELS} levels")
    is_inner = trees.limits < np.finfo(np.float32).max
    if trees.children.min() < 0 or (trees.children.astype(np.int64) + is_inner).max() >= nodes:
        raise artifact_error(f"has nodes of {prefix[:-1]} whose children do not exist")
    centre, spread = arrays[f"{prefix}usual"].tolist()
    if spread <= 0:
        raise artifact_error(f"has a spread of {prefix[:-1]} that is not above 0")
    return ContrastForest(trees, centre, spread)
