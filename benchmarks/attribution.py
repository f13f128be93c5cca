"""Benchmark of attribution: how often the changed feature is the first cause. Run ``python -m benchmarks.attribution``.

Normal records that were not in training are changed in one feature: a number moves by a number of standard
deviations, up and down, or a category becomes another category. Two simulated plants have six numbers and a mode:
in one plant the features are independent, in the other two causes drive all features. In a third plant, values become
odd that are within the range of each feature. With --data, numbers of real tables move. Progress goes to stderr, the
table to stdout.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.options import positive
from benchmarks.processes import print_progress, succeeded
from benchmarks.protocol import split
from benchmarks.report import markdown_table
from benchmarks.tables import cut, find_tables, read_table
from detector.core.subsample import subsample_evenly
from schemas.errors import PlumblineError

DEVIATIONS = (3.0, 6.0, 10.0)
SWAPPED, UNSEEN = "category swapped", "category never seen"
GAP, COMBINED_NUMBERS, COMBINED_CATEGORIES = "value in a gap", "combined numbers", "combined categories"
NUMBERS = ("amps", "bars", "celsius", "litres", "metres", "volts")
MODES = ("high", "normal", "idle")
MIXING = np.array([[1.0, 0.5, 0.0, 0.8, -1.0, 0.3], [0.0, 1.0, 1.0, -0.5, 0.5, 0.9]])  # of two causes in six numbers
MIN_ROWS = 500
MAX_ROWS = 5_000
MAX_FEATURES = 12  # of a real table, a subsample


@dataclass(frozen=True)
class Task:
    """Changes to normal records of one table, or of a simulated plant if there is no path."""

    name: str
    path: Path | None
    records: int
    seed: int

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class HitRate:
    """The share of changed records whose first cause is a feature that was changed."""

    table: str
    change: str
    share: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; return 0 if every task succeeded, 1 if some failed, 2 if the call was wrong."""
    options = _parser().parse_args(arguments)
    try:
        tasks = _tasks(options)
    except PlumblineError as exc:
        print_progress(str(exc))
        return 2
    rates = list(succeeded(run_task, tasks, options.jobs, lambda _rates: "done"))
    if rates:
        sys.stdout.write(summary([rate for task_rates in rates for rate in task_rates]))
    return 0 if len(rates) == len(tasks) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.attribution", description=__doc__)
    parser.add_argument("--data", type=Path, nargs="*", metavar="DIR", default=[], help="folders with tables")
    parser.add_argument("--records", type=positive, default=200, help="changed in each way (default: 200)")
    parser.add_argument("--seed", type=int, default=0, help="of the split and of training (default: 0)")
    parser.add_argument("--jobs", type=positive, default=1, help="processes (default: 1)")
    return parser


def _tasks(options: argparse.Namespace) -> list[Task]:
    tasks = [Task(name, None, options.records, options.seed) for name in PLANTS]
    for path in find_tables(options.data):
        table = read_table(path)
        if table.kind == "numeric" and (~table.is_anomaly).sum() >= MIN_ROWS:
            tasks.append(Task(path.stem, path, options.records, options.seed))
    return tasks


def run_task(task: Task) -> list[HitRate]:
    """Return the hit rates of one table."""
    from detector import VAEDetector

    normal, fresh, categorical = _records(task)
    model = VAEDetector(random_state=task.seed, categorical=list(categorical) or None).fit(normal)
    hits: dict[str, list[bool]] = {}
    made = odd_combinations(fresh) if task.name == COMBINATIONS else changes(normal, fresh, categorical)
    for change, features, changed in made:
        share = model.attribution(changed)
        hits.setdefault(change, []).extend(share.idxmax(axis=1).isin(features))
    return [HitRate(task.name, change, float(np.mean(is_hit))) for change, is_hit in hits.items()]


def _records(task: Task) -> tuple[pd.DataFrame, pd.DataFrame, tuple[str, ...]]:
    """Return normal records for training, normal records to change, and the categorical features."""
    if task.path is None:
        make = PLANTS[task.name]
        normal = make(4 * MIN_ROWS, task.seed)
        return normal, make(task.records, task.seed + 1), tuple(normal.columns.drop(list(NUMBERS)))
    table = cut(read_table(task.path), MAX_ROWS)
    part = split(table, task.seed)
    fresh = part.test[~part.is_anomaly].head(task.records).reset_index(drop=True)
    return part.train, fresh, table.categorical


