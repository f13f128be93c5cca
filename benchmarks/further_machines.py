"""Further simulated machines, mostly with weak faults that last, on which no threshold was chosen.

They are as those of `benchmarks.machines`: records of one entity from a Monday at midnight, with one fault each.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from benchmarks.machines import Fault, Machine, wandering
from benchmarks.series.data import Vector
from benchmarks.series.peers import smooth


@dataclass(frozen=True)
class Span:
    """The times of a machine's records, and of its fault.

    Attributes:
        minutes: between two records.
        trained: days of training.
        start: day and hour at which the fault starts.
        rows: records of the fault.
    """

    minutes: int
    trained: int
    start: tuple[int, float]
    rows: int

    @property
    def n(self) -> int:
        """Number of records, up to three days after the fault."""
        return self._row(self.start) + self.rows + self._row((3, 0))

    @property
    def hour(self) -> Vector:
        """The hour of the day of each record, (n,)."""
        return np.asarray(np.arange(self.n) * self.minutes % 1440 / 60)

    @property
    def day(self) -> np.ndarray:
        """The day of the week of each record, (n,)."""
        return np.arange(self.n) * self.minutes // 1440 % 7

    @property
    def fault(self) -> slice:
        """The rows of the fault."""
        start = self._row(self.start)
        return slice(start, start + self.rows)

    def machine(self, channels: Mapping[str, Vector], *faulty: str, season_days: int | None = None) -> Machine:
        """Return the machine; `season_days` are those after which its course repeats."""
        season = None if season_days is None else self._row((season_days, 0))
        fault = Fault(self.fault.start, self.fault.stop, faulty)
        return Machine(channels, self.minutes, self._row((self.trained, 0)), season, (fault,))

    def _row(self, time: tuple[int, float]) -> int:
        return round((time[0] * 1440 + time[1] * 60) / self.minutes)


def _fast_compressor(rng: np.random.Generator) -> Machine:
    """Pressure that saws between 6 and 8 bar, every two minutes; a leak makes it load more than twice as often."""
    span = Span(2, 6, (7, 9), 240)
    use = 0.05 * (1 + 0.15 * wandering(span.n, 60, rng))
    use[span.fault] *= 2.6
    pressure, current, level, loads = np.zeros(span.n), np.zeros(span.n), 7.0, False
    for row in range(span.n):
        level += 0.22 * loads - use[row]
        loads = level < 6 or (loads and level <= 8)
        pressure[row], current[row] = level, 32 if loads else 9
    pressure += 0.03 * rng.standard_normal(span.n)
    return span.machine(
        {"pressure": pressure, "current": current + 0.6 * rng.standard_normal(span.n)}, "pressure", "current"
    )


def _cold_store(rng: np.random.Generator) -> Machine:
    """A store that defrosts every six hours, every five minutes; the defrosts of a day are missing."""
    span = Span(5, 21, (22, 6), 287)
    heats = (span.hour % 6 < 0.5).astype(float)
    heats[span.fault] = 0
    temperature = -21 + smooth(11 * heats, 3) + 0.4 * np.sin(2 * np.pi * (span.hour - 15) / 24)
    power = 2.2 - 1.5 * heats + 0.5 * smooth(heats, 8)
    noise = rng.standard_normal((2, span.n)) * [[0.15], [0.1]]
    channels = {"temperature": temperature + noise[0], "power": power + noise[1]}
    return span.machine(channels, "temperature", "power", season_days=1)


def _heat_pump(rng: np.random.Generator) -> Machine:
    """A heating curve, every ten minutes; the supply sinks by 4 K within a day, and stays there for another."""
    span = Span(10, 28, (32, 0), 288)
    outside = 4 + 4 * np.cos(2 * np.pi * (span.hour - 15) / 24) + 3 * wandering(span.n, 144, rng)
    supply = 38 - 0.8 * outside + 0.4 * rng.standard_normal(span.n)
    supply[span.fault] -= 4 * np.minimum(1, np.arange(span.rows) / 144)
    returned = 0.8 * supply + 6 + 0.3 * rng.standard_normal(span.n)
    return span.machine({"supply": supply, "return": returned, "outside": outside}, "supply", "return", season_days=1)


def _frozen_conveyor(rng: np.random.Generator) -> Machine:
    """A speed that wanders with the load, every minute; it stays near one value with little noise."""
    span = Span(1, 4, (5, 7), 120)
    load = wandering(span.n, 25, rng)
    speed = 1.5 + 0.12 * load + 0.02 * rng.standard_normal(span.n)
    speed[span.fault] = speed[span.fault.start] + 0.006 * rng.standard_normal(span.rows)
    return span.machine({"speed": speed, "current": 14 + 2 * load + 0.4 * rng.standard_normal(span.n)}, "speed")


def _leaking_memory(rng: np.random.Generator) -> Machine:
    """A server with bursts of load, every five minutes; its memory grows for twelve hours, up to a restart."""
    span = Span(5, 14, (16, 8), 144)
    bursts = 4 * wandering(span.n, 10, rng) + 3 * rng.exponential(1, span.n)
    cpu = np.clip(25 + 15 * np.sin(2 * np.pi * (span.hour - 9) / 24) + bursts, 1, 100)
    memory = 62 + 1.2 * wandering(span.n, 100, rng) + 0.1 * (cpu - 25) + 0.4 * rng.standard_normal(span.n)
    memory[span.fault] += np.linspace(0, 18, span.rows)
    return span.machine({"cpu": cpu, "memory": memory}, "memory", season_days=1)


def _late_orders(rng: np.random.Generator) -> Machine:
    """Orders an hour, with a course of the week; those of a day are six hours late."""
    span = Span(60, 56, (58, 0), 24)
    rate = 4 + 60 * np.exp(-np.square((span.hour - 11) / 2.5)) + 75 * np.exp(-np.square((span.hour - 20) / 2.2))
    rate *= np.where(span.day < 5, 1, 1.4)
    rate[span.fault] = np.roll(rate[span.fault], 6)
    orders = rng.poisson(rate).astype(float)
    value = 18 * orders + 60 * rng.standard_normal(span.n)
    return span.machine({"orders": orders, "value": value}, "orders", "value", season_days=7)


def _lost_string(rng: np.random.Generator) -> Machine:
    """A solar inverter below clouds, every quarter of an hour; one of three strings fails for two days."""
    span = Span(15, 35, (37, 6.25), 143)
    sun = np.clip(np.sin(np.pi * (span.hour - 6) / 12), 0, None)
    days = np.repeat(rng.uniform(0.5, 1, span.n // 96 + 1), 96)[: span.n]
    irradiance = 900 * sun * days * np.clip(0.75 + 0.2 * wandering(span.n, 12, rng), 0.15, 1)
    power = 0.009 * irradiance * (1 + 0.02 * rng.standard_normal(span.n))
    power[span.fault] *= 0.67
    noise = 2 * np.abs(rng.standard_normal(span.n))
    return span.machine({"irradiance": irradiance + noise, "power": power}, "power", season_days=1)


def _noisy_flow(rng: np.random.Generator) -> Machine:
    """A flow that wanders, every minute; its noise is two and a half times as large."""
    span = Span(1, 4, (5, 3), 120)
    load = wandering(span.n, 90, rng)
    flow = 120 + 6 * load + 1.5 * rng.standard_normal(span.n)
    flow[span.fault] += 3.4 * rng.standard_normal(span.rows)
    return span.machine({"flow": flow, "pressure": 3.2 + 0.1 * load + 0.03 * rng.standard_normal(span.n)}, "flow")


def _late_air(rng: np.random.Generator) -> Machine:
    """CO2 of a class room that follows the lessons, every ten minutes; on one day it is two hours late."""
    span = Span(10, 35, (37, 8), 42)
    lessons = (span.hour >= 8) & (span.hour < 13) & (span.day < 5)
    people = lessons * (1 + 0.15 * wandering(span.n, 6, rng))
    co2 = 430 + smooth(700 * people, 4) + 12 * rng.standard_normal(span.n)
    co2[span.fault] = co2[span.fault.start - 12 : span.fault.stop - 12].copy()
    temperature = 20.5 + 2 * smooth(people, 10) + 0.15 * rng.standard_normal(span.n)
    return span.machine({"co2": co2, "temperature": temperature}, "co2", season_days=7)


def _low_swing(rng: np.random.Generator) -> Machine:
    """A pit whose level swings within 40 minutes, every five minutes; for six hours it swings by half."""
    span = Span(5, 10, (12, 5), 72)
    phase = 2 * np.pi * np.cumsum(1 / (8 + 0.5 * wandering(span.n, 12, rng)))
    size = np.ones(span.n)
    size[span.fault] = 0.45
    level = 1.5 + 0.6 * size * np.sin(phase) + 0.04 * rng.standard_normal(span.n)
    outflow = 20 + 6 * size * np.cos(phase) + rng.standard_normal(span.n)
    return span.machine({"level": level, "outflow": outflow}, "level", "outflow")


def _hunting_furnace(rng: np.random.Generator) -> Machine:
    """A furnace at its setpoint, every two minutes; its controller hunts within the usual range for three hours."""
    span = Span(2, 5, (6, 10), 90)
    heat, wave = 2.2 * wandering(span.n, 40, rng), 2 * np.pi * np.arange(span.rows) / 12
    temperature = 850 + heat + 0.4 * rng.standard_normal(span.n)
    gas = 30 + 1.2 * heat + 0.6 * rng.standard_normal(span.n)
    temperature[span.fault] += 2.5 * np.sin(wave)
    gas[span.fault] += 2 * np.cos(wave)
    return span.machine({"temperature": temperature, "gas": gas}, "temperature", "gas")


def _slow_meter(rng: np.random.Generator) -> Machine:
    """A gas meter that only grows, every hour; it counts two fifths of what is used."""
    span = Span(60, 56, (61, 8), 72)
    outside = 5 + 4 * np.cos(2 * np.pi * (span.hour - 15) / 24) + 3 * wandering(span.n, 72, rng)
    morning = 2 * np.exp(-np.square((span.hour - 7) / 1.5))
    use = np.clip(9 - 0.45 * outside + morning + 0.5 * rng.standard_normal(span.n), 0.2, None)
    use[span.fault] *= 0.4
    return span.machine({"gas": 1000 + np.cumsum(use), "outside": outside}, "gas")


def _loose_sensor(rng: np.random.Generator) -> Machine:
    """A vibration, every two minutes; it is two fifths of its size for four hours."""
    span = Span(2, 6, (7, 3), 120)
    load = wandering(span.n, 30, rng)
    vibration = 4 + 0.5 * rng.standard_normal(span.n) + 0.2 * load
    vibration[span.fault] = 4 + 0.4 * (vibration[span.fault] - 4)
    return span.machine(
        {"vibration": vibration, "speed": 1450 + 8 * load + 4 * rng.standard_normal(span.n)}, "vibration"
    )


def _failing_pump(rng: np.random.Generator) -> Machine:
    """A pump without a daily course, every ten minutes; its pressure is three deviations too high for eight hours."""
    span = Span(10, 28, (31, 11), 48)
    load = wandering(span.n, 60, rng)
    pressure = 6 + 0.3 * load + 0.05 * rng.standard_t(4, span.n)
    pressure[span.fault] += 1
    return span.machine({"pressure": pressure, "flow": 100 + 8 * load + 1.5 * rng.standard_t(4, span.n)}, "pressure")


def _leaking_valve(rng: np.random.Generator) -> Machine:
    """A flow behind a valve, every ten minutes; it flows although the valve is shut."""
    span = Span(10, 28, (31, 4), 60)
    lengths = np.where(np.arange(span.n // 9) % 2, rng.integers(6, 20, span.n // 9), rng.integers(12, 40, span.n // 9))
    is_open = (np.repeat(np.arange(len(lengths)) % 2, lengths)[: span.n]).astype(float)
    flow = is_open * (25 + rng.standard_normal(span.n))
    is_open[span.fault] = 0
    flow[span.fault] = 9 + 0.6 * rng.standard_normal(span.rows)
    return span.machine({"valve": is_open, "flow": flow}, "flow", "valve")


def _alternating_shifts(rng: np.random.Generator) -> Machine:
    """A saw that works early in one week and late in the next, every quarter of an hour; an early shift is missing."""
    span = Span(15, 70, (72, 6), 32)
    start = np.where(np.arange(span.n) // (96 * 7) % 2, 14, 6)
    is_on = ((span.hour >= start) & (span.hour < start + 8) & (span.day < 5)).astype(float)
    is_on[span.fault] = 0
    power = 8 + 60 * is_on * (1 + 0.08 * wandering(span.n, 5, rng)) + 2 * rng.standard_normal(span.n)
    dust = 1 + 12 * is_on + 0.8 * rng.standard_normal(span.n)
    return span.machine({"power": power, "dust": dust}, "power", "dust", season_days=14)


def _pool_in_spring(rng: np.random.Generator) -> Machine:
    """The filter of an open-air pool, every hour, busier in summer; on a day of its second spring it stands still."""
    span = Span(60, 378, (395, 9), 10)
    season = -np.cos(2 * np.pi * (np.arange(span.n) / 24 + 35) / 365)
    visitors = np.clip(np.minimum(span.hour - 8, 20 - span.hour), 0, 1) * np.where(span.day < 5, 0.7, 1)
    visitors[span.fault] = 0
    flow = 20 + (60 + 35 * season) * visitors * (1 + 0.06 * wandering(span.n, 3, rng))
    flow += 2 * rng.standard_normal(span.n)
    water = 18 + 9 * season + 1.5 * visitors + 0.8 * wandering(span.n, 40, rng)
    return span.machine({"flow": flow, "water": water}, "flow", season_days=7)


def _pieces_of_the_day(rng: np.random.Generator) -> Machine:
    """A counter of pieces that starts at zero each day, every quarter of an hour; it stops for five hours."""
    span = Span(15, 42, (45, 9), 20)
    pieces = rng.poisson(25, span.n) * ((span.hour >= 6) & (span.hour < 22))
    pieces[span.fault] = 0
    of_day = np.concatenate([np.cumsum(day) for day in np.split(pieces, np.arange(96, span.n, 96))])
    return span.machine({"pieces": of_day.astype(float), "oil": 60 + rng.standard_normal(span.n)}, "pieces")


FURTHER_CASES: Mapping[str, Callable[[np.random.Generator], Machine]] = {
    "fast_compressor": _fast_compressor,
    "cold_store": _cold_store,
    "heat_pump": _heat_pump,
    "frozen_conveyor": _frozen_conveyor,
    "leaking_memory": _leaking_memory,
    "late_orders": _late_orders,
    "lost_string": _lost_string,
    "noisy_flow": _noisy_flow,
    "late_air": _late_air,
    "low_swing": _low_swing,
    "hunting_furnace": _hunting_furnace,
    "slow_meter": _slow_meter,
    "loose_sensor": _loose_sensor,
    "failing_pump": _failing_pump,
    "leaking_valve": _leaking_valve,
    "alternating_shifts": _alternating_shifts,
    "pool_in_spring": _pool_in_spring,
    "pieces_of_the_day": _pieces_of_the_day,
}
