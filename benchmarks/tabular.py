"""The benchmark on labelled tables, run as ``python -m benchmarks.tabular --data DIR``.

Results are appended to a CSV file as they are measured; a run with the same file continues the last run.
Progress goes to stderr, the summary to stdout.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from benchmarks.methods import METHODS, available_methods, check_methods, fits, run
from benchmarks.options import names, positive, seeds
from benchmarks.processes import print_progress, succeeded
from benchmarks.protocol import Measurement, measure, split
from benchmarks.report import summary
from benchmarks.results import Done, append, open_results, read_results
from benchmarks.tables import LabelledTable, cut, find_tables, read_table
from schemas.errors import PlumblineError


@dataclass(frozen=True)
class Task:
    """Methods that share one fit, on one table with one seed."""

    path: Path
    max_rows: int
    methods: tuple[str, ...]
    seed: int

    def __str__(self) -> str:
        return f"{self.path.stem} {'+'.join(self.methods)} seed {self.seed}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; return 0 if every task succeeded, 1 if some failed, 2 if the call was wrong."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if not (options.data or options.summary_only):
        parser.error("--data is needed: a folder with .npz or .parquet tables")
    try:
        failed = 0 if options.summary_only else _run_all(options)
        results = read_results(options.out)
    except PlumblineError as exc:
        print_progress(str(exc))
        return 2
    except KeyboardInterrupt:
        print_progress(f"Stopped. {options.out} has the results so far; the same command continues from there.")
        return 130
    if len(results):
        sys.stdout.write(summary(results))
    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tabular", description=__doc__)
    parser.add_argument("--data", type=Path, nargs="+", metavar="DIR", help="folders with .npz and .parquet tables")
    parser.add_argument("--seeds", type=seeds, default=(0,), help="such as 0,1,2 (default: 0)")
    parser.add_argument("--methods", type=names, help=f"comma-separated (default: all of {', '.join(METHODS)})")
    parser.add_argument("--max-rows", type=positive, default=10_000, help="larger tables are cut (default: 10000)")
    parser.add_argument("--out", type=Path, default=Path("results.csv"), help="results file (default: results.csv)")
    parser.add_argument("--jobs", type=positive, default=1, help="processes (default: 1)")
    parser.add_argument("--summary-only", action="store_true", help="print the summary of --out and run nothing")
    return parser


def _run_all(options: argparse.Namespace) -> int:
    """Run the tasks that the results file lacks; return the number of failed tasks."""
    methods = check_methods(options.methods) if options.methods else available_methods()
    if len(methods) < len(METHODS) and not options.methods:
        print_progress("PyOD is not installed: its VAE, AutoEncoder and ECOD are left out.")
    paths = find_tables(options.data)
    done = open_results(options.out)
    tasks = [
        Task(path, options.max_rows, missing, seed)
        for path in paths
        for seed in options.seeds
        for group in fits(methods)
        if (missing := _missing(path.stem, group, seed, done))
    ]
    return _run_tasks(tasks, options.jobs, options.out)


def _missing(dataset: str, methods: tuple[str, ...], seed: int, done: set[Done]) -> tuple[str, ...]:
    return tuple(method for method in methods if (dataset, method, seed) not in done)


def _run_tasks(tasks: list[Task], jobs: int, out: Path) -> int:
    failed = len(tasks)
    for measurements in succeeded(run_task, tasks, jobs, _outcome):
        append(out, measurements)
        failed -= 1
    return failed


def _outcome(measurements: list[Measurement]) -> str:
    first = measurements[0]
    return f"AUROC {first.auroc:.3f}, AP {first.average_precision:.3f}, fitted in {first.fit_seconds:.1f} s"


def run_task(task: Task) -> list[Measurement]:
    """Return the measurements of one task."""
    table = _table(task.path, task.max_rows)
    part = split(table, task.seed)
    return [measure(table, part, task.seed, outcome) for outcome in run(task.methods, part, task.seed)]


@lru_cache(maxsize=1)
def _table(path: Path, max_rows: int) -> LabelledTable:
    return cut(read_table(path), max_rows)


if __name__ == "__main__":
    sys.exit(main())
