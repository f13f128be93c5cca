"""A simulated pump station: readings of three pumps over eight weeks, with events in the last two.

The pumps supply a town through a water tower. Demand has the shape of the day, weekends, a season and a will of its
own; the pumps share it, and now and then one takes over load from the others. From a pump's flow the rest follows by
physics: the head by the system's curve, the speed by the affinity laws, the power by head, flow and efficiency, the
vibration by speed and distance from the best point, the temperature of the bearing with a lag.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
from scipy.signal import lfilter

from jobs.demo.events import EVENTS, MORE_LOAD, Event, Floats, Operation, Rows, distort, disturb

START = datetime(2026, 1, 5, tzinfo=UTC)  # a Monday
STEP = timedelta(minutes=5)
DAYS = 56
CHANNELS = ("flow_m3h", "pressure_bar", "power_kw", "vibration_mm_s", "bearing_c")

_SIZES = {"pump-1": 1.0, "pump-2": 0.9, "pump-3": 1.1}  # of flow
_LOST_RATE = 0.001  # of the records
_USUAL_FLOW = 180.0  # m3/h, where demand is 1
_BEST_SHARE = 1.1  # of the usual flow, at full speed: where a pump is most efficient
_BYPASS_SHARE = 0.2  # of the usual flow, back to the intake, so that a pump never runs with too little
_OPENS, _CLOSES = 0.64, 0.70  # of the usual flow: when the valve of the bypass does
_TAKEN_OVER = 0.12  # of its load, by a pump that relieves the others
_METRES = 10.2  # of water, in a bar
_WATTS = 1000 * 9.81 / 3600  # to lift a cubic metre an hour by a metre

# Standard deviation of each instrument's noise, and the decimals that it shows.
_NOISE = {"flow_m3h": 1.2, "pressure_bar": 0.018, "power_kw": 0.25, "vibration_mm_s": 0.04, "bearing_c": 0.12}
_DECIMALS = {"flow_m3h": 1, "pressure_bar": 2, "power_kw": 1, "vibration_mm_s": 2, "bearing_c": 1}


def pump_station(seed: int = 0) -> pd.DataFrame:
    """The readings, a row per pump and time: id, read_at, pump_id, the channels, valve_open, event and is_fault.

    The same seed gives the same ones. Where nothing was put in, the event is null.
    """
    rng = np.random.default_rng(seed)
    clock = _Clock(round(timedelta(days=DAYS) / STEP))
    demand, ambient, loads = _demand(rng, clock), _ambient(rng, clock), _loads(rng, clock)
    pumps = {}
    for pump, size in _SIZES.items():
        usual = _USUAL_FLOW * size
        flow = usual * demand * loads[pump] * (1 + clock.wander(rng, timedelta(minutes=40), 0.012))
        operation = Operation(usual, flow, np.zeros(clock.steps), np.zeros(clock.steps))
        pumps[pump] = _readings(rng, clock, operation, ambient, [event for event in EVENTS if event.pump == pump])
    return _as_table(rng, pumps)


@dataclass(frozen=True)
class _Clock:
    """The times of a simulation."""

    steps: int

    @property
    def times(self) -> pd.DatetimeIndex:
        return pd.date_range(START, periods=self.steps, freq=STEP, unit="us")

    @property
    def days(self) -> Floats:
        return np.arange(self.steps, dtype=np.float64) * (STEP / timedelta(days=1))

    def rows(self, event: Event) -> Rows:
        """The rows of an event."""
        return np.flatnonzero(pd.Series(self.times).between(event.start, event.end))

    def lagged(self, values: Floats, lag: timedelta) -> Floats:
        """The response of a first-order filter with time constant `lag`, at rest at the start."""
        keep = float(np.exp(-STEP / lag))
        filtered, _ = lfilter([1 - keep], [1, -keep], values, zi=[keep * values[0]])
        return np.asarray(filtered)

    def wander(self, rng: np.random.Generator, memory: timedelta, deviation: float) -> Floats:
        """A random walk that is drawn back to zero, with standard deviation `deviation`."""
        keep = float(np.exp(-STEP / memory))
        steps = rng.normal(0, deviation * np.sqrt(1 - keep**2), self.steps)
        return np.asarray(lfilter([1], [1, -keep], steps))


def _demand(rng: np.random.Generator, clock: _Clock) -> Floats:
    """What the town takes, 1 at a usual peak: low at night, a peak in the morning and one in the evening."""
    day = clock.days.astype(int)
    hour = 24 * (clock.days - day) - rng.normal(0, 0.25, DAYS)[day]  # every day is a little early or late
    is_weekend = day % 7 >= 5
    morning = np.where(is_weekend, 0.30, 0.40) * _bump(hour, np.where(is_weekend, 9.5, 7.2), 1.9)
    shape = 0.58 + morning + 0.17 * _bump(hour, 13, 2.8) + 0.36 * _bump(hour, 19.2, 2.4)
    season = 1 + 0.03 * np.sin(2 * np.pi * (clock.days - 10) / 365)
    of_day = 1 + rng.normal(0, 0.03, DAYS)[day]
    will = 1 + clock.wander(rng, timedelta(hours=5), 0.025)
    return clock.lagged(shape * of_day, timedelta(minutes=20)) * season * will


def _bump(hour: Floats, at: Floats | float, width: float) -> Floats:
    """One at an hour of the day, less the further away from it, past midnight too."""
    apart = (hour - at + 12) % 24 - 12
    return np.asarray(np.exp(-np.square(apart / width)))


def _ambient(rng: np.random.Generator, clock: _Clock) -> Floats:
    """Temperature in the pump house, in degrees: coldest late in January and before sunrise, with the weather."""
    season = -5 * np.cos(2 * np.pi * (clock.days - 16) / 365)
    daily = 1.6 * np.sin(2 * np.pi * (clock.days - 0.375))
    return 16 + season + daily + clock.wander(rng, timedelta(days=2.5), 1.8)


def _loads(rng: np.random.Generator, clock: _Clock) -> dict[str, Floats]:
    """The load of each pump, usually 1: some hours a week it takes over a part from the others."""
    taken_over = [(event.pump, clock.rows(event)) for event in EVENTS if event.name == MORE_LOAD]
    for pump in _SIZES:
        for begin in rng.integers(clock.steps, size=rng.poisson(6 * DAYS / 7)):
            length = round(rng.uniform(1, 6) * timedelta(hours=1) / STEP)
            taken_over.append((pump, np.arange(begin, min(begin + length, clock.steps))))
    loads = {pump: np.ones(clock.steps) for pump in _SIZES}
    for pump, rows in taken_over:
        for other, load in loads.items():
            load[rows] *= 1 + _TAKEN_OVER if other == pump else 1 - _TAKEN_OVER / 2
    return {pump: clock.lagged(load, timedelta(minutes=5)) for pump, load in loads.items()}


def _readings(
    rng: np.random.Generator, clock: _Clock, operation: Operation, ambient: Floats, events: Sequence[Event]
) -> pd.DataFrame:
    """The readings of one pump, with its events."""
    for event in events:
        disturb(operation, event, clock.rows(event))
    values = _measured(rng, clock, operation, ambient)
    noise = {name: rng.standard_t(6, clock.steps) * deviation * np.sqrt(4 / 6) for name, deviation in _NOISE.items()}
    readings = pd.DataFrame({name: values[name] + noise[name] for name in CHANNELS}).round(_DECIMALS)
    readings = readings.assign(read_at=clock.times, valve_open=values["valve_open"] > 0, event=None, is_fault=False)
    readings = readings.astype({"event": "str"})
    for event in events:
        rows = clock.rows(event)
        readings.loc[rows, "event"] = event.name
        readings.loc[rows, "is_fault"] = event.is_fault
        readings = distort(readings, event, rows)
    return readings


def _measured(rng: np.random.Generator, clock: _Clock, operation: Operation, ambient: Floats) -> Mapping[str, Floats]:
    """What the instruments would show without noise."""
    valve = _valve(operation.flow / operation.usual)
    delivered = operation.flow + operation.leak
    through = delivered + operation.usual * _BYPASS_SHARE * clock.lagged(valve, timedelta(minutes=4))
    tower = clock.wander(rng, timedelta(hours=8), 0.06)
    pressure = 3.4 + 1.1 * np.square(delivered / operation.usual) + tower
    relative = through / operation.usual / _BEST_SHARE
    speed = np.sqrt((_METRES * pressure + 12 * np.square(relative)) / 62)  # 1 at full speed
    strain = relative / speed - 1
    efficiency = 0.80 - 0.45 * np.square(strain)
    power = 1.2 + _WATTS * through * _METRES * pressure / efficiency / 0.93 / 1000
    rough = np.exp(clock.wander(rng, timedelta(minutes=30), 0.05))
    friction = 14 * np.square(speed) + 8 * np.square(relative) + 14 * operation.wear
    return {
        "flow_m3h": operation.flow,
        "pressure_bar": pressure,
        "power_kw": power * (1 + 0.02 * operation.wear),
        "vibration_mm_s": 1.5 * np.square(speed) * (1 + 2 * np.square(strain)) * rough * (1 + 1.5 * operation.wear),
        "bearing_c": ambient + 12 + clock.lagged(friction, timedelta(minutes=70)),
        "valve_open": valve,
    }


def _valve(share: Floats) -> Floats:
    """Whether the bypass is open, 1 or 0: it opens at a small share of the usual flow, and closes at a larger one."""
    known = np.where(share < _OPENS, 1.0, np.where(share > _CLOSES, 0.0, np.nan))
    return np.asarray(pd.Series(known).ffill().fillna(0), dtype=np.float64)


def _as_table(rng: np.random.Generator, pumps: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The readings of all pumps in order of time, without those that were lost, numbered from 1."""
    frames = [readings.assign(pump_id=pump) for pump, readings in pumps.items()]
    table = pd.concat(frames).sort_values(["read_at", "pump_id"], ignore_index=True)
    table = table[rng.random(len(table)) >= _LOST_RATE].reset_index(drop=True)
    table.insert(0, "id", np.arange(1, len(table) + 1))
    return table[["id", "read_at", "pump_id", *CHANNELS, "valve_open", "event", "is_fault"]]
