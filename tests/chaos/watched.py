"""The watched tables of a round, and their monitors: readings of pumps as records, of machines as series."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sqlalchemy import BigInteger, Boolean, Column, DateTime, Double, Integer, MetaData, Table, Text
from sqlalchemy.dialects import mysql

from tests.machines import interleaved, machine
from tests.workspace import PUMP, SMALL_MODEL, readings

_RECORDS = 40_000  # more than the processes can score
_MACHINE_RECORDS = 8_000
_NORMAL_MACHINE_RECORDS = 1_200
_TIME = DateTime(timezone=True).with_variant(mysql.DATETIME(fsp=6), "mysql")
_SHARED = """\
updated = "changed_at"
score_every = "1s"
lease = "3s"
incident_gap = "10m"
gap_after = "9000d"
alert = { newest = "9000d" }
store_scores = "all"
"""
_MACHINES = f"""\
key = "id"
time = "read_at"
entity = "machine"
numeric = ["torque", "speed", "load"]
boolean = ["is_open"]
normal = "id <= {_NORMAL_MACHINE_RECORDS}"
false_positive_rate = 0.01
silent_after = "never"
"""
_PUMPS = PUMP.replace("batch_size = 300\n", "")


@dataclass(frozen=True)
class Watched:
    """A monitor, and the table that it watches.

    Attributes:
        name: of the monitor.
        table: that it watches.
        settings: of the monitor, as in the configuration.
        sections: its further sections.
        changes: the column that corrections change; None if records are only appended.
        training: the monitor whose model it starts with.
    """

    name: str
    table: Table
    settings: str
    sections: str = ""
    changes: str | None = None
    training: str = ""

    def section(self, batch_size, source):
        """Return the section of the configuration."""
        head = f'[monitors.{self.name}]\nsource = "{source}"\nbatch_size = {batch_size}\n'
        return f"{head}{self.settings}{_SHARED}{self.sections}"


@dataclass(frozen=True)
class Fed:
    """A table that grows during a round.

    Attributes:
        watched: one of its monitors.
        make: returns its rows for a seed.
        step: the largest number of rows that are inserted at once.
        first: number of rows that are there from the beginning.
    """

    watched: Watched
    make: Callable
    step: int
    first: int = 0


def _table(name, entity, *values):
    fixed = [Column("id", BigInteger, primary_key=True, autoincrement=False), Column("read_at", _TIME)]
    return Table(name, MetaData(), *fixed, Column(entity, Text), *values, Column("changed_at", _TIME))


def _machines(name):
    numeric = [Column(column, Double) for column in ("torque", "speed", "load")]
    return _table(name, "machine", *numeric, Column("is_open", Boolean), Column("is_fault", Integer))


_READINGS = _table(
    "pump_readings",
    "pump",
    *(Column(column, Double) for column in ("flow", "pressure")),
    Column("is_open", Boolean),
    Column("mode", Text),
    Column("is_fault", Integer),
)
_MODEL = "[monitors.{}.model]\n" + SMALL_MODEL + "\n"
_SERIES = "[monitors.{}.series]\nnetwork = false\ncalendar = false\nusual_after = 40\n"
PUMPS = Watched("pump", _READINGS, _PUMPS, _MODEL.format("pump"), changes="pressure", training="pump")
TRAINED = Watched(
    "fan",
    _READINGS,
    _PUMPS,
    _MODEL.format("fan") + '[monitors.fan.retrain]\npromote = "manual"\n',
    changes="pressure",
    training="pump",
)
TRACKED = Watched(
    "mixer",
    _machines("mixer"),
    f'table = "mixer"\nthreshold = "online"\n{_MACHINES}',
    _SERIES.format("mixer"),
    training="mixer",
)
SERIES = Watched(
    "press",
    _machines("press"),
    f'table = "press"\nthreshold = "conformal"\n{_MACHINES}',  # thresholds that follow depend on what was late
    _SERIES.format("press"),
    "speed",
    "press",
)
NARROW = (PUMPS,)
WIDE = (PUMPS, TRAINED, TRACKED, SERIES)


def fed(monitors):
    """Return the tables of monitors, each once."""
    history = 800 if TRAINED in monitors else 0  # for a training
    tables = (Fed(PUMPS, _pump_rows, 60, history), Fed(TRACKED, _machine_rows, 40), Fed(SERIES, _machine_rows, 40))
    return [item for item in tables if item.watched in monitors]


def training_records():
    """Return the readings of machines that their models learn from."""
    return _machine_frame(_NORMAL_MACHINE_RECORDS // 2, seed=0)


def _pump_rows(seed):
    """Return readings with faults, alone and in bursts."""
    rng = np.random.default_rng(seed)
    starts = rng.choice(np.arange(1, _RECORDS - 20), size=_RECORDS // 100, replace=False)
    bursts = [start + 2 * step for start in starts for step in range(rng.integers(1, 6))]
    return _rows(readings(_RECORDS, bursts, seed=int(rng.integers(1 << 30))))


def _machine_rows(seed):
    """Return readings of machines, in which the speed is now and then too high for a while."""
    rng = np.random.default_rng(seed)
    frame = _machine_frame(_MACHINE_RECORDS // 2, seed)
    for start in rng.choice(np.arange(50, _MACHINE_RECORDS - 50), size=_MACHINE_RECORDS // 200, replace=False):
        rows = np.arange(start, start + 2 * rng.integers(1, 30), 2)
        frame.loc[rows[rows < _MACHINE_RECORDS], ["speed", "is_fault"]] += [9.0, 1]
    return _rows(frame)


def _machine_frame(records, seed):
    return interleaved(machine("a", records, 2 * seed), machine("b", records, 2 * seed + 1))


def _rows(frame):
    return [row | {"read_at": row["read_at"].to_pydatetime()} for row in frame.to_dict("records")]
