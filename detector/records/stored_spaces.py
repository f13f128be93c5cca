"""The computed parts of the spaces of `ensemble` as arrays of an artifact, and their checks."""

from collections.abc import Iterator, Mapping

import numpy as np

from detector.core.blob import ArraySpecs, artifact_error
from detector.core.neighbours import MAX_CELL_POINTS, MEAN_CELL_POINTS, Partition
from detector.records.reference import SpaceState

_PREFIX = "spaces/"


def space_arrays(states: tuple[SpaceState, ...]) -> dict[str, np.ndarray]:
    """Return the arrays of the spaces by name."""
    arrays: dict[str, np.ndarray] = {}
    for number, state in enumerate(states):
        named = vars(state.partition) | {"usual": np.array([state.usual])}
        arrays |= {f"{_PREFIX}{number}/{name}": array for name, array in named.items()}
    return arrays


def space_specs(arrays: Mapping[str, np.ndarray], points: int, widths: list[int]) -> ArraySpecs:
    """Return the shapes and types of the arrays of spaces of the widths; none if the artifact has no such arrays.

    Raises:
        ArtifactError: If an array has a number of axes, or of cells, that no space can have.
    """
    if not any(name.startswith(_PREFIX) for name in arrays):
        return {}
    return {name: spec for number, width in enumerate(widths) for name, spec in _specs(arrays, number, points, width)}


def read_spaces(arrays: Mapping[str, np.ndarray], spaces: int) -> tuple[SpaceState, ...]:
    """Return the states of the spaces from arrays of the right shapes; none if the artifact has none.

    Raises:
        ArtifactError: If the cells do not hold every point once, or a usual distance is not above 0.
    """
    if f"{_PREFIX}0/usual" not in arrays:
        return ()
    return tuple(_state(arrays, f"{_PREFIX}{number}/") for number in range(spaces))


def _specs(
    arrays: Mapping[str, np.ndarray], number: int, points: int, width: int
) -> Iterator[tuple[str, tuple[tuple[int, ...], str]]]:
    prefix = f"{_PREFIX}{number}/"
    axes, cells = arrays.get(f"{prefix}axes"), arrays.get(f"{prefix}sizes")
    most = 2 * -(-points // MEAN_CELL_POINTS)  # cells, as few of them are split: more would be mostly padding in memory
    if axes is None or cells is None or axes.ndim != 2 or cells.ndim != 1 or not 1 <= len(cells) <= most:
        raise artifact_error(f"has no axes or cells of {prefix[:-1]} that fit")
    searched = axes.shape[1] or width
    yield f"{prefix}centre", ((width,), "float32")
    yield f"{prefix}axes", ((width, min(axes.shape[1], width)), "float32")
    yield f"{prefix}order", ((points,), "int32")
    yield f"{prefix}sizes", ((len(cells),), "int32")
    yield f"{prefix}half_squares", ((points,), "float32")
    yield f"{prefix}means", ((searched + 1, len(cells)), "float32")
    yield f"{prefix}usual", ((1,), "float64")


def _state(arrays: Mapping[str, np.ndarray], prefix: str) -> SpaceState:
    names = ("centre", "axes", "order", "sizes", "half_squares", "means")
    partition = Partition(**{name: arrays[f"{prefix}{name}"] for name in names})
    order, sizes, usual = partition.order, partition.sizes, float(arrays[f"{prefix}usual"][0])
    if sizes.min() < 1 or sizes.max() > MAX_CELL_POINTS or sizes.sum(dtype=np.int64) != len(order):
        raise artifact_error(f"has cells of {prefix[:-1]} that do not hold its points")
    if not np.array_equal(np.sort(order), np.arange(len(order))):
        raise artifact_error(f"has points of {prefix[:-1]} in no cell or in two")
    if usual <= 0:
        raise artifact_error(f"has a usual distance of {prefix[:-1]} that is not above 0")
    return SpaceState(partition, usual)
