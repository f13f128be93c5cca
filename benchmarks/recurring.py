"""Benchmark of labels on events that recur: ``python -m benchmarks.recurring``.

An operator labels the defrost of a fridge, a cleaning or a backup as a false alarm; the next ones should stay quiet,
and a real fault of the same channel has to be alerted. Four simulated machines have such an event, which is not in the
training records, and faults. The incidents of the first one, two or three events are labelled; of each later incident
it is counted whether labels hold it back at every one of its records, so that nobody is alerted.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial

import numpy as np

from benchmarks.machines import wandering
from benchmarks.options import positive
from benchmarks.processes import succeeded
from benchmarks.report import markdown_table
from benchmarks.series.data import Vector
from detector.series import Series, SeriesModel, SeriesSettings
from detector.series.artifact import SeriesArtifact
from detector.series.scorer import SeriesScorer
from detector.series.segments import Segment
from jobs.look_alikes import LookAlikes
from jobs.store.incident_summary import IncidentSummary, summary_of_record
from jobs.store.labelled_examples import LabelledExample
from jobs.store.writing import json_ready
from schemas.config import MonitorAlerts
from schemas.frames import Features

RATE = 0.01
LABELS = (1, 2, 3)
FAULTS = 12
ENTITY = "machine"
START = datetime(2026, 1, 5, tzinfo=UTC)  # a Monday
EVENT, OTHER = "event", "no event or fault"

Faults = Mapping[str, Callable[["Site", int], int]]  # by name: changes a site from a row on, and returns the length


@dataclass
class Site:
    """The records of one machine while it is simulated.

    Attributes:
        minutes: between two records.
        trained: days to train with, without an event.
        gap: longest pause inside an incident.
        channels: the values (n,) of each channel.
        kinds: (n,) of each record: an event, the name of a fault, or neither.
        hour: in which faults begin.
        faults: that it may have.
    """

    minutes: int
    trained: int
    gap: timedelta
    channels: Mapping[str, Vector]
    hour: int
    faults: Faults
    kinds: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.kinds = np.full(len(next(iter(self.channels.values()))), OTHER, dtype=object)

    def row(self, day: int, hour: float = 0.0) -> int:
        """Return the row of a time."""
        return round((24 * day + hour) * 60 / self.minutes)

    @property
    def days(self) -> int:
        """Number of days."""
        return len(self.kinds) * self.minutes // (24 * 60)

    def change(self, channel: str, start: int, rows: int, size: float, *, is_hill: bool = False) -> int:
        """Add to a channel, all at once or up and down, and return the number of rows."""
        part = self.channels[channel][start : start + rows]
        shape = np.sin(np.pi * (np.arange(len(part)) + 0.5) / len(part)) if is_hill else np.ones(len(part))
        part += size * shape
        return rows


@dataclass(frozen=True)
class Flagged:
    """A flagged record with its causes and what it belongs to."""

    time: datetime
    score: float
    severity: float
    kind: str
    causes: Sequence[Mapping[str, object]]

    def summary(self) -> IncidentSummary:
        """Return the incident of this record alone."""
        return summary_of_record(ENTITY, self.time, self.score, self.severity, self.causes, is_muted=False)


Incident = Sequence[Flagged]
Outcome = tuple[str, int, str, bool]  # machine, labels, kind of a later incident, and whether it is quiet


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recurring", description=__doc__)
    parser.add_argument("--seeds", type=positive, default=5, help="machines of each kind (default: 5)")
    parser.add_argument("--first-seed", type=int, default=0, help="(default: 0)")
    parser.add_argument("--no-network", action="store_true", help="models without a network, which train faster")
    parser.add_argument("--jobs", type=positive, default=1, help="processes (default: 1)")
    options = parser.parse_args(arguments)
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    tasks = [(name, seed) for name in SITES for seed in seeds]
    run = partial(run_site, network=not options.no_network)
    parts = list(succeeded(run, tasks, options.jobs, lambda outcomes: f"{len(outcomes)} incidents"))
    sys.stdout.write("\n".join(table([outcome for part in parts for outcome in part])) + "\n")
    return 0 if len(parts) == len(tasks) else 1


def run_site(task: tuple[str, int], *, network: bool) -> list[Outcome]:
    """Return the outcomes of one machine, by a model with a network or without."""
    name, seed = task
    site = SITES[name](np.random.default_rng([seed, list(SITES).index(name)]))
    add_faults(site, np.random.default_rng([seed, 99]))
    incidents = list(_incidents(flagged_records(site, network=network), site.gap))
    return [(name, *outcome) for labels in LABELS for outcome in later_incidents(incidents, labels)]


def add_faults(site: Site, rng: np.random.Generator) -> None:
    """Add faults of each kind in turn, on days of their own, at an hour without an event."""
    first = site.trained + (site.days - site.trained) // 4
    days = np.sort(rng.choice(np.arange(first, site.days - 1), FAULTS, replace=False)).tolist()
    for number, day in enumerate(days):
        name = list(site.faults)[number % len(site.faults)]
        start = site.row(day, site.hour + float(rng.uniform()))
        rows = site.faults[name](site, start)
        site.kinds[start : start + rows] = name


def flagged_records(site: Site, *, network: bool) -> list[Flagged]:
    """Return the flagged records after the training, by the fixed threshold."""
    times = np.datetime64(START.replace(tzinfo=None), "s") + np.timedelta64(site.minutes, "m") * np.arange(
        len(site.kinds)
    )
    series, trained = Series(times, np.column_stack(list(site.channels.values()))), site.row(site.trained)
    settings = SeriesSettings(models="per_entity", network=network)
    model = SeriesModel.fit({ENTITY: Series(times[:trained], series.values[:trained])}, settings)
    features, about = Features(numeric=tuple(site.channels)), {"training": {"upto_key": "[0]"}}
    scorer = SeriesScorer(SeriesArtifact(features, model, RATE, {ENTITY: trained}, about))
    scores, own = model.scores(ENTITY, series), scorer.entity_threshold(ENTITY)
    rows = trained + np.flatnonzero(scores[trained:] > own.threshold)
    severities = own.calibration.severity(scores[rows], own.calibration.p_values(scores[rows]))
    segments = [Segment(ENTITY, np.arange(len(scores)), series)]
    explanations = scorer.explain(rows, scores[rows], 5, segments)
    return [
        Flagged(
            START + row * timedelta(minutes=site.minutes),
            float(scores[row]),
            float(severity),
            site.kinds[row],
            [json_ready(cause.to_json()) for cause in explanation.causes],
        )
        for row, severity, explanation in zip(rows.tolist(), severities, explanations, strict=True)
    ]


def _incidents(records: Sequence[Flagged], gap: timedelta) -> Iterator[Incident]:
    incident: list[Flagged] = []
    for record in records:
        if incident and record.time - incident[-1].time > gap:
            yield incident
            incident = []
        incident.append(record)
    if incident:
        yield incident


def later_incidents(incidents: Sequence[Incident], labels: int) -> list[tuple[int, str, bool]]:
    """Return the number of labels, the kind and whether it is quiet, of each incident after the labelled ones."""
    labelled = [number for number, incident in enumerate(incidents) if kind_of(incident) == EVENT][:labels]
    examples = [row for number in reversed(labelled) for row in _labelled_rows(number, incidents[number])]
    look_alikes = LookAlikes(examples, MonitorAlerts().look_alike_radius, of_series=True)
    later = incidents[labelled[-1] + 1 :] if labelled else ()
    return [(labels, kind_of(incident), is_quiet(incident, look_alikes)) for incident in later]


def kind_of(incident: Incident) -> str:
    """Return the fault that an incident holds a record of, else the event, if it holds one of that."""
    kinds = [record.kind for record in incident if record.kind != OTHER]
    return next((kind for kind in kinds if kind != EVENT), EVENT if kinds else OTHER)


def is_quiet(incident: Incident, look_alikes: LookAlikes) -> bool:
    """Return whether labels hold an incident back from its first record to its last."""
    summary = None
    for count, record in enumerate(incident, start=1):
        summary = record.summary() if summary is None else summary.merged(record.summary())
        causes = [earlier.causes for earlier in incident[:count]]
        if look_alikes.false_alarm_like(summary, causes.copy) is None:
            return False
    return True


def _labelled_rows(number: int, incident: Incident) -> list[LabelledExample]:
    start, end = incident[0].time, incident[-1].time
    return [
        LabelledExample(
            1_000 * number + place, number, ENTITY, "false_positive", record.causes, record.time, start, end
        )
        for place, record in enumerate(incident)
    ]


def table(outcomes: Sequence[Outcome]) -> list[str]:
    """Return a row for each machine: the quiet share of its later incidents, by number of labels."""
    header = ["machine", *(f"events, {count} labelled" for count in LABELS), "faults", "other incidents"]
    return markdown_table(
        header, [[name, *_row(outcomes, name)] for name in dict.fromkeys(part[0] for part in outcomes)]
    )


def _row(outcomes: Sequence[Outcome], name: str) -> Iterator[str]:
    own = [outcome[1:] for outcome in outcomes if outcome[0] == name]
    for labels in LABELS:
        yield _share([quiet for count, kind, quiet in own if (count, kind) == (labels, EVENT)])
    yield _share([quiet for count, kind, quiet in own if count == LABELS[-1] and kind not in {EVENT, OTHER}])
    yield _share([quiet for count, kind, quiet in own if (count, kind) == (LABELS[-1], OTHER)])


def _share(quiet: Sequence[bool]) -> str:
    return f"{np.mean(quiet):.0%} of {len(quiet)}" if quiet else "none"


def fridge(rng: np.random.Generator) -> Site:
    """Air that a defrost warms for half an hour, every eight hours; readings every five minutes."""
    n = 288 * 56
    rows = np.arange(n)
    cycle = np.sin(2 * np.pi * rows / 14 + wandering(n, 40, rng))
    door = 0.3 + 0.3 * np.sin(2 * np.pi * rows / 288 - 1.5) + 0.1 * rng.standard_normal(n)
    channels = {
        "air": 4 + 0.5 * cycle + 0.25 * rng.standard_normal(n),
        "door": np.clip(door, 0, None),
        "power": 80 + 6 * wandering(n, 20, rng),
    }
    faults: Faults = {
        "larger": lambda site, row: site.change("air", row, 6, 15, is_hill=True),
        "longer": lambda site, row: site.change("air", row, 36, 5),
        "opposite": lambda site, row: site.change("air", row, 6, -6, is_hill=True),
    }
    site = Site(5, 28, timedelta(minutes=30), channels, 6, faults)
    for day in range(29, site.days):
        for hour in (2, 10, 18):
            row = site.row(day, hour) + int(rng.integers(-1, 2))
            rows = site.change("air", row, int(rng.integers(6, 8)), 6 * rng.uniform(0.9, 1.1), is_hill=True)
            site.kinds[row : row + rows] = EVENT
    return site


def server(rng: np.random.Generator) -> Site:
    """Traffic of a server with a backup of forty minutes, every night at two; readings every ten minutes."""
    n = 144 * 70
    day = np.clip(np.sin(2 * np.pi * (np.arange(n) / 144 - 0.3)), 0, None)
    channels = {
        "traffic": 40 + 30 * day + 4 * wandering(n, 3, rng),
        "cpu": 25 + 20 * day + 3 * wandering(n, 3, rng),
        "latency": 12 + 2 * day + 0.8 * rng.standard_normal(n),
    }
    faults: Faults = {
        "larger": lambda site, row: site.change("traffic", row, 5, 160),
        "longer": lambda site, row: site.change("traffic", row, 30, 55),
        "opposite": lambda site, row: site.change("traffic", row, 6, -38),
    }
    site = Site(10, 28, timedelta(minutes=30), channels, 13, faults)
    for day_number in range(29, site.days):
        row = site.row(day_number, 2) + int(rng.integers(0, 2))
        rows = site.change("traffic", row, int(rng.integers(4, 6)), 60 * rng.uniform(0.85, 1.15))
        site.kinds[row : row + rows] = EVENT
    return site


def dairy(rng: np.random.Generator) -> Site:
    """A line that is cleaned for two hours every Monday at six, which three channels show; every ten minutes."""
    n = 144 * 126
    load = wandering(n, 6, rng) + np.sin(2 * np.pi * np.arange(n) / 144)
    channels = {
        "flow": 50 + 4 * load + rng.standard_normal(n),
        "conductivity": 300 + 10 * load + 6 * rng.standard_normal(n),
        "temperature": 40 + 1.5 * load + 0.6 * rng.standard_normal(n),
        "pressure": 3 + 0.2 * load + 0.06 * rng.standard_normal(n),
    }
    faults: Faults = {
        "larger": lambda site, row: site.change("flow", row, 12, 70),
        "one channel": lambda site, row: site.change("conductivity", row, 12, 180),
        "opposite": lambda site, row: site.change("flow", row, 12, -25),
    }
    site = Site(10, 42, timedelta(hours=1), channels, 15, faults)
    for day in range(49, site.days, 7):
        row, rows = site.row(day, 6) + int(rng.integers(-1, 3)), int(rng.integers(11, 14))
        for channel, size in (("flow", 25), ("conductivity", 180), ("temperature", -8)):
            site.change(channel, row, rows, size * rng.uniform(0.85, 1.15))
        site.kinds[row : row + rows] = EVENT
    return site


def boiler_house(rng: np.random.Generator) -> Site:
    """A boiler that is blown down at each change of shifts, for one or two readings of ten minutes."""
    n = 144 * 63
    load = wandering(n, 6, rng) + np.sin(2 * np.pi * np.arange(n) / 144)
    channels = {
        "level": 60 + 3 * load + rng.standard_normal(n),
        "pressure": 8 + 0.3 * load + 0.1 * rng.standard_normal(n),
        "feed": 20 + 2 * load + 0.8 * rng.standard_normal(n),
    }
    faults: Faults = {
        "larger": lambda site, row: site.change("level", row, 2, -50),
        "longer": lambda site, row: site.change("level", row, 18, -18),
        "opposite": lambda site, row: site.change("level", row, 2, 20),
    }
    site = Site(10, 28, timedelta(minutes=30), channels, 10, faults)
    for day in range(29, site.days):
        for hour in (6, 14, 22):
            row = site.row(day, hour)
            rows = site.change("level", row, int(rng.integers(1, 3)), -20 * rng.uniform(0.9, 1.1))
            site.kinds[row : row + rows] = EVENT
    return site


SITES: Mapping[str, Callable[[np.random.Generator], Site]] = {
    "fridge, defrost three times a day": fridge,
    "server, backup every night": server,
    "dairy, cleaning every Monday": dairy,
    "boiler, blowdown three times a day": boiler_house,
}


if __name__ == "__main__":
    sys.exit(main())
