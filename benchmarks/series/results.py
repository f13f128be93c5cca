"""The results file of the series: one line per entity, method and seed, appended as soon as it is measured."""

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from benchmarks.result_file import ResultFile
from benchmarks.series.measures import RATE, Measurement

FIXED_RATE = f"fpr_at_{RATE:g}"
ONLINE_RATE = f"fpr_online_at_{RATE:g}"
FOUND = ("event_recall", "found_share", "single_share", "joined_share", "settled_rate", "settled_records")
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
    *FOUND,
    ONLINE_RATE,
    *(f"{name}_online" for name in FOUND),
    "ndcg5",
    "hit100",
    "calibration_records",
    "normal_records",
    "events",
    "fit_seconds",
    "records_per_second",
)
_FILE = ResultFile(
    COLUMNS, texts=("dataset", "entity", "training", "method"), key=("dataset", "entity", "method", "seed")
)
open_results = _FILE.open
read_results = _FILE.read


def append(path: Path, measurements: Iterable[Measurement]) -> None:
    """Append measurements to the file."""
    _FILE.append(path, map(_values, measurements))


def _values(measurement: Measurement) -> dict[str, object]:
    fixed, online = measurement.fixed, measurement.online
    return {
        **asdict(measurement.subject),
        **asdict(measurement.ranking),
        **asdict(measurement.attribution),
        **asdict(measurement.size),
        FIXED_RATE: fixed.rate,
        ONLINE_RATE: online.rate,
        **{name: getattr(fixed, name) for name in FOUND},
        **{f"{name}_online": getattr(online, name) for name in FOUND},
        "fit_seconds": measurement.fit_seconds,
        "records_per_second": measurement.records_per_second,
    }
