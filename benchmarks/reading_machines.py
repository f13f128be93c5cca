"""Simulated machines with readings that fail: gaps, a sensor that is stuck, a burst of wrong readings.

They are as those of `benchmarks.further_machines`.
"""

from collections.abc import Callable, Mapping

import numpy as np

from benchmarks.further_machines import Span
from benchmarks.machines import Machine, wandering


def _gappy_room(rng: np.random.Generator) -> Machine:
    """An hourly room of which one cell in twenty is missing; its CO2 reads -1 for twelve hours."""
    span = Span(60, 110, (120, 8), 12)
    wave = np.cos(2 * np.pi * (span.hour - 15) / 24)
    co2 = 500 + 80 * wave + 30 * rng.standard_normal(span.n)
    co2[span.fault] = -1
    air, humidity = 21 + 1.2 * wave + 0.15 * rng.standard_normal(span.n), 55 - 5 * wave + rng.standard_normal(span.n)
    cells = np.stack([air, humidity, co2])
    cells[rng.random(cells.shape) < 0.05] = np.nan
    return span.machine(dict(zip(("air", "humidity", "co2"), cells, strict=True)), "co2", season_days=1)


def _stuck_load(rng: np.random.Generator) -> Machine:
    """Loads of a server in percent with one decimal, every minute; they wander, and one stays for two hours."""
    span = Span(1, 5, (6, 9), 120)
    course = 0.5 * np.sin(2 * np.pi * (span.hour - 9) / 24)
    loads = [np.round(np.clip(50 + 11 * (course + wandering(span.n, 15, rng)), 0, 100), 1) for _ in range(4)]
    loads[0][span.fault] = loads[0][span.fault.start]
    return span.machine(dict(zip(("cpu", "disk", "network", "memory"), loads, strict=True)), "cpu")


def _burst_gauge(rng: np.random.Generator) -> Machine:
    """Two gauges that wander, every five minutes; three readings of one are twenty deviations too low."""
    span = Span(5, 17, (20, 7), 3)
    level = 10 + wandering(span.n, 40, rng) + 0.1 * rng.standard_normal(span.n)
    level[span.fault] -= 20
    return span.machine({"level": level, "flow": 30 + 3 * wandering(span.n, 8, rng)}, "level")


READING_CASES: Mapping[str, Callable[[np.random.Generator], Machine]] = {
    "gappy_room": _gappy_room,
    "stuck_load": _stuck_load,
    "burst_gauge": _burst_gauge,
}
