"""Benchmark of training on records with anomalies among them: ``python -m benchmarks.contamination --data DIR``.

Half of the anomalies of a table are test records, together with other normal records; the others are mixed into the
training records up to the given share. So every share is measured on the same records.
Tables with too few anomalies for the largest share are left out. Progress goes to stderr, the tables to stdout.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score

from benchmarks.methods import DEFAULT, run
from benchmarks.options import positive
from benchmarks.processes import print_progress, succeeded
from benchmarks.protocol import Split
from benchmarks.report import markdown_table
from benchmarks.tables import LabelledTable, Vector, cut, find_tables, read_table
from schemas.errors import PlumblineError, UsageError

SHARES = (0.0, 0.01, 0.05, 0.1)  # of anomalies among the training records
TRIMMED = {f"{DEFAULT}, trim = 0.05": 0.05}
METHODS = (DEFAULT, *TRIMMED, "knn", "isolation_forest")


@dataclass(frozen=True)
class Task:
    """One method on one table, trained with a share of anomalies."""

    path: Path
    max_rows: int
    method: str
    share: float
    seed: int

    def __str__(self) -> str:
        return f"{self.path.stem} {self.method} {self.share:g}"


@dataclass(frozen=True)
class Precision:
    """The average precision that a method reached."""

    dataset: str
    method: str
    share: float
    average_precision: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; return 0 if every task succeeded, 1 if some failed, 2 if the call was wrong."""
    options = _parser().parse_args(arguments)
    try:
        tasks = _tasks(options)
    except PlumblineError as exc:
        print_progress(str(exc))
        return 2
    precisions = list(
        succeeded(run_task, tasks, options.jobs, lambda precision: f"AP {precision.average_precision:.3f}")
    )
    if precisions:
        sys.stdout.write(summary(precisions))
    return 0 if len(precisions) == len(tasks) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.contamination", description=__doc__)
    parser.add_argument("--data", type=Path, nargs="+", metavar="DIR", required=True, help="folders with tables")
    parser.add_argument("--seed", type=int, default=0, help="of the split and of training (default: 0)")
    parser.add_argument("--min-rows", type=positive, default=500, help="smaller tables are left out (default: 500)")
    parser.add_argument("--max-rows", type=positive, default=5_000, help="larger tables are cut (default: 5000)")
    parser.add_argument("--jobs", type=positive, default=1, help="processes (default: 1)")
    return parser


def _tasks(options: argparse.Namespace) -> list[Task]:
    """Return the tasks of all tables with enough anomalies, long tasks first.

    Raises:
        UsageError: If no table has enough anomalies.
    """
    tables = [(path, _table(path, options.max_rows)) for path in find_tables(options.data)]
    chosen = [
        path
        for path, table in tables
        if table.kind == "numeric" and len(table.records) >= options.min_rows and has_enough_anomalies(table)
    ]
    if not chosen:
        raise UsageError(
            f"No numeric table of {options.min_rows} rows has the anomalies that a share of {max(SHARES):.0%} needs. "
            "Name other folders in --data, or lower --min-rows."
        )
    return [
        Task(path, options.max_rows, method, share, options.seed)
        for method in METHODS
        for path in chosen
        for share in SHARES
    ]


def has_enough_anomalies(table: LabelledTable) -> bool:
    """Return whether half of the anomalies suffice for the largest share of the training records."""
    normal, anomalies = (~table.is_anomaly).sum(), table.is_anomaly.sum()
    return bool(anomalies // 2 >= mixed_in(int(normal) // 2, max(SHARES)))


def mixed_in(normal: int, share: float) -> int:
    """Return how many anomalies make up a share of the records, together with a number of normal records.

    >>> mixed_in(900, 0.1)
    100
    """
    return round(normal * share / (1 - share))


def run_task(task: Task) -> Precision:
    """Return the average precision of one task."""
    part = dirty_split(_table(task.path, task.max_rows), task.share, task.seed)
    precision = average_precision_score(part.is_anomaly, _anomaly_score(task, part))
    return Precision(task.path.stem, task.method, task.share, float(precision))


def _anomaly_score(task: Task, part: Split) -> Vector:
    if task.method not in TRIMMED:
        [outcome] = run((task.method,), part, task.seed)
        return outcome.anomaly_score
    from detector import VAEDetector

    return VAEDetector(trim=TRIMMED[task.method], random_state=task.seed).fit(part.train).anomaly_score(part.test)


@lru_cache(maxsize=1)
def _table(path: Path, max_rows: int) -> LabelledTable:
    return cut(read_table(path), max_rows)


def dirty_split(table: LabelledTable, share: float, seed: int) -> Split:
    """Split into half of the normal records with anomalies, for training, and the other half with held-out anomalies.

    The anomalies of a smaller share are the first anomalies of a larger share; the test records are the same.
    """
    rng = np.random.default_rng(seed)
    normal, anomalies = (rng.permutation(np.flatnonzero(table.is_anomaly == label)) for label in (False, True))
    half, held_back = len(normal) // 2, len(anomalies) - len(anomalies) // 2
    dirt = anomalies[held_back:][: mixed_in(half, share)]
    test = np.concatenate([normal[half:], anomalies[:held_back]])
    return Split(
        train=table.records.iloc[np.concatenate([normal[:half], dirt])].reset_index(drop=True),
        test=table.records.iloc[test].reset_index(drop=True),
        is_anomaly=table.is_anomaly[test],
        categorical=table.categorical,
    )


def summary(precisions: Sequence[Precision]) -> str:
    """Return average precision by share as Markdown: the means and losses of each method, then each table.

    What failed on every table is NaN.
    """
    frame = pd.DataFrame([vars(line) for line in precisions])
    columns = frame.pivot_table(index="dataset", columns=["method", "share"], values="average_precision")
    methods = [method for method in METHODS if method in set(frame["method"])]
    columns = columns.reindex(columns=pd.MultiIndex.from_product([methods, SHARES]))
    return "\n".join([*_means(columns, methods), "", *_by_table(columns, methods), ""])


def _means(columns: pd.DataFrame, methods: list[str]) -> list[str]:
    header = ["method", *(f"{share:.0%}" for share in SHARES), *(f"loss at {share:.0%}" for share in SHARES[1:])]
    rows = []
    for method in methods:
        clean, *dirty = (float(columns[method, share].mean()) for share in SHARES)
        rows.append([method, *(f"{mean:.3f}" for mean in (clean, *dirty)), *(f"{clean - mean:.3f}" for mean in dirty)])
    return markdown_table(header, rows)


def _by_table(columns: pd.DataFrame, methods: list[str]) -> list[str]:
    """Return the table rows for the smallest and the largest share."""
    ends = [(method, share) for method in methods if method not in TRIMMED for share in (min(SHARES), max(SHARES))]
    header = ["table", *(f"{method} {share:.0%}" for method, share in ends)]
    rows = [[str(name), *(f"{value:.3f}" for value in row)] for name, row in columns[ends].iterrows()]
    return markdown_table(header, rows)


if __name__ == "__main__":
    sys.exit(main())
