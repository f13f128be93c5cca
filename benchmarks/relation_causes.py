"""Causes of faults by which channels no longer belong together, run as ``python -m benchmarks.relation_causes``.

The channels of a machine follow one load, or two loads from four channels on, with noise of a seventh of their size. A
model is trained on 28 days of records every ten minutes, without a network, and the tracked threshold flags the later
ones. Two kinds of faults last for six hours:

- *one*: a channel moves towards its mean, by .8 to 1.6 standard deviations, and so stays in its range;
- *most*: all channels but one leave their range together, by 3 to 6 standard deviations. Any of them is a right cause.
"""

import argparse
import sys
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from benchmarks.machines import Fault, Machine, wandering
from benchmarks.operations import ENTITY, RATE, fit, outcome, watch
from benchmarks.options import positive
from benchmarks.report import markdown_table
from benchmarks.series.data import Vector
from benchmarks.series.events import online_alarms
from detector.series.relation import MAX_CHANNELS

DAY = 144  # records
TRAINED = 28 * DAY
FAULT_RECORDS = 36
FAULTS = 3  # of a machine
MIN_CHANNELS = 2
TWO_LOADS_FROM = 4  # channels
NOISE = 0.15  # standard deviations
KINDS = ("one", "most")


def main(arguments: Sequence[str] | None = None) -> int:
    """Print how often the first cause is right, by the number of channels."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.relation_causes", description=__doc__)
    parser.add_argument("--seeds", type=positive, default=28, help="machines of each kind (default: 28)")
    parser.add_argument("--first-seed", type=int, default=0, help="(default: 0)")
    options = parser.parse_args(arguments)
    right: dict[tuple[str, int], list[bool]] = defaultdict(list)
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        for kind in KINDS:
            machine = machine_of(seed, kind)
            right[kind, len(machine.channels)] += right_causes(machine)
    rows = [
        [kind, str(channels), str(len(found)), f"{np.mean(found):.0%}"] for (kind, channels), found in right.items()
    ]
    for kind in KINDS:
        found = [one for (of_kind, _), part in right.items() if of_kind == kind for one in part]
        rows.append([kind, "all", str(len(found)), f"{np.mean(found):.0%}"])
    table = markdown_table(["fault", "channels", "found faults", "first cause right"], sorted(rows))
    sys.stdout.write("\n".join(table) + "\n")
    return 0


def right_causes(machine: Machine) -> list[bool]:
    """Return whether the first cause of each found fault is right."""
    model = fit(machine, network=False)
    watched = watch(machine, model)
    flagged = online_alarms(model.reference(ENTITY), watched.scores, RATE)
    return [] if flagged is None else list(outcome("", "online", machine, flagged, watched.evidence).causes)


def machine_of(seed: int, kind: str) -> Machine:
    """Return a machine with a fault of a kind on every second day after its training."""
    rng = np.random.default_rng([seed, KINDS.index(kind)])
    n = TRAINED + 2 * (FAULTS + 1) * DAY
    channels = MIN_CHANNELS + seed % (MAX_CHANNELS - MIN_CHANNELS + 1)
    loads = np.stack([wandering(n, int(rng.integers(20, 80)), rng) for _ in range(1 + (channels >= TWO_LOADS_FROM))])
    factors = rng.uniform(0.6, 1.5, (channels, len(loads))) * rng.choice([-1, 1], (channels, len(loads)))
    values = factors @ loads
    values /= values[:, :TRAINED].std(axis=1, keepdims=True)
    values += NOISE * rng.standard_normal(values.shape)
    names = [f"x{channel}" for channel in range(channels)]
    machine = Machine(dict(zip(names, values, strict=True)), 10, TRAINED)
    for number in range(FAULTS):
        start = TRAINED + (1 + 2 * number) * DAY + int(rng.integers(DAY // 2))
        machine = _with_fault(machine, slice(start, start + FAULT_RECORDS), kind, rng, factors[:, 0])
    return machine


def _with_fault(machine: Machine, rows: slice, kind: str, rng: np.random.Generator, factors: Vector) -> Machine:
    """Return the machine with a fault of one channel, or of most along their factors of the first load."""
    names = list(machine.channels)
    if kind == "one":
        moved = [int(rng.integers(len(names)))]
        size, course = rng.uniform(0.8, 1.6), np.minimum(np.arange(1, FAULT_RECORDS + 1) / 12, 1)
    else:
        moved = rng.permutation(len(names))[1:].tolist()
        size, course = rng.uniform(3, 6), np.minimum(np.arange(1, FAULT_RECORDS + 1) / 6, 1)
    changed = {}
    for channel in moved:
        values = machine.channels[names[channel]].copy()
        sign = -np.sign(values[rows].mean()) if kind == "one" else np.sign(factors[channel])
        values[rows] += sign * size * course
        changed[names[channel]] = values
    return machine.with_fault(Fault(rows.start, rows.stop, tuple(changed)), changed)


if __name__ == "__main__":
    sys.exit(main())