def changes(
    normal: pd.DataFrame, fresh: pd.DataFrame, categorical: tuple[str, ...]
) -> Iterator[tuple[str, list[str], pd.DataFrame]]:
    """Yield each change, its feature in a list, and the changed records; numbers of two values are left out."""
    numbers = [name for name in normal if name not in categorical and normal[name].nunique() > 2]
    for name in (numbers[position] for position in subsample_evenly(len(numbers), MAX_FEATURES)):
        for deviations in DEVIATIONS:
            for sign in (-1, 1):
                moved = fresh[name] + sign * deviations * normal[name].std()
                yield f"{deviations:g} standard deviations", [name], fresh.assign(**{name: moved})
    for name in categorical:
        levels = sorted(normal[name].unique())
        following = dict(zip(levels, [*levels[1:], levels[0]], strict=True))
        yield SWAPPED, [name], fresh.assign(**{name: fresh[name].map(following)})
        yield UNSEEN, [name], fresh.assign(**{name: "never seen"})


def odd_combinations(fresh: pd.DataFrame) -> Iterator[tuple[str, list[str], pd.DataFrame]]:
    """Yield each change to records of the plant with combinations, the features of it, and the changed records."""
    yield GAP, ["amps"], fresh.assign(amps=0.3 * fresh["amps"])
    yield COMBINED_NUMBERS, ["celsius", "litres"], fresh.assign(celsius=-fresh["celsius"])
    following = dict(zip(MODES, [*MODES[2:], *MODES[:2]], strict=True))
    yield COMBINED_CATEGORIES, ["mode", "valve"], fresh.assign(valve=fresh["mode"].map(following))


def uncorrelated(n: int, seed: int) -> pd.DataFrame:
    """Return records of a plant with independent features."""
    rng = np.random.default_rng(seed)
    return _frame(rng.standard_normal((n, len(NUMBERS))), rng.choice(MODES, n, p=[0.3, 0.5, 0.2]))


def correlated(n: int, seed: int) -> pd.DataFrame:
    """Return records of a plant in which two causes drive all numbers, and one cause the mode."""
    rng = np.random.default_rng(seed)
    causes = rng.standard_normal((n, len(MIXING)))
    mode = np.select([causes[:, 0] > 0.5, causes[:, 0] > -0.5], MODES[:2], MODES[2])
    return _frame(causes @ MIXING + 0.3 * rng.standard_normal((n, len(NUMBERS))), mode)


def combined(n: int, seed: int) -> pd.DataFrame:
    """Return records of a plant with two levels of amps, two groups of celsius and litres, and valves of each mode."""
    rng = np.random.default_rng(seed)
    numbers, level, group = rng.standard_normal((n, len(NUMBERS))), *rng.choice([-1, 1], (2, n))
    numbers[:, :2] = [0.05, 0.1] * numbers[:, :2] + level[:, None]
    numbers[:, 2:4] = 0.4 * numbers[:, 2:4] + 1.5 * group[:, None]
    mode = rng.integers(0, len(MODES), n)
    valve = (mode + rng.integers(0, 2, n)) % len(MODES)
    return _frame(numbers, np.array(MODES)[mode]).assign(valve=pd.Series(np.array(MODES)[valve], dtype="str"))


COMBINATIONS = "plant with combinations"
PLANTS = {"uncorrelated plant": uncorrelated, "correlated plant": correlated, COMBINATIONS: combined}


def _frame(numbers: np.ndarray, mode: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(numbers, columns=list(NUMBERS)).assign(mode=pd.Series(mode, dtype="str"))


def summary(hit_rates: Sequence[HitRate]) -> str:
    """Return hit rates by table and change, with the mean and the median over real tables, as Markdown."""
    frame = pd.DataFrame([vars(line) for line in hit_rates])
    rates = frame.pivot_table(index="table", columns="change", values="share")
    rates = rates[list(dict.fromkeys(line.change for line in hit_rates))]
    real = rates[~rates.index.isin(list(PLANTS))].sort_index()
    table = pd.concat([rates.reindex([name for name in PLANTS if name in rates.index]), real])
    if len(real) > 1:
        table.loc["mean of the real tables"], table.loc["median of the real tables"] = real.mean(), real.median()
    rows = [
        [str(name), *("" if np.isnan(rate) else f"{rate:.1%}" for rate in row)] for name, *row in table.itertuples()
    ]
    return "\n".join([*markdown_table(["table", *rates.columns], rows), ""])


if __name__ == "__main__":
    sys.exit(main())
