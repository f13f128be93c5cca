"""Simulated machines with a fault of the spread or the rhythm of a channel, on which no rule was chosen.

They are as those of `benchmarks.further_machines`: the level of the channel stays what it was, or nearly so.
"""

from collections.abc import Callable, Mapping

import numpy as np

from benchmarks.further_machines import Span
from benchmarks.machines import Machine, wandering
from benchmarks.series.data import Vector
from benchmarks.series.peers import smooth


def _worn_bearing(rng: np.random.Generator) -> Machine:
    """A vibration that follows the speed, every minute; its noise doubles within an hour, for three hours."""
    span = Span(1, 4, (5, 5), 180)
    speed = wandering(span.n, 60, rng)
    size = np.ones(span.n)
    size[span.fault] += np.minimum(1, np.arange(span.rows) / 60)
    vibration = 3 + 0.3 * speed + 0.25 * size * rng.standard_normal(span.n)
    return span.machine(
        {"vibration": vibration, "speed": 1480 + 15 * speed + 4 * rng.standard_normal(span.n)}, "vibration"
    )


def _hunting_valve(rng: np.random.Generator) -> Machine:
    """A valve that follows its load, every two minutes; it hunts within the usual range for three hours."""
    span = Span(2, 6, (7, 10), 90)
    load, wave = wandering(span.n, 40, rng), 2 * np.pi * np.arange(span.rows) / 6
    valve = 45 + 8 * load + rng.standard_normal(span.n)
    valve[span.fault] += 3 * np.sin(wave)
    return span.machine({"valve": valve, "flow": 80 + 14 * load + 2 * rng.standard_normal(span.n)}, "valve")


def _damped_sensor(rng: np.random.Generator) -> Machine:
    """A pressure, every minute; for four hours its sensor answers through a filter of four minutes."""
    span = Span(1, 4, (5, 2), 240)
    load = wandering(span.n, 40, rng)
    pressure = 6 + 0.4 * load + 0.15 * rng.standard_normal(span.n)
    pressure[span.fault] = smooth(pressure, 4)[span.fault]
    return span.machine({"pressure": pressure, "power": 55 + 6 * load + rng.standard_normal(span.n)}, "pressure")


def _converter_noise(rng: np.random.Generator) -> Machine:
    """A temperature with one decimal, every five minutes; its converter adds noise of .25 for six hours."""
    span = Span(5, 14, (16, 7), 72)
    temperature = 60 + 2 * wandering(span.n, 30, rng) + 0.08 * rng.standard_normal(span.n)
    temperature[span.fault] += 0.25 * rng.standard_normal(span.rows)
    return span.machine({"temperature": np.round(temperature, 1)}, "temperature")


def _mains_hum(rng: np.random.Generator) -> Machine:
    """A strain gauge, every minute; a hum of twice its noise, with a period of 2.7 records, for two hours."""
    span = Span(1, 4, (5, 8), 120)
    strain = 200 + 12 * wandering(span.n, 80, rng) + 1.5 * rng.standard_normal(span.n)
    strain[span.fault] += 4.2 * np.sin(2 * np.pi * np.arange(span.rows) / 2.7)
    return span.machine({"strain": strain}, "strain")


def _dithered_flat(rng: np.random.Generator) -> Machine:
    """A level that wanders, every two minutes; it keeps one value with a third of its noise, for four hours."""
    span = Span(2, 6, (7, 6), 120)
    level = 3 + 0.5 * wandering(span.n, 20, rng) + 0.12 * rng.standard_normal(span.n)
    level[span.fault] = level[span.fault.start] + 0.04 * rng.standard_normal(span.rows)
    return span.machine({"level": level, "inflow": 40 + 5 * rng.standard_normal(span.n)}, "level")


def _cycle(span: Span, period: Vector, rng: np.random.Generator) -> Machine:
    """Return a chiller that swings, with a period (n,) in records."""
    phase = 2 * np.pi * np.cumsum(1 / (period * (1 + 0.04 * wandering(span.n, 10, rng))))
    temperature = 7 + 1.2 * np.sin(phase) + 0.12 * rng.standard_normal(span.n)
    current = 22 + 6 * np.cos(phase) + 0.6 * rng.standard_normal(span.n)
    return span.machine({"temperature": temperature, "current": current}, "temperature", "current")


