"""Inputs: records of an entity as standardised cells, counters by their increase, with what the calendar expects."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from detector.series.calendar import Calendar
from detector.series.calendar_choice import Choice, Dated
from detector.series.channels import Cells, Channels, bounded, largest_move, without_glitches
from detector.series.clock import day_rows, make_clock
from detector.series.counters import Counters
from detector.series.folds import Fold
from detector.series.joint_range import JointRange
from detector.series.series import Series
from detector.series.settings import SeriesSettings
from detector.series.states import OffState
from schemas.errors import ConfigError

UNUSUAL_DEVIATIONS = 3.0  # from the usual value at this time of the week


@dataclass(frozen=True)
class Inputs:
    """Converts consecutive records to cells.

    Attributes:
        channels: the statistics of the channels in training.
        calendar: the usual course of the channels over the week; None if none of them follows it.
        counters: the channels that only grow; None if none does.
        off: the state in which the machine is off; None if it has none.
        recovers: whether faults are left out of the past of records that are usual again.
        joint: the joint range of the channels; None with a calendar, and in older models.
    """

    channels: Channels
    calendar: Calendar | None = None
    counters: Counters | None = None
    off: OffState | None = None
    recovers: bool = False
    joint: JointRange | None = None

    @classmethod
    def fit(cls, runs: Sequence[Series], counters: Counters | None, *, recovers: bool = False) -> Self:
        """Fit the channels to runs of normal records; without a calendar."""
        values = [_values(run, counters) for run in runs]
        channels = Channels.fit(values)
        off = OffState.fit(values, np.flatnonzero(channels.is_flag == 0))
        joint = JointRange.fit([channels.cells(run).z for run in values]) if recovers else None
        return cls(channels, counters=counters, off=off, recovers=recovers, joint=joint)

    def values(self, run: Series) -> np.ndarray:
        """Return the values (n, c) of consecutive records, with increases in place of the readings of counters."""
        return _values(run, self.counters)

    def readings(self, run: Series, values: np.ndarray) -> np.ndarray:
        """Convert values (n, c), in which counters have increases, to readings right after the last readings."""
        return values if self.counters is None else self.counters.readings(_finite(run), values)

    @property
    def event_deviations(self) -> np.ndarray:
        """(c,): standard deviations that scale synthetic events; 0 for flags and counters, which events leave alone."""
        deviations = self.channels.event_deviations
        return deviations if self.counters is None else np.where(self.counters.is_counter == 1, 0.0, deviations)

    def cells(self, run: Series) -> Cells:
        """Return the cells of consecutive records, which depend on up to 128 rows before them."""
        values = self.values(run)
        cells = self.channels.cells(values, run.line)
        if self.calendar is not None:
            usual = self.calendar.usual(run.times, cells)
            has_time = ~np.isnat(run.times)[:, None]
            cells = replace(cells, usual=replace(usual, z=np.where(has_time, usual.z, cells.z)))
            cells = _without_glitches(cells, self.calendar.largest_move)
        if self.off is None:
            return cells
        return replace(cells, is_off=self.off.is_off(values) & ~_is_unusual(cells))


@dataclass(frozen=True)
class SplitRuns:
    """Runs of normal records, whole and split.

    Attributes:
        whole: all records.
        last: the last records, which are held back from the earlier ones.
        folds: the records that are held back to choose the calendar and to calibrate, with the others.
    """

    whole: Sequence[Series]
    last: Fold
    folds: Sequence[Fold]

    @property
    def earlier(self) -> Sequence[Series]:
        """The runs without the last records."""
        return self.last.others


@dataclass(frozen=True)
class FittedInputs:
    """The inputs fitted to the earlier records, and those fitted to all records.

    `choice` is the calendar of each channel; None if no channel has one.
    """

    earlier: Inputs
    whole: Inputs
    choice: Choice | None = None

    def of(self, runs: Sequence[Series]) -> Inputs:
        """Return the inputs fitted to some of the runs, in which all channels are of the kind that they are in all."""
        inputs = Inputs.fit(runs, self.whole.counters, recovers=self.whole.recovers)
        channels = replace(inputs.channels, is_flag=self.whole.channels.is_flag)
        inputs = replace(inputs, channels=channels, off=self.whole.off)
        return inputs if self.choice is None else _with_calendar(inputs, self.choice, runs)


def fit_inputs(runs: SplitRuns, settings: SeriesSettings) -> FittedInputs:
    """Fit inputs; the held-back records choose the calendar of each channel.

    Raises:
        ConfigError: If a calendar is demanded and the records cover no day.
    """
    counters = Counters.fit(runs.whole)
    earlier, whole = (Inputs.fit(part, counters, recovers=settings.recovery) for part in (runs.earlier, runs.whole))
    choice = _choose_calendar(earlier, runs, settings)
    if choice is None:
        return FittedInputs(earlier, whole)
    earlier, whole = _with_calendar(earlier, choice, runs.earlier), _with_calendar(whole, choice, runs.whole)
    return FittedInputs(earlier, whole, choice)


def _with_calendar(inputs: Inputs, choice: Choice, runs: Sequence[Series]) -> Inputs:
    """Return the inputs with a calendar of the records, and the largest moves away from it."""
    calendar = choice.fit(_dated(inputs, runs))
    relative = [replace(inputs, calendar=calendar).cells(run).relative for run in runs]
    return replace(inputs, calendar=replace(calendar, largest_move=largest_move(relative)), joint=None)


def _without_glitches(cells: Cells, largest: np.ndarray | None) -> Cells:
    """Return cells with a calendar, whose past leaves out moves away from it that are larger than any in training."""
    if cells.usual is None or largest is None:
        return cells
    kept = without_glitches(cells.relative, largest, cells.line)
    past = np.where(kept == cells.relative, cells.z, cells.usual.z + kept)
    return replace(cells, kept=np.where(cells.usual.is_used & ~cells.is_missing, past, cells.kept))


def _values(run: Series, counters: Counters | None) -> np.ndarray:
    """Return the finite values (n, c) that are watched."""
    run = _finite(run)
    return run.values if counters is None else counters.values(run)


def _finite(run: Series) -> Series:
    return replace(run, values=bounded(run.values))


def _is_unusual(cells: Cells) -> np.ndarray:
    """Return whether records are far from their usual values at this time of the week, (n,) bool."""
    if cells.usual is None:
        return np.zeros(len(cells.z), dtype=bool)
    return np.asarray((np.abs(cells.deviation[:, cells.usual.is_used]) > UNUSUAL_DEVIATIONS).any(axis=1))


def _choose_calendar(inputs: Inputs, runs: SplitRuns, settings: SeriesSettings) -> Choice | None:
    if settings.calendar is False:
        return None
    choice, clock = None, make_clock([run.times for run in runs.whole], settings.time_zone, settings.holidays)
    if clock is not None:
        splits = [(_dated(inputs, fold.others), _held_back(inputs, fold)) for fold in runs.folds]
        times = np.concatenate([run.times for run in runs.whole])
        rows = day_rows([run.times for run in runs.whole])
        is_flag, is_required = inputs.channels.is_flag == 1, settings.calendar is True
        choice = Choice.make(clock, splits, times, is_flag=is_flag, is_required=is_required, day_rows=rows)
    if choice is None and settings.calendar is True:
        msg = (
            "calendar = true needs records of more than a day, or of more than a week if they are daily. "
            'Collect more normal records, or set calendar = "auto".'
        )
        raise ConfigError(msg)
    return choice


def _held_back(inputs: Inputs, fold: Fold) -> Dated:
    """Return the held-back records of a fold after those of their past, which do not count."""
    dated = _dated(inputs, [run for run, _ in fold.held_back])
    return replace(dated, counts=np.concatenate([np.arange(len(run)) >= start for run, start in fold.held_back]))


def _dated(inputs: Inputs, runs: Sequence[Series]) -> Dated:
    cells = [inputs.channels.cells(inputs.values(run)) for run in runs]
    z = np.concatenate([np.where(own.is_missing, np.nan, own.z) for own in cells])
    times = np.concatenate([run.times for run in runs])
    return Dated(times, z, tuple(map(len, runs)), np.ones(len(z), dtype=bool))
