"""Channels: values to standardised cells and back, and the rules that each channel must obey."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Self

import numpy as np

from detector.series.line import Line
from detector.series.running_means import lagged, recent_count, run_length
from detector.series.standing import LONG_STILL_SIGNAL, Moving, Standing

LINEAR_DEVIATIONS = 4.0  # standard deviations, beyond which a cell grows with the logarithm
JUMP = 4.0  # the cell of a constant channel that changes
BREACH = 8.0  # of a cell that breaks a rule: larger than the cells of a busy flag that switches
MAX_STILL_ROWS = 64  # unchanged rows are counted up to this number
MAX_RESTLESS_ROWS = 8  # a channel that never stood still for longer in training must not stand still
MIN_STILL_ROWS = 3  # unchanged rows that any channel may have
STUCK_FACTOR = 4  # times the longest standstill in training
STUCK_SIGNAL = 0.4  # of a stuck channel: idle machines stand still too
FIRST_STILL_ROWS = 8  # unchanged rows, the first in training and lately, from which a channel is stuck
FIRST_STILL_SIGNAL = 2.0  # of a channel that is stuck for the first time
RESTLESS_FACTOR = 4.0  # of the signal of a stuck channel that never stood still in training
LEAP_BREACH = 4.0  # of a cell that leaps out of the range of training, for each standard deviation beyond it
SILENT_CHANCE = 1e-3  # that a channel is missing for as many rows, if each is with the share of training
MAX_SILENT_ROWS = 16
USUAL_GAP_SHARE = 0.01  # of the rows of training, in gaps of a length, above which such gaps are usual
RANGE_MARGIN = 0.5  # standard deviations
MAX_VALUE = 1e100  # stands for infinite values
MEDIAN_ROWS = 3  # before a cell, whose median is expected of it: one bad reading among them has no effect
MOVE_MARGIN = 0.1  # standard deviations beyond the largest move in training: a cell that moves further is a glitch
CONSTANT_DEVIATION = 1e-7  # relative to the mean: a channel with less is constant
FLAG_VALUES = 2


@dataclass(frozen=True)
class Cells:
    """Standardised channels of consecutive records, all (n, c) float64.

    Attributes:
        z: compressed standardised values; 0 if the cell is missing.
        is_missing: whether there is no value.
        breach: up to 8 if the cell is missing or has a value never seen in training, else 0.
        is_stuck: whether the channel has stood still for much longer than it ever did in training.
        kept: z as it enters the past of later records: in place of a glitch, the value that was expected.
        stuck_signal: height of the signal of a channel that is stuck, else 0.
        usual: the cells that are usual at this time of the week; None without a calendar.
        is_off: (n,) bool, whether the machine is off at no unusual time; None if it has no off state.
        line: of the records; None if all are past for later ones.
        is_replaced: whether a cell stands for a faulty one, and so has no relation to others; None if none does.
        is_silent: whether the channel is missing for longer than its gaps in training; None in older models, in which
            each missing cell counts alike.
    """

    z: np.ndarray
    is_missing: np.ndarray
    breach: np.ndarray
    is_stuck: np.ndarray
    kept: np.ndarray
    stuck_signal: np.ndarray
    usual: "Usual | None" = None
    is_off: np.ndarray | None = None
    line: Line | None = None
    is_replaced: np.ndarray | None = None
    is_silent: np.ndarray | None = None

    @property
    def has_relation(self) -> np.ndarray:
        """(n,) bool: whether the channels of a record can be compared: none is missing or replaced."""
        is_apart = self.is_missing if self.is_replaced is None else self.is_missing | self.is_replaced
        return np.asarray(~is_apart.any(axis=1))

    @property
    def relative(self) -> np.ndarray:
        """(n, c) float64: z less its usual value; 0 if the cell is missing."""
        return self.z if self.usual is None else np.where(self.is_missing, 0, self.z - self.usual.z)

    @property
    def relative_kept(self) -> np.ndarray:
        """(n, c) float64: `kept` less its usual value; 0 if there is a calendar and the cell is missing."""
        return self.kept if self.usual is None else np.where(self.is_missing, 0, self.kept - self.usual.z)

    @property
    def deviation(self) -> np.ndarray:
        """(n, c) float64: the distance from the usual value in usual deviations; z for channels without a calendar."""
        if self.usual is None:
            return self.z
        return np.where(self.usual.is_used, compress(self.relative / self.usual.spread), self.z)

    def without_season(self, z: np.ndarray) -> np.ndarray:
        """Return cells (n, c) without the level of recent days, by which the season moves some channels."""
        return z if self.usual is None or self.usual.level is None else z - self.usual.level

    @property
    def rule_violation(self) -> np.ndarray:
        """(n, c) float64: the degree to which a cell breaks the rules of its channel."""
        return np.maximum(self.breach, BREACH * self.is_stuck)

    @property
    def is_lost(self) -> np.ndarray:
        """(n, c) bool: whether a cell says nothing about its channel: it is missing or stuck."""
        return self.is_missing if self.is_silent is None else self.is_silent | self.is_stuck


@dataclass(frozen=True)
class Usual:
    """The cells that the calendar expects.

    Attributes:
        z: (n, c) the usual standardised values; 0 for channels that follow no calendar.
        spread: (n, c) the usual deviations from them.
        is_used: (c,) bool, whether the channel follows the calendar.
        level: (n, c) the part of `z` that moves with recent days; None if no channel moves.
    """

    z: np.ndarray
    spread: np.ndarray
    is_used: np.ndarray
    level: np.ndarray | None = None


@dataclass(frozen=True)
class Channels:
    """Statistics of each channel in training, all (c,) float64.

    Attributes:
        mean: of the values.
        deviation: standard deviation; 0 for a constant channel.
        lowest: smallest value.
        highest: largest value.
        is_flag: 1 if there were at most two values: such a channel is a state or a command, not a continuous signal.
        missing_share: share of missing cells.
        longest_still: largest number of consecutive unchanged rows, up to 64.
        largest_move: largest distance of a standardised cell from the median of the rows before it; None in older
            models, in which every cell enters the past as it is.
        never_still: 1 if no row was unchanged in training, else 0; None in older models, in which that makes no
            difference.
        standing: how long channels stand still; None in older models, in which only restless channels can be stuck.
        silent_rows: missing rows from which a channel is silent; None in older models, in which no cell leaps out of
            its range either, and the signal of a stuck channel does not grow.
    """

    mean: np.ndarray
    deviation: np.ndarray
    lowest: np.ndarray
    highest: np.ndarray
    is_flag: np.ndarray
    missing_share: np.ndarray
    longest_still: np.ndarray
    largest_move: np.ndarray | None = None
    never_still: np.ndarray | None = None
    standing: Standing | None = None
    silent_rows: np.ndarray | None = None

    @classmethod
    def fit(cls, runs: Sequence[np.ndarray]) -> Self:
        """Fit the channels to runs of normal records, each (n, c)."""
        runs = [bounded(run) for run in runs]
        columns = [_present(column) for column in np.concatenate(runs).T]
        mean = np.array([column.mean() for column in columns])
        deviation = np.array([column.std() for column in columns])
        is_constant = deviation <= CONSTANT_DEVIATION * np.maximum(np.abs(mean), 1)
        still = np.max([run_length(_is_unchanged(run), MAX_STILL_ROWS).max(axis=0) for run in runs], axis=0)
        missing_rows = np.concatenate([run_length(np.isnan(run), MAX_SILENT_ROWS) for run in runs])
        missing_share = (missing_rows > 0).mean(axis=0)
        channels = cls(
            mean,
            np.where(is_constant, 0.0, deviation),
            np.array([column.min() for column in columns]),
            np.array([column.max() for column in columns]),
            np.array([float(len(np.unique(column)) <= FLAG_VALUES) for column in columns]),
            missing_share,
            still.astype(np.float64),
            never_still=(still == 0).astype(np.float64),
            silent_rows=np.maximum(silent_rows(missing_share), longer_than_usual(missing_rows)),
        )
        channels = replace(channels, largest_move=largest_move([channels.cells(run).z for run in runs]))
        moving = [channels.moving(run) for run in runs]
        return replace(channels, standing=Standing.fit(moving, channels.event_deviations > 0))

    def to_state(self) -> dict[str, np.ndarray]:
        """Return the arrays by name; without those that are None."""
        arrays = {name: array for name, array in vars(self).items() if isinstance(array, np.ndarray)}
        return arrays if self.standing is None else arrays | vars(self.standing)

    @classmethod
    def from_state(cls, state: Mapping[str, np.ndarray]) -> Self:
        """Return the channels of a state that `to_state` wrote."""
        names = {field.name for field in fields(Standing)}
        own = {name: array for name, array in state.items() if name not in names}
        standing = Standing(**{name: state[name] for name in names}) if "rest" in state else None
        return cls(**own, standing=standing)

    @property
    def continuous(self) -> np.ndarray:
        """Positions of the channels that are not flags; all positions if all channels are flags."""
        positions = np.flatnonzero(self.is_flag == 0)
        return positions if len(positions) else np.arange(len(self.mean))

    @property
    def event_deviations(self) -> np.ndarray:
        """(c,): standard deviations that scale synthetic events; 0 for flags, which events leave alone."""
        return np.where(self.is_flag == 0, self.deviation, 0.0)

    def cells(self, values: np.ndarray, line: Line | None = None) -> Cells:
        """Return the cells of consecutive records (n, c); whether a cell is stuck depends on the 64 rows before it."""
        values = bounded(values)
        is_missing = np.isnan(values)
        z = self._standardised(np.where(is_missing, 0, values - self.mean))
        breach = np.where(is_missing, self._missing_breach, self._novelty(values))
        kept = z if self.largest_move is None else without_glitches(z, self.largest_move, line)
        stuck_signal = self._stuck_signal(values, line)
        if self.standing is not None:
            is_dead = self.standing.is_dead(Moving(values, _is_unchanged(values, line), z, kept, line))
            stuck_signal = np.where(is_dead, LONG_STILL_SIGNAL, stuck_signal)
        cells = Cells(z, is_missing, breach, stuck_signal > 0, kept, stuck_signal, line=line)
        if self.silent_rows is None or self.largest_move is None:
            return cells
        return replace(
            cells,
            breach=np.maximum(breach, self._leap(cells, self.largest_move)),
            stuck_signal=self._grown(stuck_signal, line),
            is_silent=run_length(is_missing, MAX_SILENT_ROWS, line) >= self.silent_rows,
        )

    def moving(self, values: np.ndarray) -> Moving:
        """Return consecutive records (n, c) as they move from one to the next."""
        cells = self.cells(values)
        return Moving(values, _is_unchanged(values), cells.z, cells.kept)

    def is_usual(self, z: np.ndarray, margin: float = RANGE_MARGIN) -> np.ndarray:
        """Return whether standardised cells lie within the range of training, with a margin: (n, c) bool."""
        lowest, highest = self._range
        return np.asarray((lowest - margin <= z) & (z <= highest + margin))

    def values(self, z: np.ndarray) -> np.ndarray:
        """Convert standardised cells to values (n, c) in the channels' units."""
        return self.mean + self.deviation * expand(z)

    @property
    def _range(self) -> np.ndarray:
        """The lowest and the highest standardised cells of training, (2, c)."""
        return self._standardised(np.stack([self.lowest, self.highest]) - self.mean)

    def _standardised(self, change: np.ndarray) -> np.ndarray:
        """Convert distances from the mean (n, c) to standardised cells."""
        jump = JUMP * np.sign(change) * (np.abs(change) > self._tolerance)
        return np.where(self.deviation > 0, compress(change / np.where(self.deviation > 0, self.deviation, 1)), jump)

    @property
    def _tolerance(self) -> np.ndarray:
        return CONSTANT_DEVIATION * np.maximum(np.abs(self.mean), 1)

    @property
    def _missing_breach(self) -> np.ndarray:
        """The breach (c,) of a missing cell: the standardised value of "is missing" as a flag, at most 8."""
        share = np.clip(self.missing_share, 1e-6, 1)
        return np.minimum(np.sqrt((1 - share) / share), BREACH)

    def _stuck_signal(self, values: np.ndarray, line: Line | None) -> np.ndarray:
        """Return the height of the signal of each stuck channel, (n, c); 0 if it is not stuck.

        A restless channel is stuck if it has stood still for four times as long as ever in training, and earlier if it
        never did in training nor lately: a change of its rounding makes it stand still again and again.
        """
        is_unchanged = _is_unchanged(values, line)
        rows = run_length(is_unchanged, MAX_STILL_ROWS, line)
        is_restless = self.longest_still <= MAX_RESTLESS_ROWS
        is_stuck = is_restless & (rows >= STUCK_FACTOR * np.maximum(self.longest_still, MIN_STILL_ROWS))
        signal = np.where(is_stuck, STUCK_SIGNAL, 0.0)
        if self.never_still is None:
            return signal
        is_only = rows == recent_count(is_unchanged, MAX_STILL_ROWS, line)
        is_first = is_only & (rows >= FIRST_STILL_ROWS) & (self.never_still == 1)
        return np.where(is_first, FIRST_STILL_SIGNAL, signal)

    def _grown(self, stuck_signal: np.ndarray, line: Line | None) -> np.ndarray:
        """Return the signals (n, c) of stuck channels, higher the longer they are; those of idle ones stay."""
        is_dead = stuck_signal >= FIRST_STILL_SIGNAL
        periods = np.maximum(run_length(is_dead, MAX_STILL_ROWS, line) / FIRST_STILL_ROWS, 1)
        factor = 1.0 if self.never_still is None else np.where(self.never_still == 1, RESTLESS_FACTOR, 1.0)
        return np.where(is_dead, factor * periods * stuck_signal, stuck_signal)

    def _leap(self, cells: Cells, largest_move: np.ndarray) -> np.ndarray:
        """Return the breach (n, c) of cells that leap out of the range of training, further than normal cells move."""
        lowest, highest = self._range
        beyond = np.maximum(lowest - cells.z, cells.z - highest) - RANGE_MARGIN
        move = np.abs(cells.z - _recent_median(cells.z, cells.line)) - largest_move - MOVE_MARGIN
        leap = np.where(cells.is_missing | (self.event_deviations == 0), 0, np.minimum(beyond, move))
        return np.clip(LEAP_BREACH * leap, 0, BREACH)

    def _novelty(self, values: np.ndarray) -> np.ndarray:
        """Return 8 if a flag or a constant channel has a value never seen in training, else 0: (n, c)."""
        beyond = np.maximum(self.lowest - values, values - self.highest)
        return BREACH * (beyond > self._tolerance) * self.is_flag


