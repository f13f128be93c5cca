"""The benchmark on simulated machines, run as ``python -m benchmarks.operations``.

The other benchmarks rank records; this one measures what a person gets. Each case of `benchmarks.machines` is a
machine with a fault that a person would see. A model is trained on its normal records with the default settings, and
the records that follow are flagged by the fixed and by the tracked threshold, next to the rule of `benchmarks.person`.
A second table has the smallest second fault that is flagged soon after a first one.
"""

import argparse
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from itertools import pairwise

import numpy as np

from benchmarks.further_machines import FURTHER_CASES
from benchmarks.machines import CASES, Fault, Machine, boiler, two_faults
from benchmarks.options import names, positive
from benchmarks.person import person_alarms
from benchmarks.processes import succeeded
from benchmarks.reading_machines import READING_CASES
from benchmarks.report import markdown_table, number_text
from benchmarks.rhythm_machines import RHYTHM_CASES
from benchmarks.series.data import Mask, Vector
from benchmarks.series.events import Numbers, fixed_alarms, incidents_by_time, online_alarms, online_incidents
from detector.series import Series, SeriesModel, SeriesSettings
from jobs.incident_gap import gap_at_pace

RATE, COARSE_RATE = 0.01, 0.05  # the second if there are too few calibration records for the first
ECHO_RECORDS = 60  # after a fault, in which flagged records count as its echo
GRACE_RECORDS = 3  # from the start of a fault in which even the shortest is found
ENTITY = "machine"
ALL_CASES = {**CASES, **FURTHER_CASES, **RHYTHM_CASES, **READING_CASES}
_NONE = Fault(sys.maxsize, sys.maxsize, ())  # in place of a following fault
FIRST_FAULTS = ((0, 0), (4, 3), (8, 3), (8, 9), (4, 24))  # standard deviations and hours
PAUSES = (1, 3, 6, 12, 24)  # hours
SIZES = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 20.0)  # standard deviations of the second fault
SECOND_HOURS = 3


@dataclass(frozen=True)
class Watched:
    """The records of a machine that follow those of its training.

    Attributes:
        reference: (m,) calibration scores.
        scores: (n,) of the records.
        evidence: (n, c) of a fault in each channel; 0 for a return to normal.
    """

    reference: Vector
    scores: Vector
    evidence: np.ndarray


@dataclass(frozen=True)
class Watch:
    """The records of a case that a threshold flags.

    Attributes:
        case: name of the case.
        threshold: name of the threshold.
        flagged: (n,) whether each record is flagged.
        incidents: (n,) the incident of each flagged record; None if they are grouped by time.
    """

    case: str
    threshold: str
    flagged: Mask
    incidents: Numbers | None = None


@dataclass(frozen=True)
class Outcome:
    """The flagged records of one machine, by one threshold; counts and means over its faults.

    Attributes:
        case: name of the case.
        threshold: name of the threshold.
        found: whether each fault is found.
        share: flagged share of the records of each fault.
        delay: records from the start of each found fault to its first flagged record.
        incidents: number of incidents of each found fault, as scoring groups its flagged records.
        earlier: whether the first flagged record of each found fault is of an incident that began before the fault.
        echo: good records flagged after each fault.
        false_per_week: flagged records outside of faults.
        causes: whether the channel that is named first in each found fault is right; empty for a person.
    """

    case: str
    threshold: str
    found: tuple[bool, ...]
    share: tuple[float, ...]
    delay: tuple[int, ...]
    incidents: tuple[int, ...]
    earlier: tuple[bool, ...]
    echo: tuple[int, ...]
    false_per_week: float
    causes: tuple[bool, ...]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print both tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.operations", description=__doc__)
    parser.add_argument("--seeds", type=positive, default=10, help="machines of each case (default: 10)")
    parser.add_argument("--first-seed", type=int, default=0, help="(default: 0)")
    parser.add_argument(
        "--cases", type=names, default=tuple(CASES), help="comma-separated (default: those of the first table)"
    )
    parser.add_argument("--further", action="store_true", help="further machines in place of the cases")
    parser.add_argument("--rhythm", action="store_true", help="machines with faults of spread or rhythm instead")
    parser.add_argument("--jobs", type=positive, default=1, help="processes (default: 1)")
    parser.add_argument("--no-second-faults", action="store_true", help="leave out the table of second faults")
    parser.add_argument("--no-network", action="store_true", help="models without a network, which train faster")
    options = parser.parse_args(arguments)
    network = not options.no_network
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    chosen = {
        **({**FURTHER_CASES, **READING_CASES} if options.further else {}),
        **(RHYTHM_CASES if options.rhythm else {}),
    }
    cases = tuple(chosen) or options.cases
    tasks = [(name, seed) for name in cases for seed in seeds]
    run = partial(run_case, network=network)
    results = list(succeeded(run, tasks, options.jobs, lambda outcomes: f"{len(outcomes)} thresholds"))
    outcomes = [outcome for part in results for outcome in part]
    lines = case_table(outcomes)
    if not options.no_second_faults:
        smallest = partial(smallest_second_faults, network=network)
        sizes = list(succeeded(smallest, list(seeds), options.jobs, lambda part: f"{len(part)} pairs"))
        lines += ["", *second_fault_table(np.array(sizes))]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0 if len(results) == len(tasks) else 1