def _slower_cycle(rng: np.random.Generator) -> Machine:
    """A chiller that swings within 20 records, every minute; for four hours within 34."""
    span = Span(1, 4, (5, 3), 240)
    period = np.full(span.n, 20.0)
    period[span.fault] = 34
    return _cycle(span, period, rng)


def _doubled_cycle(rng: np.random.Generator) -> Machine:
    """The same chiller; for three hours it swings within 11 records."""
    span = Span(1, 4, (5, 9), 180)
    period = np.full(span.n, 20.0)
    period[span.fault] = 11
    return _cycle(span, period, rng)


def _missing_pulses(rng: np.random.Generator) -> Machine:
    """A dosing pump that gives a pulse every ten records, every minute; for three hours every other one is missing."""
    span = Span(1, 4, (5, 4), 180)
    lengths = rng.integers(9, 12, span.n // 9)
    starts = np.cumsum(lengths)[np.cumsum(lengths) < span.n]
    is_missing = (span.fault.start <= starts) & (starts < span.fault.stop) & (np.arange(len(starts)) % 2 == 0)
    pulse = np.zeros(span.n)
    pulse[starts[~is_missing]] = 1
    flow = 10 * smooth(pulse, 1) + 0.15 * rng.standard_normal(span.n)
    return span.machine({"flow": flow, "pressure": 2 + 0.1 * rng.standard_normal(span.n)}, "flow")


def _growing_oscillation(rng: np.random.Generator) -> Machine:
    """A speed that wanders, every minute; an oscillation grows within three hours to a third of the usual range."""
    span = Span(1, 4, (5, 6), 180)
    load = wandering(span.n, 50, rng)
    speed = 1500 + 20 * load + 4 * rng.standard_normal(span.n)
    speed[span.fault] += np.linspace(0, 20, span.rows) * np.sin(2 * np.pi * np.arange(span.rows) / 9)
    return span.machine({"speed": speed, "power": 90 + 6 * load + 1.5 * rng.standard_normal(span.n)}, "speed")


def _leaking_tank(rng: np.random.Generator) -> Machine:
    """A tank that is filled when it is low, every five minutes; a leak empties it half as fast again for a day."""
    span = Span(5, 14, (16, 5), 288)
    use = 0.02 * (1 + 0.15 * wandering(span.n, 40, rng))
    use[span.fault] *= 1.5
    level, height, fills = np.zeros(span.n), 1.5, False
    for row in range(span.n):
        height += 0.1 * fills - use[row]
        fills = height < 1 or (fills and height <= 2)
        level[row] = height
    return span.machine({"level": level + 0.01 * rng.standard_normal(span.n)}, "level")


def _collapsed_vibration(rng: np.random.Generator) -> Machine:
    """A vibration that follows the day, every ten minutes; its noise is a third for eight hours."""
    span = Span(10, 28, (31, 8), 48)
    course = 4 + np.sin(2 * np.pi * (span.hour - 9) / 24)
    size = np.ones(span.n)
    size[span.fault] = 0.33
    vibration = course + 0.4 * size * rng.standard_normal(span.n)
    return span.machine(
        {"vibration": vibration, "oil": 60 + 5 * course + rng.standard_normal(span.n)}, "vibration", season_days=1
    )


RHYTHM_CASES: Mapping[str, Callable[[np.random.Generator], Machine]] = {
    "worn_bearing": _worn_bearing,
    "hunting_valve": _hunting_valve,
    "damped_sensor": _damped_sensor,
    "converter_noise": _converter_noise,
    "mains_hum": _mains_hum,
    "dithered_flat": _dithered_flat,
    "slower_cycle": _slower_cycle,
    "doubled_cycle": _doubled_cycle,
    "missing_pulses": _missing_pulses,
    "growing_oscillation": _growing_oscillation,
    "leaking_tank": _leaking_tank,
    "collapsed_vibration": _collapsed_vibration,
}