def silent_rows(missing_share: np.ndarray) -> np.ndarray:
    """Return the consecutive missing rows (c,) that chance hardly gives channels with a share of missing cells.

    >>> silent_rows(np.array([0, 0.01, 0.05, 0.5, 1])).tolist()
    [1.0, 2.0, 3.0, 10.0, 16.0]
    """
    share = np.clip(missing_share, SILENT_CHANCE, 1 - SILENT_CHANCE)
    return np.asarray(np.clip(np.ceil(np.log(SILENT_CHANCE) / np.log(share)), 1, MAX_SILENT_ROWS))


def longer_than_usual(missing_rows: np.ndarray) -> np.ndarray:
    """Return the consecutive missing rows (c,) that are not usual in training; one more than are counted if all are.

    Some channels are missing in most rows, or at night.

    Args:
        missing_rows: (n, c) by `run_length`, up to `MAX_SILENT_ROWS`.
    """
    shares = np.stack([(missing_rows >= rows).mean(axis=0) for rows in range(1, MAX_SILENT_ROWS + 1)])
    return np.asarray(1.0 + (shares > USUAL_GAP_SHARE).sum(axis=0))


def bounded(values: np.ndarray) -> np.ndarray:
    """Replace infinite values by the largest finite values; missing values stay missing."""
    return np.clip(values, -MAX_VALUE, MAX_VALUE)


