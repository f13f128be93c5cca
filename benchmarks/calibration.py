"""Benchmark of false-positive and false discovery rates: ``python -m benchmarks.calibration --data DIR``.

For every numeric table and split, a method is fitted and calibrated on half of the normal records. On the other
half the share flagged at a false-positive rate is counted and compared with split conformal theory:
with m calibration records, n test records and k = floor(rate (m + 1)), the number flagged follows the
beta-binomial distribution BB(n, k, m + 1 - k). Then a batch of 90 % normal records and 10 % anomalies is flagged
by Benjamini-Hochberg, and the share of normal records among the flagged is counted.

The fast method, nearest neighbours on our preprocessing, runs on all splits, our detector on the first few.
Progress goes to stderr, the tables to stdout.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import betabinom

from benchmarks.methods import DEFAULT, calibrated
from benchmarks.options import positive
from benchmarks.processes import print_progress, succeeded
from benchmarks.protocol import RATES, split
from benchmarks.report import markdown_table
from benchmarks.tables import LabelledTable, Mask, Vector, cut, find_tables, read_table
from detector.core.calibration import benjamini_hochberg, conformal_rank
from schemas.errors import PlumblineError

FAST_METHOD = "control_knn"
FALSE_DISCOVERY_RATE = 0.1  # of a mixed batch
NORMAL_TO_ANOMALIES = 9  # normal records for each anomaly of a mixed batch
MAX_ANOMALIES = 100  # in a mixed batch
BAND_QUANTILES = (0.005, 0.995)  # of the number of flagged records in theory


@dataclass(frozen=True)
class Task:
    """One method on one split of one table."""

    path: Path
    max_normal: int
    method: str
    seed: int

    def __str__(self) -> str:
        return f"{self.path.stem} {self.method} split {self.seed}"


@dataclass(frozen=True)
class RateCheck:
    """Normal records flagged at a false-positive rate, compared with the band of 99 % of such counts."""

    dataset: str
    method: str
    seed: int
    rate: float
    realised: float
    place: str  # below, inside or above the band


@dataclass(frozen=True)
class Discovery:
    """A mixed batch: the share of normal records among the flagged, and the share of flagged anomalies."""

    dataset: str
    method: str
    seed: int
    false_share: float
    found_share: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; return 0 if every task succeeded, 1 if some failed, 2 if the call was wrong."""
    options = _parser().parse_args(arguments)
    try:
        tasks = _tasks(options)
    except PlumblineError as exc:
        print_progress(str(exc))
        return 2
    results = list(succeeded(run_task, tasks, options.jobs, lambda _result: "done"))
    if results:
        sys.stdout.write(
            summary([check for checks, _ in results for check in checks], [discovery for _, discovery in results])
        )
    return 0 if len(results) == len(tasks) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.calibration", description=__doc__)
    parser.add_argument("--data", type=Path, nargs="+", metavar="DIR", required=True, help="folders with tables")
    parser.add_argument("--splits", type=positive, default=20, help="of the fast method (default: 20)")
    parser.add_argument("--vae-splits", type=int, default=3, help="of our detector (default: 3)")
    parser.add_argument("--min-normal", type=positive, default=2_000, help="smaller tables are left out")
    parser.add_argument("--max-normal", type=positive, default=10_000, help="larger tables are cut")
    parser.add_argument("--jobs", type=positive, default=1, help="processes (default: 1)")
    return parser


def _tasks(options: argparse.Namespace) -> list[Task]:
    """Return the tasks of all tables, long tasks first."""
    paths = []
    for path in find_tables(options.data):
        table = read_table(path)
        if table.kind == "numeric" and (~table.is_anomaly).sum() >= options.min_normal:
            paths.append(path)
    splits = ((DEFAULT, options.vae_splits), (FAST_METHOD, options.splits))
    return [
        Task(path, options.max_normal, method, seed)
        for method, count in splits
        for path in paths
        for seed in range(count)
    ]