def run_case(task: tuple[str, int], *, network: bool) -> list[Outcome]:
    """Return the outcome of a case by each threshold, of a model with a network or without."""
    name, seed = task
    machine = ALL_CASES[name](np.random.default_rng([seed, list(ALL_CASES).index(name)]))
    watched = watch(machine, fit(machine, network=network))
    rate = RATE if fixed_alarms(watched.reference, watched.scores, RATE) is not None else COARSE_RATE
    alarms = {
        "fixed": fixed_alarms(watched.reference, watched.scores, rate),
        "online": online_alarms(watched.reference, watched.scores, rate),
        "person": person_alarms(machine)[machine.trained :],
    }
    incidents = online_incidents(watched.reference, watched.scores, rate)
    return [
        outcome(
            Watch(name, threshold, flagged, incidents if threshold == "online" else None),
            machine,
            None if threshold == "person" else watched.evidence,
        )
        for threshold, flagged in alarms.items()
        if flagged is not None
    ]


def fit(machine: Machine, *, network: bool) -> SeriesModel:
    """Return the model of the machine's normal records, with the default settings apart from the network."""
    normal = Series(_times(machine)[: machine.trained], machine.values[: machine.trained])
    return SeriesModel.fit({ENTITY: normal}, SeriesSettings(models="per_entity", network=network))


def watch(machine: Machine, model: SeriesModel, until: int | None = None) -> Watched:
    """Return the scores and causes of the records that follow the training, up to a row (exclusive)."""
    context = min(machine.trained, model.context_rows)
    rows = slice(machine.trained - context, until)
    series = Series(_times(machine)[rows], machine.values[rows])
    causes = model.causes(ENTITY, series)
    evidence = np.where(causes.is_return, 0, causes.evidence)[context:]
    return Watched(model.reference(ENTITY), model.scores(ENTITY, series)[context:], evidence)


def _times(machine: Machine) -> np.ndarray:
    step = np.timedelta64(machine.minutes, "m")
    return np.datetime64("2026-03-02", "s") + step * np.arange(len(machine.values))  # a Monday