def compress(z: np.ndarray) -> np.ndarray:
    """Compress standardised values: the identity up to four, from there a logarithm with the same slope.

    >>> compress(np.array([-3.0, 4.0, 5.0])).round(3).tolist()
    [-3.0, 4.0, 4.693]
    """
    beyond = np.maximum(np.abs(z) - LINEAR_DEVIATIONS, 0)
    return np.asarray(np.sign(z) * (np.minimum(np.abs(z), LINEAR_DEVIATIONS) + np.log1p(beyond)))


def expand(z: np.ndarray) -> np.ndarray:
    """Invert `compress`.

    >>> expand(compress(np.array([-3.0, 4.0, 5.0]))).round(3).tolist()
    [-3.0, 4.0, 5.0]
    """
    beyond = np.maximum(np.abs(z) - LINEAR_DEVIATIONS, 0)
    return np.asarray(np.sign(z) * (np.minimum(np.abs(z), LINEAR_DEVIATIONS) + np.expm1(beyond)))


def largest_move(runs: Sequence[np.ndarray]) -> np.ndarray:
    """Return the largest distance (c,) of a cell from the median of the rows before it, in runs of cells (n, c)."""
    return np.asarray(np.max(np.concatenate([np.abs(z - _recent_median(z)) for z in runs]), axis=0))


def without_glitches(z: np.ndarray, largest: np.ndarray, line: Line | None) -> np.ndarray:
    """Return cells (n, c) as they enter the past of later records.

    A cell further from the median of the last rows than normal cells (c,) is replaced by it; two such rows in a row are
    a new level, which the median follows.
    """
    expected = _recent_median(z, line)
    return np.where(np.abs(z - expected) > largest + MOVE_MARGIN, expected, z)


def _present(column: np.ndarray) -> np.ndarray:
    """Return the values of a channel that are not missing; a single 0 if all are."""
    values = column[~np.isnan(column)]
    return values if len(values) else np.zeros(1)


def _recent_median(z: np.ndarray, line: Line | None = None) -> np.ndarray:
    """Return the median (n, c) of the rows before each row; the first row counts for those before it."""
    return np.asarray(np.median([lagged(z, rows, line) for rows in range(1, MEDIAN_ROWS + 1)], axis=0))


def _is_unchanged(values: np.ndarray, line: Line | None = None) -> np.ndarray:
    """Return whether a cell equals the previous cell of its channel, (n, c)."""
    places = np.arange(len(values)) if line is None else line.places
    return (values == lagged(values, 1, line)) & (places > 0)[:, None]
