"""A simulated pump station: readings of four pumps over eight weeks, with events in the last two.

Three pumps supply a town through a water tower. Demand has a daily and a weekly cycle, a season and random variation;
the pumps share it, and at times one takes over load from the others. The other channels follow from a pump's flow by
physics: head from the system curve, speed from the affinity laws, power from head, flow and efficiency, vibration
from speed and distance to the best efficiency point, bearing temperature with a lag. A meter counts the energy. The
fourth pump is a booster that supplies a factory, and is off at night and on weekends.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
from scipy.signal import lfilter

from jobs.demo.events import (
    BOOSTER,
    EVENTS,
    MORE_LOAD,
    Event,
    Floats,
    Mask,
    Operation,
    Rows,
    inject_into_operation,
    inject_into_readings,
)

START = datetime(2026, 1, 5, tzinfo=UTC)  # a Monday
STEP = timedelta(minutes=5)
DAYS = 56
CHANNELS = ("flow_m3h", "pressure_bar", "power_kw", "vibration_mm_s", "bearing_c", "energy_kwh")

_RELATIVE_FLOW = {"pump-1": 1.0, "pump-2": 0.9, "pump-3": 1.1}
_LOST_RATE = 0.001  # of the records
_USUAL_FLOW = 180.0  # m3/h at demand 1
_BEST_SHARE = 1.1  # of the usual flow, at full speed: the best efficiency point
_BYPASS_SHARE = 0.2  # of the usual flow, back to the intake, to keep a minimal flow through the pump
_OPEN_BELOW, _CLOSE_ABOVE = 0.64, 0.70  # share of the usual flow at which the bypass valve switches
_BOOSTER_FLOW = 60.0  # m3/h
_SHIFT_HOURS = (6, 20)  # of working days, in which the booster runs
_EXTRA_LOAD = 0.12  # of its own load, for a pump that relieves the others
_METRES_PER_BAR = 10.2  # of water
_WATTS_PER_LIFT = 1000 * 9.81 / 3600  # for one m3/h and one metre

# Standard deviation of each instrument's noise, and its number of decimals.
_NOISE = {"flow_m3h": 1.2, "pressure_bar": 0.018, "power_kw": 0.25, "vibration_mm_s": 0.04, "bearing_c": 0.12}
_DECIMALS = {"flow_m3h": 1, "pressure_bar": 2, "power_kw": 1, "vibration_mm_s": 2, "bearing_c": 1, "energy_kwh": 2}


def simulate_pump_station(seed: int = 0) -> pd.DataFrame:
    """Return readings with id, read_at, pump_id, the channels, valve_open, event (null if none) and is_fault.

    There is one row per pump and time. The same seed gives the same readings.
    """
    rng = np.random.default_rng(seed)
    axis = _TimeAxis(round(timedelta(days=DAYS) / STEP))
    demand, ambient, loads = _demand(rng, axis), _ambient(rng, axis), _loads(rng, axis)
    pumps = {}
    for pump, size in _RELATIVE_FLOW.items():
        usual = _USUAL_FLOW * size
        flow = usual * demand * loads[pump] * (1 + axis.random_walk(rng, timedelta(minutes=40), 0.012))
        pumps[pump] = _readings(rng, axis, _operation(axis, usual, flow), ambient, _events_of(pump))
    booster = _operation(axis, _BOOSTER_FLOW, _BOOSTER_FLOW * (1 + axis.random_walk(rng, timedelta(hours=2), 0.03)))
    booster.is_on[:] = _is_in_shift(rng, axis)
    pumps[BOOSTER] = _readings(rng, axis, booster, ambient, _events_of(BOOSTER))
    return _as_table(rng, pumps)


def _events_of(pump: str) -> list[Event]:
    return [event for event in EVENTS if event.pump == pump]


@dataclass(frozen=True)
class _TimeAxis:
    """The time steps of a simulation, and processes along them."""

    steps: int

    @property
    def times(self) -> pd.DatetimeIndex:
        return pd.date_range(START, periods=self.steps, freq=STEP, unit="us")

    @property
    def days(self) -> Floats:
        return np.arange(self.steps, dtype=np.float64) * (STEP / timedelta(days=1))

    def rows(self, event: Event) -> Rows:
        """Return the rows of an event."""
        return np.flatnonzero(pd.Series(self.times).between(event.start, event.end))

    def lagged(self, values: Floats, lag: timedelta) -> Floats:
        """Filter values with time constant `lag` (first order, at rest at the start)."""
        keep = float(np.exp(-STEP / lag))
        filtered, _ = lfilter([1 - keep], [1, -keep], values, zi=[keep * values[0]])
        return np.asarray(filtered)

    def random_walk(self, rng: np.random.Generator, memory: timedelta, deviation: float) -> Floats:
        """Draw a mean-reverting random walk around zero with standard deviation `deviation`."""
        keep = float(np.exp(-STEP / memory))
        steps = rng.normal(0, deviation * np.sqrt(1 - keep**2), self.steps)
        return np.asarray(lfilter([1], [1, -keep], steps))


def _demand(rng: np.random.Generator, axis: _TimeAxis) -> Floats:
    """Simulate the demand of the town, 1 at a usual peak: low at night, with peaks in the morning and evening."""
    day = axis.days.astype(int)
    hour = 24 * (axis.days - day) - rng.normal(0, 0.25, DAYS)[day]  # each day is slightly early or late
    is_weekend = day % 7 >= 5
    morning = np.where(is_weekend, 0.30, 0.40) * _bump(hour, np.where(is_weekend, 9.5, 7.2), 1.9)
    shape = 0.58 + morning + 0.17 * _bump(hour, 13, 2.8) + 0.36 * _bump(hour, 19.2, 2.4)
    season = 1 + 0.03 * np.sin(2 * np.pi * (axis.days - 10) / 365)
    of_day = 1 + rng.normal(0, 0.03, DAYS)[day]
    variation = 1 + axis.random_walk(rng, timedelta(hours=5), 0.025)
    return axis.lagged(shape * of_day, timedelta(minutes=20)) * season * variation


def _operation(axis: _TimeAxis, usual: float, flow: Floats) -> Operation:
    """Return the operation of a sound pump that runs all the time."""
    return Operation(usual, flow, np.zeros(axis.steps), np.zeros(axis.steps), np.ones(axis.steps, dtype=bool))


def _is_in_shift(rng: np.random.Generator, axis: _TimeAxis) -> Mask:
    """Draw whether the booster runs: in the shift of working days, which begins and ends some minutes off."""
    day = axis.days.astype(int)
    hour = 24 * (axis.days - day)
    begin, end = (at + rng.normal(0, 0.05, DAYS)[day] for at in _SHIFT_HOURS)
    return np.asarray((day % 7 < 5) & (hour >= begin) & (hour < end))


def _bump(hour: Floats, at: Floats | float, width: float) -> Floats:
    """Return a bell curve around an hour of the day, periodic across midnight."""
    distance = (hour - at + 12) % 24 - 12
    return np.asarray(np.exp(-np.square(distance / width)))


def _ambient(rng: np.random.Generator, axis: _TimeAxis) -> Floats:
    """Simulate the temperature in the pump house, in degrees: coldest in January and before sunrise, with weather."""
    season = -5 * np.cos(2 * np.pi * (axis.days - 16) / 365)
    daily = 1.6 * np.sin(2 * np.pi * (axis.days - 0.375))
    return 16 + season + daily + axis.random_walk(rng, timedelta(days=2.5), 1.8)


def _loads(rng: np.random.Generator, axis: _TimeAxis) -> dict[str, Floats]:
    """Simulate the load of each pump: usually 1, and for some hours a week it takes over load from the others."""
    extra_load = [(event.pump, axis.rows(event)) for event in EVENTS if event.name == MORE_LOAD]
    for pump in _RELATIVE_FLOW:
        for begin in rng.integers(axis.steps, size=rng.poisson(6 * DAYS / 7)):
            length = round(rng.uniform(1, 6) * timedelta(hours=1) / STEP)
            extra_load.append((pump, np.arange(begin, min(begin + length, axis.steps))))
    loads = {pump: np.ones(axis.steps) for pump in _RELATIVE_FLOW}
    for pump, rows in extra_load:
        for other, load in loads.items():
            load[rows] *= 1 + _EXTRA_LOAD if other == pump else 1 - _EXTRA_LOAD / 2
    return {pump: axis.lagged(load, timedelta(minutes=5)) for pump, load in loads.items()}


def _readings(
    rng: np.random.Generator, axis: _TimeAxis, operation: Operation, ambient: Floats, events: Sequence[Event]
) -> pd.DataFrame:
    """Simulate the readings of one pump, with its events."""
    for event in events:
        inject_into_operation(operation, event, axis.rows(event))
    values = _measured(rng, axis, operation, ambient)
    noise = {name: rng.standard_t(6, axis.steps) * deviation * np.sqrt(4 / 6) for name, deviation in _NOISE.items()}
    readings = pd.DataFrame({name: (values[name] + noise[name]) * operation.is_on for name in _NOISE})
    energy = 48_000 + np.cumsum(values["power_kw"] * operation.is_on) * (STEP / timedelta(hours=1))
    readings = readings.assign(energy_kwh=energy).round(_DECIMALS)
    readings = readings.assign(
        read_at=axis.times, valve_open=(values["valve_open"] > 0) & operation.is_on, event=None, is_fault=False
    )
    readings = readings.astype({"event": "str"})
    for event in events:
        rows = axis.rows(event)
        readings.loc[rows, "event"] = event.name
        readings.loc[rows, "is_fault"] = event.is_fault
        readings = inject_into_readings(readings, event, rows)
    return readings


def _measured(rng: np.random.Generator, axis: _TimeAxis, operation: Operation, ambient: Floats) -> Mapping[str, Floats]:
    """Return the values of the instruments without noise."""
    valve = _valve(operation.flow / operation.usual)
    delivered = operation.flow + operation.leak
    through = delivered + operation.usual * _BYPASS_SHARE * axis.lagged(valve, timedelta(minutes=4))
    tower = axis.random_walk(rng, timedelta(hours=8), 0.06)
    pressure = 3.4 + 1.1 * np.square(delivered / operation.usual) + tower
    relative = through / operation.usual / _BEST_SHARE
    speed = np.sqrt((_METRES_PER_BAR * pressure + 12 * np.square(relative)) / 62)  # 1 at full speed
    strain = relative / speed - 1
    efficiency = 0.80 - 0.45 * np.square(strain)
    power = 1.2 + _WATTS_PER_LIFT * through * _METRES_PER_BAR * pressure / efficiency / 0.93 / 1000
    rough = np.exp(axis.random_walk(rng, timedelta(minutes=30), 0.05))
    friction = 14 * np.square(speed) + 8 * np.square(relative) + 14 * operation.wear
    return {
        "flow_m3h": operation.flow,
        "pressure_bar": pressure,
        "power_kw": power * (1 + 0.02 * operation.wear),
        "vibration_mm_s": 1.5 * np.square(speed) * (1 + 2 * np.square(strain)) * rough * (1 + 1.5 * operation.wear),
        "bearing_c": ambient + 12 + axis.lagged(friction, timedelta(minutes=70)),
        "valve_open": valve,
    }


def _valve(share: Floats) -> Floats:
    """Simulate the bypass valve (1 is open), with hysteresis: it opens at a small share of the usual flow."""
    states = np.where(share < _OPEN_BELOW, 1.0, np.where(share > _CLOSE_ABOVE, 0.0, np.nan))
    return np.asarray(pd.Series(states).ffill().fillna(0), dtype=np.float64)


def _as_table(rng: np.random.Generator, pumps: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Merge the readings of all pumps in order of time, drop the lost ones, and number the rest from 1."""
    frames = [readings.assign(pump_id=pump) for pump, readings in pumps.items()]
    table = pd.concat(frames).sort_values(["read_at", "pump_id"], ignore_index=True)
    table = table[rng.random(len(table)) >= _LOST_RATE].reset_index(drop=True)
    table.insert(0, "id", np.arange(1, len(table) + 1))
    return table[["id", "read_at", "pump_id", *CHANNELS, "valve_open", "event", "is_fault"]]