def run_task(task: Task) -> tuple[list[RateCheck], Discovery]:
    """Return the realised rates of one method on one split."""
    part = split(_table(task.path, task.max_normal), task.seed)
    p_values = calibrated(task.method, part, task.seed)
    normal, anomalous = p_values.values[~part.is_anomaly], p_values.values[part.is_anomaly]
    subject = (task.path.stem, task.method, task.seed)
    checks = [RateCheck(*subject, rate, *rate_on(normal, p_values.calibrated_on, rate)) for rate in RATES]
    batch, is_anomaly = mixed_batch(normal, anomalous, np.random.default_rng(task.seed))
    return checks, Discovery(*subject, *discovered(batch, is_anomaly))


@lru_cache(maxsize=1)
def _table(path: Path, max_normal: int) -> LabelledTable:
    table = read_table(path)
    normal = int((~table.is_anomaly).sum())
    return cut(table, round(max_normal * len(table.is_anomaly) / normal)) if normal > max_normal else table


def rate_on(p_values: Vector, calibrated_on: int, rate: float) -> tuple[float, str]:
    """Return the share of n normal records flagged at a rate, and its place: below, inside or above the band."""
    flagged = int((p_values <= rate).sum())
    rank = conformal_rank(rate, calibrated_on)
    low, high = (betabinom.ppf(edge, len(p_values), rank, calibrated_on + 1 - rank) for edge in BAND_QUANTILES)
    place = "below" if flagged < low else "above" if flagged > high else "inside"
    return flagged / len(p_values), place


def mixed_batch(normal: Vector, anomalous: Vector, rng: np.random.Generator) -> tuple[Vector, Mask]:
    """Return p-values of a batch with nine normal records to one anomaly, drawn without replacement, and the labels."""
    count = min(MAX_ANOMALIES, len(anomalous), len(normal) // NORMAL_TO_ANOMALIES)
    drawn = (
        rng.choice(normal, NORMAL_TO_ANOMALIES * count, replace=False),
        rng.choice(anomalous, count, replace=False),
    )
    return np.concatenate(drawn), np.repeat([False, True], [len(part) for part in drawn])


def discovered(p_values: Vector, is_anomaly: Mask) -> tuple[float, float]:
    """Return the false discovery proportion (0 if no record is flagged), and the share of flagged anomalies."""
    flagged = benjamini_hochberg(p_values, FALSE_DISCOVERY_RATE)
    return float((flagged & ~is_anomaly).sum() / max(flagged.sum(), 1)), float(flagged[is_anomaly].mean())


def summary(rates: Sequence[RateCheck], discoveries: Sequence[Discovery]) -> str:
    """Return the rates of each method by table, as Markdown."""
    checks, batches = (pd.DataFrame([asdict(line) for line in lines]) for lines in (rates, discoveries))
    lines = _by_place(checks)
    for method, discoveries_of_method in batches.groupby("method", sort=False):
        lines += ["", f"### {method}", "", *_by_table(checks[checks["method"] == method], discoveries_of_method)]
    return "\n".join(lines) + "\n"


def _by_place(checks: pd.DataFrame) -> list[str]:
    rows = []
    for (method, rate), checks_of_rate in checks.groupby(["method", "rate"], sort=False):
        shares = [f"{(checks_of_rate['place'] == place).mean():.1%}" for place in ("below", "inside", "above")]
        rows.append(
            [f"{method} at {rate:g}", f"{len(checks_of_rate)}", f"{checks_of_rate['realised'].mean():.4f}", *shares]
        )
    return markdown_table(["method and rate", "table and split", "mean", "below", "inside", "above"], rows)


def _by_table(checks: pd.DataFrame, batches: pd.DataFrame) -> list[str]:
    realised = checks.pivot_table(index="dataset", columns="rate", values="realised")[list(RATES)]
    table = realised.join(batches.groupby("dataset")[["false_share", "found_share"]].mean())
    table.loc["mean"] = table.mean()
    rows = [
        [str(row[0]), *(f"{value:.4f}" for value in row[1:-2]), *(f"{value:.3f}" for value in row[-2:])]
        for row in table.itertuples()
    ]
    header = ["table", *(f"flagged at {rate:g}" for rate in RATES), "mean FDP", "anomalies found"]
    return markdown_table(header, rows)


if __name__ == "__main__":
    sys.exit(main())
