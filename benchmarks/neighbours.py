"""Benchmark of the neighbour search: ``python -m benchmarks.neighbours --data DIR``.

Local reconstruction among the encoded training records, without a network, is computed twice: in the cells that a
search probes, and in all cells, which is exact. Small tables, for which both are the same, are left out.
Progress goes to stderr, the table to stdout.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score

from benchmarks.options import positive
from benchmarks.processes import print_progress, succeeded
from benchmarks.protocol import split
from benchmarks.report import markdown_table
from benchmarks.tables import cut, find_tables, read_table
from detector.core.neighbours import MEAN_CELL_POINTS, PROBED_CELLS, Neighbours
from detector.records.encoder import Encoder, squash
from schemas.config import ModelConfig
from schemas.errors import PlumblineError
from schemas.frames import Features

DEFAULTS = ModelConfig()
MIN_RELATIVE_CHANGE = 1e-5  # of a distance; smaller differences count as rounding


@dataclass(frozen=True)
class Task:
    """One split of one table."""

    path: Path
    max_rows: int
    seed: int

    def __str__(self) -> str:
        return f"{self.path.stem} split {self.seed}"


@dataclass(frozen=True)
class Comparison:
    """The search in cells compared with the exact search."""

    table: str
    reference: int
    coordinates: int
    exact_precision: float
    precision: float
    changed_share: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; return 0 if every task succeeded, 1 if some failed, 2 if the call was wrong."""
    options = _parser().parse_args(arguments)
    try:
        paths = find_tables(options.data)
    except PlumblineError as exc:
        print_progress(str(exc))
        return 2
    tasks = [Task(path, options.max_rows, seed) for path in paths for seed in range(options.splits)]
    results = list(succeeded(compare, tasks, options.jobs, lambda _result: "done"))
    if comparisons := [result for result in results if result is not None]:
        sys.stdout.write(summary(comparisons))
    return 0 if len(results) == len(tasks) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.neighbours", description=__doc__)
    parser.add_argument("--data", type=Path, nargs="+", metavar="DIR", required=True, help="folders with tables")
    parser.add_argument("--splits", type=positive, default=3, help="of each table (default: 3)")
    parser.add_argument("--max-rows", type=positive, default=20_000, help="larger tables are cut (default: 20000)")
    parser.add_argument("--jobs", type=positive, default=1, help="processes (default: 1)")
    return parser


def compare(task: Task) -> Comparison | None:
    """Compare both searches on one split; return None if they are the same."""
    table = cut(read_table(task.path), task.max_rows)
    part = split(table, task.seed)
    train = part.train.head(DEFAULTS.max_reference)
    if len(train) <= PROBED_CELLS * MEAN_CELL_POINTS:
        return None
    numeric = tuple(str(name) for name in train if name not in part.categorical)
    encoder = Encoder.fit(train, Features(numeric=numeric, categorical=part.categorical), DEFAULTS.max_levels)
    points, queries = (_coordinates(encoder, records) for records in (train, part.test))
    indexes = Neighbours(points), Neighbours(points, probed=len(points))
    in_cells, exact = (index.reconstruction_distance(queries, DEFAULTS.neighbours) for index in indexes)
    return Comparison(
        table.name,
        *points.shape,
        exact_precision=float(average_precision_score(part.is_anomaly, exact)),
        precision=float(average_precision_score(part.is_anomaly, in_cells)),
        changed_share=float(np.mean(np.abs(in_cells - exact) > MIN_RELATIVE_CHANGE * exact)),
    )


def _coordinates(encoder: Encoder, records: pd.DataFrame) -> np.ndarray:
    matrix = encoder.encode(records)
    return np.asarray(squash(np.hstack([matrix.standard, matrix.quantile])) / np.sqrt(2), dtype=np.float32)


def summary(comparisons: Sequence[Comparison]) -> str:
    """Return means over the splits of each table, and over tables, as Markdown."""
    means = pd.DataFrame([vars(line) for line in comparisons]).groupby("table").mean()
    means.loc["mean"] = means.mean()
    header = ["table", "reference", "coordinates", "AP exact", "AP in cells", "records that differ"]
    rows = [
        [
            str(row.Index),
            f"{row.reference:,.0f}",
            f"{row.coordinates:,.0f}",
            f"{row.exact_precision:.4f}",
            f"{row.precision:.4f}",
            f"{row.changed_share:.1%}",
        ]
        for row in means.itertuples()
    ]
    return "\n".join([*markdown_table(header, rows), ""])


if __name__ == "__main__":
    sys.exit(main())
