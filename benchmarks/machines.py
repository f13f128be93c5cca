"""Simulated machines with faults that a person would see: records of one entity, normal up to the end of training.

Each case is named after its fault. All times of day, weekdays and shifts are positions: the first record is a Monday
at midnight.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.series.data import Matrix, Vector
from benchmarks.series.peers import smooth

SETTLING_RECORDS = 300  # for which a level that stays may be flagged
NO_READING = -999.0  # a sensor's code for "no value"


@dataclass(frozen=True)
class Fault:
    """Records `start` to `end` (exclusive) of a fault, and the channels behind it."""

    start: int
    end: int
    channels: tuple[str, ...]


@dataclass(frozen=True)
class Machine:
    """The records of one machine.

    Attributes:
        channels: the values (n,) of each channel.
        minutes: between two records.
        trained: number of records, all normal, to train with.
        season: number of records after which the machine's course repeats; None if it does not.
        faults: in order.
        pauses: whether it is off for single records now and then, which a person knows.
    """

    channels: Mapping[str, Vector]
    minutes: int
    trained: int
    season: int | None = None
    faults: tuple[Fault, ...] = ()
    pauses: bool = False

    @property
    def values(self) -> Matrix:
        """The channels, (n, c)."""
        return np.column_stack(list(self.channels.values()))

    @property
    def per_day(self) -> int:
        """Number of records of a day."""
        return 24 * 60 // self.minutes

    def deviation(self, name: str) -> float:
        """Return the standard deviation of a channel in training."""
        return float(self.channels[name][: self.trained].std())

    def added(self, name: str, start: int, end: int, deviations: float) -> "Machine":
        """Return the machine with a channel that is off by some standard deviations, as one more fault."""
        values = self.channels[name].copy()
        values[start:end] += deviations * self.deviation(name)
        return self.with_fault(Fault(start, end, (name,)), {name: values})

    def with_fault(self, fault: Fault, channels: Mapping[str, Vector]) -> "Machine":
        """Return the machine with changed channels and one more fault."""
        return replace(self, channels={**self.channels, **channels}, faults=(*self.faults, fault))


def boiler(rng: np.random.Generator, days: int = 38) -> Machine:
    """Three sensors that follow the time of day and a wandering load; readings every ten minutes, 28 days trained."""
    n = 144 * days
    load = np.sin(2 * np.pi * np.arange(n) / 144 - 1) + 0.5 * wandering(n, 6, rng)
    channels = {
        "temperature": 70 + 6 * load + 0.6 * rng.standard_normal(n),
        "pressure": 4 + 0.5 * load + 0.07 * rng.standard_normal(n),
        "current": 16 + 1.5 * load + 0.8 * rng.standard_normal(n),
    }
    return Machine(channels, 10, 144 * 28, 144)


def room(rng: np.random.Generator) -> Machine:
    """Hourly means of a room; 120 days trained."""
    n = 24 * 150
    wave = np.cos(2 * np.pi * np.arange(n) / 24)
    channels = {
        "air": 21 + 1.2 * wave + 0.12 * rng.standard_normal(n),
        "humidity": 60 - 5 * wave + rng.standard_normal(n),
    }
    return Machine(channels, 60, 24 * 120)


def shop(rng: np.random.Generator) -> Machine:
    """Daily totals with a quiet weekend; 350 days trained."""
    usual = np.where(np.arange(400) % 7 < 5, 1.0, 0.55)
    channels = {
        "sales": 1200 * usual * (1 + 0.06 * rng.standard_normal(400)),
        "refunds": 50 * usual * (1 + 0.1 * rng.standard_normal(400)),
    }
    return Machine(channels, 24 * 60, 350, 7)


def office(rng: np.random.Generator) -> Machine:
    """Quarter-hour means that are high on working days from seven to nineteen; eight weeks trained."""
    position = np.arange(96 * 7 * 11)
    day, hour = position // 96 % 7, position % 96 / 4
    share = np.clip(np.minimum(hour - 7, 19 - hour) / 1.5, 0, 1) * np.where(day < 5, 1, 0.04)
    people = share * (1 + 0.05 * wandering(len(position), 4, rng))
    channels = {
        "visits": 150 + 1500 * people + 20 * rng.standard_normal(len(position)),
        "power": 10 + 35 * share + 3 * (people - share) + 1.2 * rng.standard_normal(len(position)),
    }
    return Machine(channels, 15, 96 * 7 * 8, 96 * 7)


def saw(rng: np.random.Generator) -> Machine:
    """A machine of two shifts from Monday to Saturday, zero if it is off; readings every ten minutes, six weeks."""
    position = np.arange(144 * 7 * 8)
    hour, day = position % 144 / 6, position // 144 % 7
    is_on = (hour >= 6) & (hour < 22) & (day < 6) & (rng.random(len(position)) > 0.04)
    channels = {
        "speed": is_on * (50 + 2.5 * rng.standard_normal(len(position))),
        "load": is_on * (9 + 0.7 * rng.standard_normal(len(position))),
    }
    return Machine(channels, 10, 144 * 7 * 6, 144 * 7, pauses=True)


def meter(rng: np.random.Generator) -> Machine:
    """An energy meter that only grows, and a gauge; readings every quarter of an hour, six weeks trained."""
    n = 96 * 7 * 8
    power = np.clip(18 + 8 * np.cos(2 * np.pi * np.arange(n) / 96) + 2 * rng.standard_normal(n), 1, None)
    return Machine(
        {"energy": 40_000 + np.cumsum(power) / 4, "gauge": 3 + 0.08 * rng.standard_normal(n)}, 15, 96 * 7 * 6
    )


def wandering(n: int, half_life: int, rng: np.random.Generator) -> Vector:
    """Return noise (n,) of standard deviation one that remembers its past."""
    noise = smooth(rng.standard_normal(n), half_life)
    return np.asarray(noise / noise.std())


def _glitch(rng: np.random.Generator) -> Machine:
    machine = boiler(rng)
    return machine.added("temperature", machine.trained + 210, machine.trained + 211, 12)


def _every_20th(rng: np.random.Generator) -> Machine:
    machine = boiler(rng)
    for row in range(machine.trained + 150, machine.trained + 430, 20):
        machine = _replaced(machine, "pressure", row, row + 1, NO_READING)
    return machine


def _dropout(rng: np.random.Generator) -> Machine:
    machine = room(rng)
    return _replaced(machine, "air", machine.trained + 310, machine.trained + 311, 0.0)


def _glitch_daily(rng: np.random.Generator) -> Machine:
    machine = shop(rng)
    both = {name: values.copy() for name, values in machine.channels.items()}
    for values in both.values():
        values[366] *= 3
    machine = machine.with_fault(Fault(366, 367, tuple(both)), both)
    sales = machine.channels["sales"].copy()
    sales[379:384] *= 0.2
    return machine.with_fault(Fault(379, 384, ("sales",)), {"sales": sales})


def _replaced(machine: Machine, name: str, start: int, end: int, value: float) -> Machine:
    values = machine.channels[name].copy()
    values[start:end] = value
    return machine.with_fault(Fault(start, end, (name,)), {name: values})


def _stuck(names: Sequence[str]) -> Callable[[np.random.Generator], Machine]:
    def case(rng: np.random.Generator) -> Machine:
        machine = boiler(rng)
        start = machine.trained + 320
        channels = {name: machine.channels[name].copy() for name in names}
        for values in channels.values():
            values[start : start + 54] = values[start]
        return machine.with_fault(Fault(start, start + 54, tuple(names)), channels)

    return case


def two_faults(
    machine: Machine, first: tuple[float, int], pause_hours: int, second: tuple[str, float, int] | None
) -> Machine:
    """Return a boiler with a fault of its temperature, and a second fault after a pause.

    Args:
        machine: the boiler.
        first: standard deviations and hours of the first fault; 0 hours for none.
        pause_hours: between the faults.
        second: channel, standard deviations and hours of the second fault; None for none.
    """
    start = machine.trained + 150
    end = start + 6 * first[1]
    if first[1]:
        machine = machine.added("temperature", start, end, first[0])
    if second is None:
        return machine
    again = end + 6 * pause_hours
    return machine.added(second[0], again, again + 6 * second[2], second[1])


def _shift_for_good(rng: np.random.Generator) -> Machine:
    machine = boiler(rng)
    start, later = machine.trained + 150, machine.trained + 144 * 7
    values = machine.channels["temperature"].copy()
    values[start:] += 5 * machine.deviation("temperature")
    machine = machine.with_fault(Fault(start, start + SETTLING_RECORDS, ("temperature",)), {"temperature": values})
    return machine.added("current", later, later + 18, 8)


def _other_course(machine: Machine, start: tuple[int, float], hours: float, source: tuple[int, float]) -> Machine:
    """Return the machine with the course of another time; times are days and hours since the end of training."""
    first, origin = (machine.trained + round(machine.per_day * (day + hour / 24)) for day, hour in (start, source))
    size = round(machine.per_day * hours / 24)
    channels = {name: values.copy() for name, values in machine.channels.items()}
    for values in channels.values():
        values[first : first + size] = values[origin : origin + size]
    return machine.with_fault(Fault(first, first + size, tuple(channels)), channels)


def _off(machine: Machine, start: tuple[int, float], hours: float) -> Machine:
    first = machine.trained + round(machine.per_day * (start[0] + start[1] / 24))
    size = round(machine.per_day * hours / 24)
    channels = {name: values.copy() for name, values in machine.channels.items()}
    for values in channels.values():
        values[first : first + size] = 0.0
    return machine.with_fault(Fault(first, first + size, tuple(channels)), channels)


def _counter(kind: str) -> Callable[[np.random.Generator], Machine]:
    def case(rng: np.random.Generator) -> Machine:
        machine = meter(rng)
        start, size = machine.trained + 96 * 5, 72
        growth = np.diff(machine.channels["energy"], prepend=machine.channels["energy"][0])
        if kind == "reset":
            energy = machine.channels["energy"].copy()
            energy[start:] -= energy[start]
            return replace(machine, channels={**machine.channels, "energy": energy})  # a reset is no fault
        growth[start : start + size] *= 3 if kind == "triple" else 0
        energy = machine.channels["energy"][0] + np.cumsum(growth)
        return machine.with_fault(Fault(start, start + size, ("energy",)), {"energy": energy})

    return case


CASES: Mapping[str, Callable[[np.random.Generator], Machine]] = {
    "glitch": _glitch,
    "dropout": _dropout,
    "glitch_daily": _glitch_daily,
    "every_20th": _every_20th,
    "stuck": _stuck(["temperature"]),
    "stuck_all": _stuck(["temperature", "pressure", "current"]),
    "second_fault": lambda rng: two_faults(boiler(rng), (8, 9), 1, ("temperature", 4, 3)),
    "other_channel": lambda rng: two_faults(boiler(rng), (8, 3), 3, ("pressure", 3, 3)),
    "shift_for_good": _shift_for_good,
    "weekday_like_sunday": lambda rng: _other_course(office(rng), (9, 0), 24, (6, 0)),
    "late_monday": lambda rng: _other_course(office(rng), (7, 7), 7, (6, 7)),
    "saturday_work": lambda rng: _other_course(office(rng), (12, 0), 24, (11, 0)),
    "busy_night": lambda rng: _other_course(office(rng), (9, 2), 2, (8, 12)),
    "late_shift": lambda rng: _off(saw(rng), (9, 14), 8),
    "dead_day": lambda rng: _off(saw(rng), (8, 0), 24),
    "night_run": lambda rng: _other_course(saw(rng), (8, 23), 6, (7, 9)),
    "counter_triple": _counter("triple"),
    "counter_stop": _counter("stop"),
    "counter_reset": _counter("reset"),
}
