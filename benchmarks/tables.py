"""Labelled tables: search in folders, reading of .npz and .parquet files, subsamples."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
import pandas as pd

from schemas.errors import RecordsError, UsageError

Vector = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

LABEL = "label"

# Columns that identify a record or the reason of an anomaly; models do not get them.
NOT_FEATURES = {
    "nsl_kdd_train": ("attack", "difficulty"),
    "nsl_kdd_test": ("attack", "difficulty"),
    "ai4i2020": ("udi", "product_id", "twf", "hdf", "pwf", "osf", "rnf"),
}
# The published test part of a table whose training part is in the benchmark already.
LEFT_OUT = frozenset({"nsl_kdd_test"})
# In a folder of this name every column is nominal, even flags that are stored as integers.
NOMINAL_FOLDER = "categorical"


@dataclass(frozen=True)
class LabelledTable:
    """Records with labels: `is_anomaly` has one entry per record."""

    name: str
    records: pd.DataFrame
    categorical: tuple[str, ...]
    is_anomaly: Mask

    @property
    def kind(self) -> str:
        """Whether the table has nominal columns (`mixed`) or none (`numeric`)."""
        return "mixed" if self.categorical else "numeric"


def find_tables(places: Iterable[Path]) -> list[Path]:
    """Return the .npz and .parquet files in the given folders and below, by name, without the excluded files.

    Raises:
        UsageError: If a folder does not exist or has no table, or two tables share a name.
    """
    by_name: dict[str, Path] = {}
    for place in places:
        paths = _tables_below(place)
        for path in paths:
            if by_name.setdefault(path.stem, path) != path:
                msg = (
                    f"Two tables have the name {path.stem!r}: {by_name[path.stem]} and {path}. "
                    "Results are kept by name; rename one of them or leave one out of --data."
                )
                raise UsageError(msg)
    return [by_name[name] for name in sorted(by_name)]


def _tables_below(place: Path) -> list[Path]:
    paths = [path for suffix in ("npz", "parquet") for path in place.rglob(f"*.{suffix}") if path.stem not in LEFT_OUT]
    if not paths:
        msg = f"There is no table in {place}. Name a folder with .npz (X, y) or .parquet files in --data."
        raise UsageError(msg)
    return paths


def read_table(path: Path) -> LabelledTable:
    """Return the labelled table in a .npz file with `X` and `y`, or in a .parquet file with a `label` column.

    Raises:
        RecordsError: If the file has no label, or too few normal or anomalous records for a measurement.
    """
    frame = _frame(path)
    if LABEL not in frame:
        raise RecordsError(f"{path} has no column {LABEL!r}, only {list(frame)}. Add it: 0 normal, 1 anomaly.")
    is_anomaly = frame[LABEL].to_numpy(dtype=bool)
    if is_anomaly.all() or is_anomaly.sum() < 1 or (~is_anomaly).sum() < 10:
        msg = (
            f"{path} has {is_anomaly.sum()} anomalies and {(~is_anomaly).sum()} normal records. "
            "Measuring needs at least 1 and 10; leave the table out."
        )
        raise RecordsError(msg)
    records = frame.drop(columns=[LABEL, *NOT_FEATURES.get(path.stem, ())], errors="ignore")
    if path.parent.name == NOMINAL_FOLDER:
        records = records.astype(str)
    categorical = tuple(str(name) for name in records if not pd.api.types.is_numeric_dtype(records[name]))
    return LabelledTable(path.stem, records, categorical, is_anomaly)


def _frame(path: Path) -> pd.DataFrame:
    try:
        return _npz_frame(path) if path.suffix == ".npz" else pd.read_parquet(path)
    except (OSError, ValueError, BadZipFile) as exc:
        msg = f"{path} cannot be read: {exc}. Expected a .npz file of plain arrays, or a Parquet file."
        raise RecordsError(msg) from exc


def _npz_frame(path: Path) -> pd.DataFrame:
    with np.load(path, allow_pickle=False) as arrays:
        if not {"X", "y"} <= set(arrays.files):
            raise RecordsError(f"{path} holds {arrays.files}. Expected the arrays 'X' (rows, features) and 'y' (rows).")
        matrix, label = arrays["X"], arrays["y"]
    names = [f"x{position}" for position in range(matrix.shape[1])]
    return pd.DataFrame(matrix, columns=names).assign(**{LABEL: label})


def cut(table: LabelledTable, max_rows: int) -> LabelledTable:
    """Return the table, or always the same random subsample of `max_rows` with the same share of anomalies."""
    rows = len(table.is_anomaly)
    if rows <= max_rows:
        return table
    rng = np.random.default_rng(0)
    drawn = [
        rng.permutation(members)[: max(1, round(len(members) * max_rows / rows))]
        for members in (np.flatnonzero(~table.is_anomaly), np.flatnonzero(table.is_anomaly))
    ]
    kept = np.sort(np.concatenate(drawn))
    records = table.records.iloc[kept].reset_index(drop=True)
    return LabelledTable(table.name, records, table.categorical, table.is_anomaly[kept])
