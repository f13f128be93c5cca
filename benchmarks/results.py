"""The results file of the benchmark on labelled tables: one line per table, method and seed."""

from collections.abc import Iterable
from pathlib import Path

from benchmarks.protocol import RATES, Measurement
from benchmarks.result_file import ResultFile

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


_FILE = ResultFile(COLUMNS, texts=("dataset", "method"), key=("dataset", "method", "seed"))
open_results = _FILE.open
read_results = _FILE.read


def append(path: Path, measurements: Iterable[Measurement]) -> None:
    """Append measurements."""
    _FILE.append(path, map(_values, measurements))


def _values(measurement: Measurement) -> dict[str, object]:
    return {**vars(measurement), **dict(zip(RATE_COLUMNS, measurement.realised_rates, strict=True))}
