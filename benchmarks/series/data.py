"""Labelled sets of series: one folder of Parquet files each, with `time`, `entity`, `split`, channels and `label`."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from schemas.errors import RecordsError, UsageError

Vector = npt.NDArray[np.float64]
Matrix = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

KEYS = ("time", "entity", "split", "label")
# Columns that are neither keys nor channels: when and why a record is an anomaly.
NOT_CHANNELS = ("changepoint", "labelled_point", "rul")
CAUSES = "causes"  # the file that names the channels behind each anomaly


@dataclass(frozen=True)
class Series:
    """Consecutive records: `times` (n,) and `values` (n, c), NaN if a cell is missing."""

    times: npt.NDArray[np.generic]
    values: Matrix

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rows: slice) -> "Series":
        return Series(self.times[rows], self.values[rows])


Runs = Sequence[Series]  # normal records that one model is trained on; the past of a record lies in its own run


@dataclass(frozen=True)
class KnownCause:
    """Rows `start` (inclusive) to `end` (exclusive) of an anomaly in a test series, and the channels behind it."""

    start: int
    end: int
    channels: tuple[int, ...]


@dataclass(frozen=True)
class Case:
    """The test series of one entity, its labels, and the name of its training."""

    entity: str
    training: str
    test: Series
    is_anomaly: Mask
    causes: tuple[KnownCause, ...] = ()


@dataclass(frozen=True)
class SeriesSet:
    """A labelled set: trainings by name, and test series."""

    name: str
    trainings: dict[str, Runs]
    cases: tuple[Case, ...]


def find_sets(parents: Iterable[Path], names: Sequence[str] = ()) -> list[Path]:
    """Return the folders of sets in the given folders, sorted by name; only the named sets if there are names.

    Raises:
        UsageError: If there is no set, or a name is not the name of a set.
    """
    parents = list(parents)
    folders = {path.name: path for parent in parents for path in (parent, *parent.glob("*/")) if _files(path)}
    if not folders:
        raise UsageError(f"There is no set in {', '.join(map(str, parents))}. Name a folder with one folder a set.")
    unknown = [name for name in names if name not in folders]
    if unknown:
        raise UsageError(f"There are no sets {unknown}. Choose from {sorted(folders)}.")
    return [folders[name] for name in sorted(names or folders)]


def _files(folder: Path) -> list[Path]:
    """Return the files of series in a set; the other Parquet files describe its anomalies."""
    return [path for path in sorted(folder.glob("*.parquet")) if path.stem not in {CAUSES, "anomalies", "windows"}]


def read_set(folder: Path) -> SeriesSet:
    """Read a set. An entity without training records is scored by the model of all entities in its file.

    Raises:
        RecordsError: If a file lacks a column, or a test series has no training records.
    """
    causes = _read_causes(folder / f"{CAUSES}.parquet")
    trainings: dict[str, Runs] = {}
    cases: list[Case] = []
    for path in _files(folder):
        frame = _read(path)
        runs = dict(_runs(frame[(frame["split"] == "train") & (frame["label"] == 0)]))
        for entity, rows in frame[frame["split"] == "test"].groupby("entity", sort=True):
            has_own = str(entity) in runs
            training = str(entity) if has_own else f"all of {path.stem}"
            trainings[training] = (runs[str(entity)],) if has_own else tuple(runs.values())
            label = rows["label"].to_numpy(dtype=bool)
            cases.append(Case(str(entity), training, _series(rows), label, causes.get(str(entity), ())))
        if not runs:
            raise RecordsError(f"{path} has no normal record in split 'train'. Add some, or leave the file out.")
    return SeriesSet(folder.name, trainings, tuple(cases))


def _read(path: Path) -> pd.DataFrame:
    try:
        frame = pd.read_parquet(path)
    except (OSError, ValueError) as exc:
        raise RecordsError(f"{path} cannot be read: {exc}. Expected a Parquet file.") from exc
    missing = [name for name in KEYS if name not in frame]
    if missing:
        raise RecordsError(f"{path} lacks the columns {missing}; it has {list(frame)}. Expected {list(KEYS)}.")
    texts = [name for name in _channels(frame) if not pd.api.types.is_numeric_dtype(frame[name])]
    if texts:
        raise RecordsError(f"The columns {texts} of {path} are no numbers, as channels must be. Leave them out.")
    return frame


def _runs(frame: pd.DataFrame) -> Iterator[tuple[str, Series]]:
    for entity, rows in frame.groupby("entity", sort=True):
        yield str(entity), _series(rows)


def _series(rows: pd.DataFrame) -> Series:
    return Series(rows["time"].to_numpy(), rows[_channels(rows)].to_numpy(dtype=np.float64))


def _channels(frame: pd.DataFrame) -> list[str]:
    return [str(name) for name in frame if name not in {*KEYS, *NOT_CHANNELS}]


def _read_causes(path: Path) -> dict[str, tuple[KnownCause, ...]]:
    if not path.exists():
        return {}
    rows = pd.read_parquet(path, columns=["entity", "start", "end", "channel_index"])
    return {
        str(entity): tuple(
            KnownCause(int(start), int(end), tuple(map(int, channels)))
            for start, end, channels in entity_rows[["start", "end", "channel_index"]].itertuples(index=False)
        )
        for entity, entity_rows in rows.groupby("entity")
    }
