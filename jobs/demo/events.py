"""The events that are injected into the simulated pump station: eight faults, a gap and two normal changes."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt
import pandas as pd

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]

BEARING_WEAR, STUCK_METER, LEAK, SURGE = "bearing wear", "stuck flow meter", "leak", "pressure surge"
GLITCH, STOPPED_METER, NO_START, BLOCKED_INTAKE = "glitch", "stopped energy meter", "no start", "blocked intake"
GAP, MORE_LOAD, WEEKEND = "gap", "more load", "weekend"
BOOSTER = "booster"
_REPAIR_TIME = timedelta(hours=5)  # without records, while the bearing is replaced
EVENTS_START = datetime(2026, 2, 16, tzinfo=UTC)


@dataclass(frozen=True)
class Event:
    """An event of one pump.

    Attributes:
        name: kind of the event.
        pump: name of the pump.
        start: time of the first affected record.
        end: time of the last affected record.
        channels: channels that the event changes.
        shown: channels that a picture of the event shows if no incident names others.
    """

    name: str
    pump: str
    start: datetime
    end: datetime
    channels: tuple[str, ...]
    shown: tuple[str, ...]

    @property
    def is_fault(self) -> bool:
        """Whether the monitor should detect the event; otherwise it should raise no alarm."""
        return self.name not in {GAP, MORE_LOAD, WEEKEND}


@dataclass
class Operation:
    """The hidden state of a pump, one value per row.

    Attributes:
        usual: flow at demand 1 and load 1, in m3/h.
        flow: flow at the meter, in m3/h.
        leak: flow that is lost before the meter, in m3/h.
        wear: wear of the bearing, from 0 to 1.
        is_on: whether the pump runs; its instruments are switched off with it, and read 0.
    """

    usual: float
    flow: Floats
    leak: Floats
    wear: Floats
    is_on: Mask


def _event(name: str, pump: str, hours: tuple[float, float], channels: str, shown: str = "") -> Event:
    first, last = (EVENTS_START + timedelta(hours=hour) for hour in hours)
    return Event(name, pump, first, last, tuple(channels.split()), tuple((shown or channels).split()))


EVENTS = (
    _event(STUCK_METER, "pump-2", (30, 39), "flow_m3h", "flow_m3h power_kw"),
    _event(MORE_LOAD, "pump-3", (60, 96), "flow_m3h power_kw"),
    _event(GLITCH, "pump-1", (60, 60), "pressure_bar", "pressure_bar flow_m3h"),
    _event(BEARING_WEAR, "pump-1", (96, 204), "vibration_mm_s bearing_c"),
    _event(WEEKEND, BOOSTER, (116, 174), "", "flow_m3h energy_kwh"),
    _event(GAP, "pump-2", (146, 152), "", "flow_m3h power_kw"),
    _event(STOPPED_METER, "pump-2", (200, 206), "energy_kwh", "energy_kwh power_kw"),
    _event(SURGE, "pump-3", (205.5, 205.5 + 1 / 12), "pressure_bar flow_m3h"),
    _event(NO_START, BOOSTER, (222, 236.5), "flow_m3h pressure_bar power_kw vibration_mm_s bearing_c energy_kwh"),
    _event(LEAK, "pump-3", (249, 263), "power_kw energy_kwh pressure_bar", "flow_m3h power_kw"),
    _event(BLOCKED_INTAKE, "pump-3", (265, 268), "pressure_bar vibration_mm_s"),
)


def inject_into_operation(operation: Operation, event: Event, rows: Rows) -> None:
    """Change the hidden state of a pump in the rows of an event."""
    if event.name == LEAK:
        operation.leak[rows] = 0.25 * operation.flow[rows] * np.minimum(np.arange(len(rows)) / 12, 1)
    elif event.name == BEARING_WEAR:
        operation.wear[rows] = np.linspace(0, 1, len(rows)) ** 2
    elif event.name == NO_START:
        operation.is_on[rows] = False


def inject_into_readings(readings: pd.DataFrame, event: Event, rows: Rows) -> pd.DataFrame:
    """Change the readings of a pump in the rows of an event, and drop those that were not taken."""
    if event.name == STUCK_METER:
        readings.loc[rows, "flow_m3h"] = readings.loc[rows[0], "flow_m3h"]
    elif event.name == GLITCH:
        readings.loc[rows, "pressure_bar"] = 0.0
    elif event.name == STOPPED_METER:
        missed = readings.loc[rows[-1], "energy_kwh"] - readings.loc[rows[0], "energy_kwh"]
        readings.loc[rows, "energy_kwh"] = readings.loc[rows[0], "energy_kwh"]
        readings.loc[rows[-1] + 1 :, "energy_kwh"] -= missed
    elif event.name == BLOCKED_INTAKE:
        readings.loc[rows, "pressure_bar"] -= 0.5
        readings.loc[rows, "vibration_mm_s"] *= 1.6
    elif event.name == SURGE:
        readings.loc[rows, "pressure_bar"] += [1.4, 0.6]
        readings.loc[rows, "flow_m3h"] -= [30.0, 12.0]
    elif event.name == GAP:
        return readings[~readings["read_at"].between(event.start, event.end)]
    elif event.name == BEARING_WEAR:
        return readings[~readings["read_at"].between(event.end, event.end + _REPAIR_TIME, inclusive="right")]
    return readings
