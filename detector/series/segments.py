"""Segments: records of an entity that one pass of a model scores, after the past that they share."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from detector.series.series import Series
from schemas.errors import MissingColumns
from schemas.frames import Features

EVERYTHING = "all"
"""The entity of all records where there is no column of entities."""


@dataclass(frozen=True)
class Segment:
    """Records of one entity, each later in time than the one before it, with all that is past for any of them.

    Attributes:
        entity: its name; empty where a record has none.
        rows: (n,) positions of the records in the frame that they come from.
        pool: holds the past and the records, and perhaps what others share with them.
        kept: positions in the pool of the past and then the records; all of it where absent.
    """

    entity: str
    rows: np.ndarray
    pool: Series
    kept: np.ndarray | None = None

    @property
    def series(self) -> Series:
        """The past and then the records."""
        return self.pool if self.kept is None else picked(self.pool, self.kept)

    @property
    def own(self) -> slice:
        """Where the records are in the series."""
        size = len(self.pool) if self.kept is None else len(self.kept)
        return slice(size - len(self.rows), size)


def series_of(records: pd.DataFrame, time: str, features: Features) -> Series:
    """Records as a series, in their order.

    Raises:
        MissingColumns: where they lack a feature.
    """
    if missing := features.missing_from(records.columns):
        raise MissingColumns(missing, records.columns)
    channels = [records[name].to_numpy(dtype=np.float64, na_value=np.nan) for name in features.names]
    times = records[time].dt.tz_localize(None).to_numpy()
    return Series(times, np.column_stack(channels))


def picked(series: Series, rows: np.ndarray | slice) -> Series:
    """Some records of a series, by position."""
    return Series(series.times[rows], series.values[rows])


def joined(parts: Sequence[Series]) -> Series:
    """Several series, one after another."""
    return Series(np.concatenate([part.times for part in parts]), np.concatenate([part.values for part in parts]))


def entities_of(records: pd.DataFrame, entity: str | None) -> np.ndarray:
    """(n,) names of the entities in a column, empty where it is; without a column all records are of one."""
    if entity is None:
        return np.full(len(records), EVERYTHING, dtype=object)
    texts = records[entity].astype("str").astype("object")
    return texts.where(records[entity].notna(), "").to_numpy()


def positions_of(entities: np.ndarray) -> dict[str, np.ndarray]:
    """Where in (n,) names each of them stands, in ascending order."""
    indices = pd.Series(entities).groupby(entities).indices
    return {str(name): np.asarray(rows) for name, rows in indices.items()}


def rising_runs(times: np.ndarray, entities: np.ndarray) -> Iterator[np.ndarray]:
    """Positions of records of one entity that came one after another and are each later in time than the last.

    A record without a time or an entity is a run of its own.

    >>> times = np.array([1, 1, 2, 3, 2])
    >>> [run.tolist() for run in rising_runs(times, np.array(["a", "b", "a", "b", "b"]))]
    [[0, 2], [1, 3], [4]]
    """
    for name, positions in positions_of(entities).items():
        is_later = times[positions[1:]] > times[positions[:-1]]  # never where one of them is missing
        yield from np.split(positions, np.flatnonzero(~is_later | (name == "")) + 1)
