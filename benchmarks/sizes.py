"""Benchmark of fit time and memory by table size: ``python -m benchmarks.sizes --data DIR``.

A model is fitted on all normal records of a table and scores up to 20,000 records. Every table has a process of its
own, whose peak memory is compared with the peak memory of a process that only reads the table.
Progress goes to stderr, the table to stdout.
"""

import argparse
import resource
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import completed, print_progress
from benchmarks.report import markdown_table
from benchmarks.tables import find_tables, read_table
from benchmarks.timing import timed
from schemas.errors import PlumblineError

MAX_SCORED_RECORDS = 20_000
KIB_PER_MIB = 1024


@dataclass(frozen=True)
class Task:
    """The measurement of one table in a process of its own."""

    path: Path
    is_fitted: bool


@dataclass(frozen=True)
class Cost:
    """Time and memory of one process; seconds are 0 if it only reads."""

    table: str
    records: int
    features: int
    fit_seconds: float
    peak_mib: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; return 0 if every table succeeded, 1 if some failed, 2 if the call was wrong."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sizes", description=__doc__)
    parser.add_argument("--data", type=Path, nargs="+", metavar="DIR", required=True, help="folders with tables")
    options = parser.parse_args(arguments)
    try:
        paths = find_tables(options.data)
    except PlumblineError as exc:
        print_progress(str(exc))
        return 2
    costs = [cost for number, path in enumerate(paths, start=1) if (cost := _costs(path, f"[{number}/{len(paths)}]"))]
    if costs:
        sys.stdout.write(summary(costs))
    return 0 if len(costs) == len(paths) else 1


def _costs(path: Path, place: str) -> tuple[Cost, Cost] | None:
    """Return the costs of only reading a table, and of reading and fitting; None if either failed."""
    costs = []
    for is_fitted in (False, True):
        [(_, future)] = completed(measure, [Task(path, is_fitted)], 1)  # a pool of its own, so a fresh process
        error = future.exception()
        if error:
            print_progress(f"{place} {path.stem}: {error}")
            return None
        costs.append(future.result())
    print_progress(f"{place} {path.stem}: fitted in {costs[1].fit_seconds:.1f} s")
    return costs[0], costs[1]


def measure(task: Task) -> Cost:
    """Measure one task in the calling process."""
    table = read_table(task.path)
    normal = table.records[~table.is_anomaly]
    fit_seconds = 0.0
    if task.is_fitted:
        from detector import VAEDetector

        model = VAEDetector(categorical=list(table.categorical) or None)
        _, fit_seconds = timed(lambda: model.fit(normal))
        model.anomaly_score(table.records.head(MAX_SCORED_RECORDS))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KIB_PER_MIB
    return Cost(table.name, len(normal), normal.shape[1], fit_seconds, peak)


def summary(costs: Sequence[tuple[Cost, Cost]]) -> str:
    """Return the costs by the number of cells, as Markdown."""
    header = ["table", "records", "features", "fit s", "peak MiB", "of a process that only reads"]
    rows = [
        [
            fitted.table,
            f"{fitted.records:,}",
            f"{fitted.features:,}",
            f"{fitted.fit_seconds:.1f}",
            f"{fitted.peak_mib:,.0f}",
            f"{read.peak_mib:,.0f}",
        ]
        for read, fitted in sorted(costs, key=lambda pair: pair[1].records * pair[1].features)
    ]
    return "\n".join([*markdown_table(header, rows), ""])


if __name__ == "__main__":
    sys.exit(main())
