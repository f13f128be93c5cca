"""Recovery: once the records of a machine are usual again, the fault before them is left out of their past.

Running means, volatility and forecasts remember a fault of some hours for as many hours more, in which good records
would be flagged. So a record that follows several usual ones is scored a second time, in a past in which the unusual
cells are replaced by the first usual cell after them, and the lower score counts.
"""

from dataclasses import dataclass, replace

import numpy as np

from detector.series.channels import MAX_STILL_ROWS, Cells, Channels
from detector.series.line import Line
from detector.series.running_means import run_length

CALM_ROWS = 4  # usual cells in a row, after which a channel has recovered
UNUSUAL_DEVIATIONS = 4.0  # from the usual value at this time of the week; and of a broken rule
CONTEXT_ROWS = MAX_STILL_ROWS + CALM_ROWS  # earlier rows by which a cell is unusual


@dataclass(frozen=True)
class Recovery:
    """The past of consecutive records without its faults.

    Attributes:
        cells: of the records, with usual cells in place of the unusual ones.
        has_recovered: (n,) bool, whether a record and those right before it are usual in all channels.
    """

    cells: Cells
    has_recovered: np.ndarray

    @classmethod
    def of(cls, cells: Cells, channels: Channels, can_recover: np.ndarray) -> "Recovery | None":
        """Return the past without its faults; None if no cell is replaced.

        Args:
            cells: of the records.
            channels: their statistics.
            can_recover: (c,) bool, the channels whose usual cells show that a fault is over.
        """
        is_recent = _is_recent(_is_unusual(cells, channels), cells.line)
        is_faulty = is_recent & can_recover
        if not is_faulty.any():
            return None
        return cls(_without(is_faulty, cells), ~_is_recent(is_recent.any(axis=1), cells.line, 2))


def _is_unusual(cells: Cells, channels: Channels) -> np.ndarray:
    """Return whether a cell is outside the range of training, unusual at its time of the week, or breaks a rule."""
    is_unusual = ~channels.is_usual(cells.z) | (cells.rule_violation >= UNUSUAL_DEVIATIONS)
    if cells.usual is None:
        return is_unusual
    return is_unusual | ((np.abs(cells.deviation) > UNUSUAL_DEVIATIONS) & cells.usual.is_used)


def _is_recent(is_unusual: np.ndarray, line: Line | None, rows: int = CALM_ROWS) -> np.ndarray:
    """Return whether one of the last `rows` rows is unusual, (n, ...)."""
    past = np.arange(len(is_unusual)) if line is None else line.places
    available = np.minimum(past + 1, rows).reshape(-1, *[1] * (is_unusual.ndim - 1))
    return np.asarray(run_length(~is_unusual, rows, line) < available)


def _without(is_faulty: np.ndarray, cells: Cells) -> Cells:
    """Return the cells with usual ones in place of the faulty ones (n, c): by the calendar, or the next good cell."""
    following = _next_good(is_faulty, cells.line)
    z, kept = (np.where(is_faulty, np.take_along_axis(own, following, axis=0), own) for own in (cells.z, cells.kept))
    if cells.usual is not None:
        is_expected = is_faulty & cells.usual.is_used
        z, kept = (np.where(is_expected, cells.usual.z, own) for own in (z, kept))
    return replace(
        cells,
        z=z,
        kept=kept,
        is_missing=cells.is_missing & ~is_faulty,
        breach=np.where(is_faulty, 0.0, cells.breach),
        is_stuck=cells.is_stuck & ~is_faulty,
    )


def _next_good(is_faulty: np.ndarray, line: Line | None) -> np.ndarray:
    """Return the next row (n, c) of the line whose cell is not faulty; the row itself if there is none."""
    own = np.arange(len(is_faulty))[:, None]
    is_good = ~is_faulty if line is None else ~is_faulty & line.is_past[:, None]
    candidates = np.where(is_good, own, len(is_faulty))
    following = np.minimum.accumulate(candidates[::-1], axis=0)[::-1]
    return np.where(is_faulty & (following < len(is_faulty)), following, own)
