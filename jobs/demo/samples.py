"""The demo's tables: a real labelled one that scikit-learn ships, and a simulated pump station."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.signal import lfilter
from sklearn.datasets import load_breast_cancer

from schemas.errors import UsageError

Floats = npt.NDArray[np.float64]

_START = datetime(2026, 1, 5, tzinfo=UTC)  # a Monday
_MODES = np.array(["normal", "high", "idle", "cleaning"])
_FIRST_FAULT = 0.65  # share of the period before it that is normal
_MISSING_RATE = 0.005

# Standard deviation of each channel's noise, in the channel's unit.
_NOISE = {
    "flow_lpm": 4.0,
    "pressure_bar": 0.04,
    "motor_amps": 0.25,
    "speed_rpm": 6.0,
    "vibration_mm_s": 0.07,
    "bearing_c": 0.3,
    "motor_c": 0.35,
    "valve_pct": 0.6,
    "ambient_c": 0.2,
}
_DECIMALS = {"flow_lpm": 1, "speed_rpm": 0, "valve_pct": 1}


@dataclass(frozen=True)
class PumpStation:
    """A simulated pump station: one row of `readings` per pump and time, one row of `faults` per injected fault."""

    readings: pd.DataFrame
    faults: pd.DataFrame


def breast_cancer() -> pd.DataFrame:
    """The Wisconsin diagnostic breast-cancer records (569, 30 features), shuffled, with `id` and `is_malignant`.

    >>> breast_cancer()["is_malignant"].value_counts().to_dict()
    {0: 357, 1: 212}
    """
    loaded: pd.DataFrame = load_breast_cancer(as_frame=True).frame
    frame = loaded.drop(columns="target").rename(columns=lambda name: name.replace(" ", "_"))
    frame["is_malignant"] = 1 - loaded["target"]  # scikit-learn counts benign as 1
    shuffled = frame.sample(frac=1, random_state=0).reset_index(drop=True)
    shuffled.insert(0, "id", np.arange(1, len(shuffled) + 1))
    return shuffled


def pump_station(
    seed: int = 0, days: float = 14, pumps: int = 4, step: timedelta = timedelta(minutes=2)
) -> PumpStation:
    """A pump station with faults of known kind and cause in the last third of the period.

    The channels follow the affinity laws (flow grows with speed, pressure with its square, power with its
    cube); temperatures lag the load and depend on the time of day; demand drifts over the week.

    Args:
        seed: Seed of everything random.
        days: Length of the period from Monday, 5 January 2026; at least half a day.
        pumps: Number of pumps.
        step: Time between two readings of a pump.

    Raises:
        UsageError: where the period is too short for the faults, or there is no pump.
    """
    steps = int(timedelta(days=days) / step)
    if pumps < 1 or steps < 200:
        msg = f"Received {pumps} pumps with {steps} readings each; expected at least 1 pump and 200 readings. Add days."
        raise UsageError(msg)
    rng = np.random.default_rng(seed)
    clock = _Clock(steps, step)
    readings = [_pump(rng, clock, number) for number in range(1, pumps + 1)]
    faults = [_inject(rng, clock, readings, place) for place in range(len(_FAULTS))]
    return PumpStation(_as_table(rng, readings), pd.DataFrame(faults))


@dataclass(frozen=True)
class _Clock:
    """The times of a simulation."""

    steps: int
    step: timedelta

    @property
    def times(self) -> pd.DatetimeIndex:
        return pd.date_range(_START, periods=self.steps, freq=self.step, unit="us")

    @property
    def days(self) -> Floats:
        return np.arange(self.steps, dtype=np.float64) * (self.step / timedelta(days=1))

    def lagged(self, values: Floats, lag: timedelta) -> Floats:
        """The response of a first-order filter with time constant `lag`, at rest at the start."""
        keep = float(np.exp(-self.step / lag))
        filtered, _ = lfilter([1 - keep], [1, -keep], values, zi=[keep * values[0]])
        return np.asarray(filtered)


def _pump(rng: np.random.Generator, clock: _Clock, number: int) -> pd.DataFrame:
    """The normal readings of one pump."""
    size, wear, stiffness = rng.normal([1.0, 1.0, 1.0], [0.03, 0.05, 0.04])
    days = clock.days
    mode = _modes(rng, clock)
    demand = 1 + 0.04 * np.sin(2 * np.pi * days / 7) + _wander(rng, clock, 0.015)
    speed = clock.lagged(_by_mode(mode, 1450, 1750, 420, 900), timedelta(minutes=3)) * demand
    valve = clock.lagged(_by_mode(mode, 62, 85, 20, 95), timedelta(minutes=2)) + 100 * _wander(rng, clock, 0.01)
    share = speed / 1450
    ambient = 18 + 5 * np.sin(2 * np.pi * (days - 0.375)) + 300 * _wander(rng, clock, 0.004)
    load = share**3 * (0.7 + 0.3 * valve / 62)
    values = {
        "flow_lpm": 820 * size * share * (valve / 62) ** 0.35,
        "pressure_bar": 6.2 * stiffness * share**2 * (62 / valve) ** 0.15,
        "motor_amps": 6 + 22 * size * load,
        "speed_rpm": speed,
        "vibration_mm_s": wear * (0.5 + 1.1 * share**1.5),
        "bearing_c": ambient + clock.lagged(9 + 17 * wear * share**2, timedelta(minutes=25)),
        "motor_c": ambient + clock.lagged(8 + 26 * load, timedelta(minutes=40)),
        "valve_pct": valve,
        "ambient_c": ambient,
    }
    noisy = {name: value + rng.normal(0, _NOISE[name], clock.steps) for name, value in values.items()}
    return pd.DataFrame(
        {"read_at": clock.times, "pump_id": f"pump-{number}", "mode": _MODES[mode], **noisy, "fault": ""}
    )


def _modes(rng: np.random.Generator, clock: _Clock) -> npt.NDArray[np.intp]:
    """The mode at each step: idle at night, high at peak hours, cleaning once a day, switched a little irregularly."""
    day = clock.days.astype(int)
    minutes = rng.normal(0, 15, (day[-1] + 1, 6))  # every switch of a day comes early or late
    switches = np.array([5.0, 7.0, 10.0, 17.0, 20.0, 22.5]) + minutes / 60
    hour = (clock.days - day) * 24
    place = (hour[:, None] >= switches[day]).sum(axis=1)
    mode = np.array([2, 0, 1, 0, 1, 0, 2])[place]
    cleaning = rng.uniform(11, 15, day[-1] + 1)[day]
    mode[(hour >= cleaning) & (hour < cleaning + 0.7)] = 3
    is_extra = np.repeat(rng.random(clock.steps // 30 + 1) < 0.03, 30)[: clock.steps]  # demand nobody scheduled
    return np.where(is_extra & (mode == 0), 1, mode)


def _by_mode(mode: npt.NDArray[np.intp], *values: float) -> Floats:
    return np.array(values, dtype=float)[mode]


def _wander(rng: np.random.Generator, clock: _Clock, scale: float) -> Floats:
    """A slow random walk about zero with standard deviation `scale`."""
    keep = float(np.exp(-clock.step / timedelta(hours=12)))
    steps = rng.normal(0, scale * np.sqrt(1 - keep**2), clock.steps)
    return np.asarray(lfilter([1], [1, -keep], steps))


@dataclass(frozen=True)
class _FaultKind:
    """A fault: its name, how long it lasts as a share of the faulty period, and the channels that show it."""

    name: str
    share: float
    channels: tuple[str, ...]


_FAULTS = (
    _FaultKind("bearing wear", 0.30, ("bearing_c", "vibration_mm_s")),
    _FaultKind("stuck sensor", 0.06, ("pressure_bar",)),
    _FaultKind("clogging", 0.06, ("flow_lpm", "valve_pct")),
    _FaultKind("current spikes", 0.08, ("motor_amps",)),
    _FaultKind("dead sensor", 0.05, ("vibration_mm_s", "bearing_c")),
    _FaultKind("wrong mode", 0.04, ("mode",)),
)


def _inject(rng: np.random.Generator, clock: _Clock, readings: list[pd.DataFrame], place: int) -> dict[str, object]:
    """Write a fault into the readings of one pump; a row of `faults`."""
    kind = _FAULTS[place]
    pump = readings[place % len(readings)]
    faulty_steps = clock.steps * (1 - _FIRST_FAULT)
    gap = (1 - sum(fault.share for fault in _FAULTS)) / len(_FAULTS)
    before = sum(fault.share for fault in _FAULTS[:place]) + (place + rng.uniform(0.3, 0.7)) * gap
    first = int(clock.steps * _FIRST_FAULT + before * faulty_steps)
    rows = np.arange(first, first + max(4, round(kind.share * faulty_steps)))
    shown = _distort(rng, kind, pump, rows)
    pump.loc[shown, "fault"] = kind.name
    return {
        "fault": kind.name,
        "pump_id": pump["pump_id"].iloc[0],
        "started_at": pump["read_at"].iloc[rows[0]],
        "ended_at": pump["read_at"].iloc[rows[-1]],
        "channels": ", ".join(kind.channels),
    }


def _distort(
    rng: np.random.Generator, kind: _FaultKind, pump: pd.DataFrame, rows: npt.NDArray[np.intp]
) -> npt.NDArray[np.intp]:
    """Change the faulty channels in `rows`; returns the rows where the fault shows."""
    grown = np.linspace(0, 1, len(rows))
    match kind.name:
        case "bearing wear":
            pump.loc[rows, "bearing_c"] += 28 * grown**1.5
            pump.loc[rows, "vibration_mm_s"] += 3.5 * grown**1.5
        case "stuck sensor":
            # It froze while the pump was starting: at a pressure that no mode has.
            pump.loc[rows, "pressure_bar"] = 0.5 * pump["pressure_bar"].median()
        case "clogging":
            pump.loc[rows, "flow_lpm"] *= 0.72
            pump.loc[rows, "valve_pct"] = np.minimum(pump.loc[rows, "valve_pct"] + 22, 100)
        case "current spikes":
            rows = rows[rng.random(len(rows)) < 0.3]
            pump.loc[rows, "motor_amps"] += rng.uniform(9, 20, len(rows))
        case "dead sensor":
            # One unit measures both; a single missing cell would be no news.
            pump.loc[rows, ["vibration_mm_s", "bearing_c"]] = np.nan
        case _:
            pump.loc[rows, "mode"] = np.where(pump.loc[rows, "mode"] == "idle", "high", "idle")
    return rows


def _as_table(rng: np.random.Generator, readings: list[pd.DataFrame]) -> pd.DataFrame:
    """The readings of all pumps in order of time, with missing cells, numbered from 1."""
    table = pd.concat(readings).sort_values(["read_at", "pump_id"], ignore_index=True)
    channels = list(_NOISE)
    is_missing = rng.random((len(table), len(channels))) < _MISSING_RATE
    table[channels] = table[channels].mask(is_missing).round({name: _DECIMALS.get(name, 2) for name in channels})
    fault = table.pop("fault")
    table["status"] = np.where(fault == "", "ok", "fault")
    table["is_fault"] = (fault != "").astype(int)
    table.insert(0, "id", np.arange(1, len(table) + 1))
    return table