def outcome(watch: Watch, machine: Machine, evidence: np.ndarray | None) -> Outcome:
    """Compare the flagged records (n,) of a machine with its faults."""
    flagged, incidents = watch.flagged, watch.incidents
    if incidents is None:
        step = timedelta(minutes=machine.minutes)
        incidents = incidents_by_time(flagged, gap_at_pace(step, step) // step)
    faults = [Fault(item.start - machine.trained, item.end - machine.trained, item.channels) for item in machine.faults]
    is_fault = np.zeros(len(flagged), dtype=bool)
    for item in faults:
        is_fault[item.start : item.end] = True
    found = [item for item in faults if flagged[item.start : _latest(item)].any()]
    weeks = len(flagged) / (7 * machine.per_day)
    return Outcome(
        watch.case,
        watch.threshold,
        tuple(item in found for item in faults),
        tuple(float(flagged[item.start : item.end].mean()) for item in faults),
        tuple(int(np.argmax(flagged[item.start : _latest(item)])) for item in found),
        tuple(len(set(incidents[item.start : _latest(item)].tolist()) - {-1}) for item in found),
        tuple(_is_of_earlier(incidents, item) for item in found),
        tuple(_echo(flagged, item.end, following) for item, following in pairwise([*faults, _NONE])),
        float((flagged & ~is_fault).sum() / weeks),
        () if evidence is None else tuple(_names_channel(machine, item, flagged, evidence) for item in found),
    )


def _is_of_earlier(incidents: Numbers, item: Fault) -> bool:
    """Return whether the first flagged record of a fault is of an incident that began before it."""
    of_fault = incidents[item.start : _latest(item)]
    return bool((incidents[: item.start] == of_fault[of_fault >= 0][0]).any())


def _latest(item: Fault) -> int:
    return max(item.end, item.start + GRACE_RECORDS)


def _echo(flagged: Mask, end: int, following: Fault) -> int:
    """Return the number of flagged records after the end of a fault, before the following one."""
    return int(flagged[end : min(end + ECHO_RECORDS, following.start)].sum())


def _names_channel(machine: Machine, item: Fault, flagged: Mask, evidence: np.ndarray) -> bool:
    """Return whether the channel with the most evidence in a flagged record of the fault is behind the fault."""
    rows = np.arange(item.start, _latest(item))
    largest = evidence[rows[flagged[rows]]].max(axis=0)
    return list(machine.channels)[int(np.argmax(largest))] in item.channels


def case_table(outcomes: Sequence[Outcome]) -> list[str]:
    """Return a row for each case and threshold, over all seeds."""
    header = [
        "case",
        "threshold",
        "faults found",
        "their records flagged",
        "delay",
        "incidents per fault",
        "in an earlier incident",
    ]
    header += ["good records flagged after a fault: mean", "worst", "false records a week", "causes right"]
    order = [*ALL_CASES]
    groups: dict[tuple[str, str], list[Outcome]] = defaultdict(list)
    for item in sorted(outcomes, key=lambda item: order.index(item.case)):  # the order of thresholds stays
        groups[item.case, item.threshold].append(item)
    rows = [[*group, *_row(items)] for group, items in groups.items()]
    return markdown_table(header, rows)


def _row(outcomes: Sequence[Outcome]) -> Iterator[str]:
    for name, form in (("found", ".0%"), ("share", ".0%")):
        yield _text(np.mean, outcomes, name, form)
    yield _text(np.median, outcomes, "delay", ".0f")
    yield _text(np.mean, outcomes, "incidents", ".1f")
    yield _text(np.mean, outcomes, "earlier", ".0%")
    yield _text(np.mean, outcomes, "echo", ".1f")
    yield _text(np.max, outcomes, "echo", ".0f")
    yield f"{np.mean([item.false_per_week for item in outcomes]):.1f}"
    yield _text(np.mean, outcomes, "causes", ".0%")


def _text(statistic: Callable[[list[float]], float], outcomes: Sequence[Outcome], name: str, form: str) -> str:
    values = [value for item in outcomes for value in getattr(item, name)]
    return number_text(statistic(values) if values else np.nan, form)


def smallest_second_faults(seed: int, *, network: bool) -> list[list[float]]:
    """Return the smallest second fault that is flagged after each first fault and pause; infinite if none is."""
    machine = boiler(np.random.default_rng([seed, len(CASES)]))
    model = fit(machine, network=network)
    return [[_smallest_second_fault(machine, model, first, pause) for pause in PAUSES] for first in FIRST_FAULTS]


def _smallest_second_fault(machine: Machine, model: SeriesModel, first: tuple[int, int], pause: int) -> float:
    """Return the smallest second fault that flags more records than no second fault."""
    flagged = partial(_flagged_records, machine, model, first, pause)
    without = flagged(0.0)
    return next((size for size in SIZES if flagged(size) > without), np.inf)


def _flagged_records(machine: Machine, model: SeriesModel, first: tuple[int, int], pause: int, size: float) -> int:
    """Return the number of records that a second fault flags by the tracked threshold, those after its end included."""
    faulty = two_faults(machine, first, pause, ("temperature", size, SECOND_HOURS))
    second = faulty.faults[-1]
    watched = watch(faulty, model, second.end + ECHO_RECORDS)
    flagged = online_alarms(watched.reference, watched.scores, RATE)
    if flagged is None:
        return 0
    return int(flagged[second.start - machine.trained :].sum())


def second_fault_table(sizes: np.ndarray) -> list[str]:
    """Return the median over seeds of the smallest second faults, (seeds, first faults, pauses)."""
    header = ["first fault", *(f"{pause} h later" for pause in PAUSES)]
    labels = ["none" if hours == 0 else f"{size} sd, {hours} h" for size, hours in FIRST_FAULTS]
    medians = np.median(sizes, axis=0)
    rows = [[label, *(f"{size:g}" for size in line)] for label, line in zip(labels, medians, strict=True)]
    return markdown_table(header, rows)


if __name__ == "__main__":
    sys.exit(main())
