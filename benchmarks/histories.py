"""The benchmark of short histories, run as ``python -m benchmarks.histories``.

Machines without faults have some days of training, and the normal records of the next three days are flagged at a rate
of 5 % by the fixed and by the tracked threshold. A model without a network is trained with the default settings. The
training begins at another hour in each seed, on a Thursday.
"""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from benchmarks.options import positive
from benchmarks.report import markdown_table
from benchmarks.series.data import Matrix, Vector
from benchmarks.series.events import fixed_alarms, online_alarms
from benchmarks.series.peers import smooth
from detector.series import Series, SeriesModel, SeriesSettings

RATE = 0.05
STEPS = (1, 5, 10, 60)  # minutes
DAYS = (1, 2, 3, 4, 7, 14)  # of training
LATER_DAYS, MIN_LATER, MAX_LATER = 3, 200, 2500  # days, and limits of the number of records that are flagged
MIN_RECORDS = 60  # of training
ENTITY = "machine"


def boiler(hour: Vector, rng: np.random.Generator) -> Matrix:
    """Return three sensors that follow the time of day and a load that wanders within an hour."""
    load = np.sin(2 * np.pi * hour / 24 - 1) + 0.5 * _wandering(hour, 1.0, rng)
    noise = rng.standard_normal((len(hour), 3)) * [0.6, 0.07, 0.8]
    return np.outer(load, [6.0, 0.5, 1.5]) + noise


def room(hour: Vector, rng: np.random.Generator) -> Matrix:
    """Return temperature and humidity, which follow the time of day."""
    return np.outer(np.cos(2 * np.pi * hour / 24), [1.2, -5]) + rng.standard_normal((len(hour), 2)) * [0.12, 1]


def pump(hour: Vector, rng: np.random.Generator) -> Matrix:
    """Return three sensors without a daily course; two of them wander within a few hours."""
    load = _wandering(hour, 3.0, rng)
    return np.outer(load, [3.0, 0.2, 0.0]) + rng.standard_normal((len(hour), 3)) * [0.5, 0.1, 0.3]


def _wandering(hour: Vector, half_life_hours: float, rng: np.random.Generator) -> Vector:
    """Return noise (n,) of standard deviation one that remembers its past."""
    half_life = max(1, round(half_life_hours / (hour[1] - hour[0])))
    noise = smooth(rng.standard_normal(len(hour)), half_life)
    return np.asarray(noise / noise.std())


MACHINES: Mapping[str, Callable[[Vector, np.random.Generator], Matrix]] = {"boiler": boiler, "room": room, "pump": pump}


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.histories", description=__doc__)
    parser.add_argument("--seeds", type=positive, default=5, help="of each machine (default: 5)")
    options = parser.parse_args(arguments)
    header = ["step", "threshold", *(f"{days} days: median" if days > 1 else "1 day: median" for days in DAYS)]
    header[2:] = [part for text in header[2:] for part in (text, "within 2x")]
    lines = [line for step in STEPS for line in _rows(step, options.seeds)]
    sys.stdout.write("\n".join(markdown_table(header, lines)) + "\n")
    return 0


def _rows(step: int, seeds: int) -> list[list[str]]:
    """Return the row of each threshold: for each length of training the median share, and the machines within twice."""
    shares = [
        np.array([flagged(name, step, days, seed) for name in MACHINES for seed in range(seeds)])
        if days * 1440 // step >= MIN_RECORDS
        else None
        for days in DAYS
    ]
    return [
        [f"{step} min", threshold, *(text for part in shares for text in _texts(part, column))]
        for column, threshold in enumerate(("fixed", "online"))
    ]


def _texts(shares: np.ndarray | None, column: int) -> tuple[str, str]:
    if shares is None:
        return "", ""
    return f"{np.median(shares[:, column]):.1%}", f"{(shares[:, column] <= 2 * RATE).mean():.0%}"


def flagged(name: str, step: int, days: int, seed: int) -> tuple[float, float]:
    """Return the share of later normal records that the fixed and the tracked threshold flag; NaN without one."""
    per_day = 1440 // step
    trained, later = days * per_day, int(np.clip(LATER_DAYS * per_day, MIN_LATER, MAX_LATER))
    rng = np.random.default_rng([seed, step, days, list(MACHINES).index(name)])
    rows = np.arange(trained + later)
    first = int(rng.integers(per_day))
    values = MACHINES[name]((rows + first) * step / 60, rng)
    times = np.datetime64("2026-03-05", "s") + (rows + first) * np.timedelta64(60 * step, "s")
    settings = SeriesSettings(models="per_entity", network=False)
    model = SeriesModel.fit({ENTITY: Series(times[:trained], values[:trained])}, settings)
    since = max(0, trained - model.context_rows)
    scores = model.scores(ENTITY, Series(times[since:], values[since:]))[trained - since :]
    alarms = (rule(model.reference(ENTITY), scores, RATE) for rule in (fixed_alarms, online_alarms))
    fixed, online = (np.nan if own is None else float(own.mean()) for own in alarms)
    return fixed, online


if __name__ == "__main__":
    sys.exit(main())
