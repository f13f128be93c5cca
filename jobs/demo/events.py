"""What is put into the simulated pump station: four faults, a gap, and a change that is normal."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt
import pandas as pd

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]

BEARING_WEAR, STUCK_METER, LEAK, SURGE = "bearing wear", "stuck flow meter", "leak", "pressure surge"
GAP, MORE_LOAD = "gap", "more load"
_REPAIR = timedelta(hours=5)  # a pump stands while its bearing is replaced
EVENTS_START = datetime(2026, 2, 16, tzinfo=UTC)


@dataclass(frozen=True)
class Event:
    """Something that happened to a pump.

    Attributes:
        name: what it was.
        pump: whose.
        start: time of the first record that it touches.
        end: time of the last one.
        channels: that it changes.
        shown: channels that tell most of it in a picture.
    """

    name: str
    pump: str
    start: datetime
    end: datetime
    channels: tuple[str, ...]
    shown: tuple[str, ...]

    @property
    def is_fault(self) -> bool:
        """Whether it ought to be found; else it ought to pass without an alarm."""
        return self.name not in {GAP, MORE_LOAD}


@dataclass
class Operation:
    """What nobody measures of a pump, by the row.

    Attributes:
        usual: its flow where demand and load are 1, in m3/h.
        flow: that reaches the meter, in m3/h.
        leak: that is lost before the meter, in m3/h.
        wear: of its bearing, from 0 to 1.
    """

    usual: float
    flow: Floats
    leak: Floats
    wear: Floats


def _event(name: str, pump: str, hours: tuple[float, float], channels: str, shown: str = "") -> Event:
    first, last = (EVENTS_START + timedelta(hours=hour) for hour in hours)
    return Event(name, pump, first, last, tuple(channels.split()), tuple((shown or channels).split()))


EVENTS = (
    _event(STUCK_METER, "pump-2", (30, 39), "flow_m3h", "flow_m3h power_kw"),
    _event(MORE_LOAD, "pump-3", (54, 90), "flow_m3h power_kw"),
    _event(BEARING_WEAR, "pump-1", (96, 204), "vibration_mm_s bearing_c"),
    _event(GAP, "pump-2", (146, 152), "", "flow_m3h power_kw"),
    _event(SURGE, "pump-3", (205.5, 205.5 + 1 / 12), "pressure_bar flow_m3h"),
    _event(LEAK, "pump-3", (249, 263), "power_kw pressure_bar", "flow_m3h power_kw"),
)


def disturb(operation: Operation, event: Event, rows: Rows) -> None:
    """Change how a pump runs, in the rows of the event."""
    if event.name == LEAK:
        operation.leak[rows] = 0.25 * operation.flow[rows] * np.minimum(np.arange(len(rows)) / 12, 1)
    elif event.name == BEARING_WEAR:
        operation.wear[rows] = np.linspace(0, 1, len(rows)) ** 2


def distort(readings: pd.DataFrame, event: Event, rows: Rows) -> pd.DataFrame:
    """The readings of a pump with what befell its instruments, and without those that were not taken."""
    if event.name == STUCK_METER:
        readings.loc[rows, "flow_m3h"] = readings.loc[rows[0], "flow_m3h"]
    elif event.name == SURGE:
        readings.loc[rows, "pressure_bar"] += [1.4, 0.6]
        readings.loc[rows, "flow_m3h"] -= [30.0, 12.0]
    elif event.name == GAP:
        return readings[~readings["read_at"].between(event.start, event.end)]
    elif event.name == BEARING_WEAR:
        return readings[~readings["read_at"].between(event.end, event.end + _REPAIR, inclusive="right")]
    return readings
