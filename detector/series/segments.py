"""Segments: records of an entity that one pass of a model scores, with their shared past; conversion of frames."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from detector.series.series import Series
from schemas.errors import MissingColumns
from schemas.frames import UNGROUPED_ENTITY, Features


@dataclass(frozen=True)
class Segment:
    """Records of one entity, in ascending order of time, with all earlier records that their scores depend on.

    Attributes:
        entity: its name; empty if a record has none.
        rows: (n,) positions of the records in their frame.
        series: the past, followed by the records; it keeps siblings if different records have one time.
    """

    entity: str
    rows: np.ndarray
    series: Series

    @property
    def own(self) -> slice:
        """The positions of the records in the series."""
        return slice(len(self.series) - len(self.rows), len(self.series))


def series_of(records: pd.DataFrame, time: str, features: Features) -> Series:
    """Convert records to a series, in their order.

    Raises:
        MissingColumns: If the records lack a feature.
    """
    if missing := features.missing_from(records.columns):
        raise MissingColumns(missing, records.columns)
    channels = [records[name].to_numpy(dtype=np.float64, na_value=np.nan) for name in features.names]
    times = records[time].dt.tz_localize(None).to_numpy()
    return Series(times, np.column_stack(channels))


def take_rows(series: Series, rows: np.ndarray | slice) -> Series:
    """Return the records of a series at the given positions."""
    line = None if series.line is None else series.line.at(rows)
    return Series(series.times[rows], series.values[rows], line=line)


def concatenate(parts: Sequence[Series]) -> Series:
    """Join several series, one after another."""
    return Series(np.concatenate([part.times for part in parts]), np.concatenate([part.values for part in parts]))


def entities_of(records: pd.DataFrame, entity: str | None) -> np.ndarray:
    """Return the entity (n,) of each record from a column, empty for nulls; `UNGROUPED_ENTITY` without a column."""
    if entity is None:
        return np.full(len(records), UNGROUPED_ENTITY, dtype=object)
    texts = records[entity].astype("str").astype("object")
    return texts.where(records[entity].notna(), "").to_numpy()


def positions_of(entities: np.ndarray) -> dict[str, np.ndarray]:
    """Return the positions of each entity among (n,) names, in ascending order."""
    indices = pd.Series(entities).groupby(entities).indices
    return {str(name): np.asarray(rows) for name, rows in indices.items()}


def rising_runs(times: np.ndarray, entities: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the positions of consecutive records of one entity, none of them earlier in time than the one before.

    A record without a time or an entity is a run by itself.

    >>> times = np.array([1, 1, 2, 3, 2, 2])
    >>> [run.tolist() for run in rising_runs(times, np.array(["a", "b", "a", "b", "b", "b"]))]
    [[0, 2], [1, 3], [4, 5]]
    """
    for name, positions in positions_of(entities).items():
        own = times[positions]
        is_next = own[1:] >= own[:-1]  # false if one of the times is missing
        yield from np.split(positions, np.flatnonzero(~is_next | (name == "")) + 1)
