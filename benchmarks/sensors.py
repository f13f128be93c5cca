"""The benchmark on series of sensors, run as ``python -m benchmarks.sensors --data DIR``.

DIR holds one folder for each set. A method is fitted to the train rows of each entity, or of the whole set if a test
entity has none, and scores every test row in order: nothing is taken from the test part, and no detection is extended
over an anomaly (no point adjustment). Results are appended to a CSV file as they are measured; a run with the same file
continues the last run. Progress goes to stderr, the summary to stdout.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from benchmarks.options import names, positive, seeds
from benchmarks.processes import print_progress, succeeded
from benchmarks.series.data import SeriesSet, find_sets, read_set
from benchmarks.series.measures import Measurement, Subject, measure
from benchmarks.series.methods import METHODS, check_methods
from benchmarks.series.report import summary
from benchmarks.series.results import append, open_results, read_results
from benchmarks.timing import timed
from schemas.errors import PlumblineError


@dataclass(frozen=True)
class Task:
    """One method with one seed on the entities of a set that are not measured yet."""

    folder: Path
    entities: frozenset[str]
    method: str
    seed: int

    def __str__(self) -> str:
        return f"{self.folder.name} {self.method} seed {self.seed}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; return 0 if every task succeeded, 1 if some failed, 2 if the options are wrong."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if not (options.data or options.summary_only):
        parser.error("--data is needed: a folder with one folder of Parquet files for each set")
    try:
        failed = 0 if options.summary_only else _run_tasks(_tasks(options), options.jobs, options.out)
        results = read_results(options.out)
    except PlumblineError as exc:
        print_progress(str(exc))
        return 2
    except KeyboardInterrupt:
        print_progress(f"Stopped. {options.out} keeps the results so far; the same command continues from there.")
        return 130
    if len(results):
        sys.stdout.write(summary(results))
    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sensors", description=__doc__)
    parser.add_argument("--data", type=Path, nargs="+", metavar="DIR", help="folders with one folder for each set")
    parser.add_argument("--seeds", type=seeds, default=(0,), help="such as 0,1,2 (default: 0)")
    parser.add_argument("--sets", type=names, default=(), help="comma-separated (default: all sets in DIR)")
    parser.add_argument("--methods", type=names, help=f"comma-separated (default: all of {', '.join(METHODS)})")
    parser.add_argument("--out", type=Path, default=Path("sensors.csv"), help="results file (default: sensors.csv)")
    parser.add_argument("--jobs", type=positive, default=1, help="processes (default: 1)")
    parser.add_argument("--summary-only", action="store_true", help="print the summary of --out and run nothing")
    return parser


def _tasks(options: argparse.Namespace) -> list[Task]:
    """Return the tasks whose results are missing from the results file."""
    methods = check_methods(options.methods or METHODS)
    entities = {folder: _entities(folder) for folder in find_sets(options.data, options.sets)}
    done = open_results(options.out)
    return [
        Task(folder, missing, method, seed)
        for folder, entity_names in entities.items()
        for seed in options.seeds
        for method in methods
        if (missing := frozenset(name for name in entity_names if (folder.name, name, method, seed) not in done))
    ]


def _entities(folder: Path) -> list[str]:
    return [case.entity for case in read_set(folder).cases]


def _run_tasks(tasks: list[Task], jobs: int, out: Path) -> int:
    """Run tasks and return the number of failed tasks."""
    failed = len(tasks)
    for measurements in succeeded(run_task, tasks, jobs, _outcome):
        append(out, measurements)
        failed -= 1
    return failed


def run_task(task: Task) -> list[Measurement]:
    """Return the measurements of one task; the fitting time is divided equally among the models."""
    series = _read(task.folder)
    fitted, seconds = timed(lambda: METHODS[task.method](series.trainings, task.seed))
    return [
        measure(
            Subject(series.name, case.entity, case.training, task.method, task.seed),
            case,
            fitted[case.training],
            seconds / len(fitted),
        )
        for case in series.cases
        if case.entity in task.entities
    ]


@lru_cache(maxsize=1)
def _read(folder: Path) -> SeriesSet:
    return read_set(folder)


def _outcome(measurements: list[Measurement]) -> str:
    return f"{_mean_quality(measurements)}, fitted in {measurements[0].fit_seconds:.1f} s a model"


def _mean_quality(measurements: list[Measurement]) -> str:
    areas = [line.ranking.vus_pr for line in measurements if line.ranking.vus_pr is not None]
    return f"VUS-PR {sum(areas) / len(areas):.3f} over {len(areas)} entities" if areas else "no entity with anomalies"


if __name__ == "__main__":
    sys.exit(main())
