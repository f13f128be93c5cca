"""The results file: one line per table, method and seed, appended as soon as it is known."""

import csv
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from benchmarks.protocol import RATES, Measurement
from schemas.errors import UsageError

Done = tuple[str, str, int]  # dataset, method, seed

RATE_COLUMNS = tuple(f"fpr_at_{rate:g}" for rate in RATES)
COLUMNS = (
    "dataset",
    "kind",
    "method",
    "seed",
    "auroc",
    "average_precision",
    "fit_seconds",
    "score_rows_per_second",
    *RATE_COLUMNS,
    "rows",
    "columns",
)


def open_results(path: Path) -> set[Done]:
    """What the file holds already; the file is begun where there is none, a torn last line is dropped.

    Raises:
        UsageError: where the file is something else.
    """
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    whole = text[: text.rfind("\n") + 1]
    if not whole:
        path.write_text(",".join(COLUMNS) + "\n", encoding="utf-8")
        return set()
    if whole != text:
        path.write_text(whole, encoding="utf-8")
    results = read_results(path)
    return set(zip(results["dataset"], results["method"], results["seed"], strict=True))


def read_results(path: Path) -> pd.DataFrame:
    """The lines of a results file as a frame with `COLUMNS`.

    Raises:
        UsageError: where there is no such file, or it is something else.
    """
    if not path.exists():
        raise UsageError(f"There are no results at {path}. Name the file of an earlier run in --out.")
    try:
        results = pd.read_csv(path, dtype={"dataset": str, "method": str})
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as exc:
        raise UsageError(f"{path} holds no results: {exc}. Name another file in --out.") from exc
    if tuple(results.columns) != COLUMNS:
        msg = f"{path} has the columns {list(results.columns)}, expected {list(COLUMNS)}. Name another file in --out."
        raise UsageError(msg)
    return results


def append(path: Path, measurements: Iterable[Measurement]) -> None:
    """Write measurements behind those that the file holds."""
    with path.open("a", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(_line(measurement) for measurement in measurements)


def _line(measurement: Measurement) -> list[object]:
    values = {**vars(measurement), **dict(zip(RATE_COLUMNS, measurement.realised_rates, strict=True))}
    return [_rounded(values[column]) for column in COLUMNS]


def _rounded(value: object) -> object:
    return f"{value:.6g}" if isinstance(value, float) else value
