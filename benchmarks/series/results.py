"""The results file of the series: one line per entity, method and seed, appended as soon as it is known."""

import csv
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from benchmarks.series.measures import RATE, Measurement
from schemas.errors import UsageError

Done = tuple[str, str, str, int]  # dataset, entity, method, seed

FIXED_RATE = f"fpr_at_{RATE:g}"
ONLINE_RATE = f"fpr_online_at_{RATE:g}"
COLUMNS = (
    "dataset",
    "entity",
    "training",
    "method",
    "seed",
    "vus_pr",
    "auc_pr",
    "auroc",
    FIXED_RATE,
    "event_recall",
    ONLINE_RATE,
    "event_recall_online",
    "ndcg5",
    "hit100",
    "calibration_records",
    "normal_records",
    "events",
    "fit_seconds",
    "records_per_second",
)
_TEXTS = dict.fromkeys(("dataset", "entity", "training", "method"), str)


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
    results = read_results(path)
    if whole != text:
        path.write_text(whole, encoding="utf-8")
        results = read_results(path)
    return set(zip(*(results[name] for name in ("dataset", "entity", "method", "seed")), strict=True))


def read_results(path: Path) -> pd.DataFrame:
    """The lines of a results file as a frame with `COLUMNS`.

    Raises:
        UsageError: where there is no such file, or it is something else.
    """
    if not path.exists():
        raise UsageError(f"There are no results at {path}. Name the file of an earlier run in --out.")
    try:
        results = pd.read_csv(path, dtype=_TEXTS)
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
    fixed, online = measurement.fixed, measurement.online
    values: dict[str, object] = {
        **asdict(measurement.subject),
        **asdict(measurement.ranking),
        **asdict(measurement.attribution),
        **asdict(measurement.size),
        FIXED_RATE: fixed.rate,
        "event_recall": fixed.event_recall,
        ONLINE_RATE: online.rate,
        "event_recall_online": online.event_recall,
        "fit_seconds": measurement.fit_seconds,
        "records_per_second": measurement.records_per_second,
    }
    return [f"{value:.6g}" if isinstance(value, float) else value for value in (values[column] for column in COLUMNS)]
