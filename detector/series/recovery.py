"""Recovery: once the records of a machine are usual again, the fault before them is left out of their past.

Running means, volatility and forecasts remember a fault of some hours for as many hours more, in which good records
would be flagged. So a record that follows several usual ones is scored a second time, in a past in which the unusual
cells are replaced by usual ones, and the lower score counts.
"""

from dataclasses import replace

import numpy as np

from detector.series.channels import Cells, Channels
from detector.series.joint_range import JointRange
from detector.series.line import Line
from detector.series.running_means import recent_count, run_length
from detector.series.standing import MAX_LONG_STILL_ROWS

CALM_ROWS = 4  # usual cells in a row, after which a channel has recovered
SLOW_CALM_ROWS = 8  # the same of a channel of which a single cell does not show whether it is usual
FAR_MARGIN = 2.0  # standard deviations outside the range of training, from which a cell of it shows a fault
UNUSUAL_DEVIATIONS = 4.0  # from the usual value at this time of the week; and of a broken rule
CONTEXT_ROWS = MAX_LONG_STILL_ROWS + 2 * SLOW_CALM_ROWS  # earlier rows by which a cell is unusual


def faulty_cells(cells: Cells, channels: Channels) -> np.ndarray:
    """Return whether a cell or one of the last of its channel is unusual, (n, c) bool.

    An unusual cell is outside the range of training, unusual at its time of the week, or breaks a rule.
    """
    breaks_rule = cells.rule_violation >= UNUSUAL_DEVIATIONS
    if cells.is_silent is not None:
        breaks_rule = np.where(cells.is_missing, cells.is_silent, breaks_rule)
    is_unusual = ~channels.is_usual(cells.z) | breaks_rule
    if cells.usual is not None:
        is_unusual |= (np.abs(cells.deviation) > UNUSUAL_DEVIATIONS) & cells.usual.is_used
    return _lingers(is_unusual, CALM_ROWS, cells)


def left_out_cells(cells: Cells, channels: Channels, is_faulty: np.ndarray, can_recover: np.ndarray) -> np.ndarray:
    """Return the cells (n, c) that are left out of the past once they are over.

    They are the faulty cells of channels (c,) that can recover. Of other channels a cell shows less, since a disturbed
    machine may well stay near the range of training: they are cells that are lost, and for longer cells that are far
    outside the range.
    """
    is_over = _lingers(~channels.is_usual(cells.z, FAR_MARGIN), SLOW_CALM_ROWS, cells)
    is_lost = _lingers(cells.is_lost, CALM_ROWS, cells)
    return np.asarray(np.where(can_recover, is_faulty, is_over | is_lost))


def disjoint_rows(cells: Cells, joint: JointRange | None) -> np.ndarray:
    """Return whether a row or one of the last three is outside the joint range of the channels, (n,) bool."""
    if joint is None:
        return np.zeros(len(cells.z), dtype=bool)
    return _is_recent(joint.is_outside(cells.z), CALM_ROWS, cells.line)


def recovered_rows(is_faulty: np.ndarray, line: Line | None) -> np.ndarray:
    """Return whether no cell (n, c) of a row and of the row before it is faulty, (n,) bool."""
    return ~_is_recent(np.asarray(is_faulty.any(axis=1)), 2, line)


def without_faults(cells: Cells, is_faulty: np.ndarray) -> Cells:
    """Return the cells with usual ones in place of the faulty ones (n, c): by the calendar, or the next good cell."""
    following = _next_good(is_faulty, cells.line)
    z, kept = (np.where(is_faulty, np.take_along_axis(own, following, axis=0), own) for own in (cells.z, cells.kept))
    if cells.usual is not None:
        is_expected = is_faulty & cells.usual.is_used
        z, kept = (np.where(is_expected, cells.usual.z, own) for own in (z, kept))
    return obeying_rules(replace(cells, z=z, kept=kept, is_missing=cells.is_missing & ~is_faulty), is_faulty)


def obeying_rules(cells: Cells, is_chosen: np.ndarray) -> Cells:
    """Return the cells, of which the chosen ones (n, c) stand for faulty ones and break no rule."""
    breach, stuck_signal = (np.where(is_chosen, 0.0, part) for part in (cells.breach, cells.stuck_signal))
    is_stuck = cells.is_stuck & ~is_chosen
    is_silent = None if cells.is_silent is None else cells.is_silent & ~is_chosen
    is_replaced = is_chosen if cells.is_replaced is None else cells.is_replaced | is_chosen
    rules = {"breach": breach, "is_stuck": is_stuck, "stuck_signal": stuck_signal, "is_silent": is_silent}
    return replace(cells, **rules, is_replaced=is_replaced)


def _lingers(is_unusual: np.ndarray, rows: int, cells: Cells) -> np.ndarray:
    """Return whether one of the last rows is unusual, (n, c): of as many as the fault had, at most `rows`."""
    if cells.is_silent is None:
        return _is_recent(is_unusual, rows, cells.line)
    usual_rows = run_length(~is_unusual, rows, cells.line)
    unusual_rows = recent_count(is_unusual, 2 * SLOW_CALM_ROWS, cells.line)
    return np.asarray((unusual_rows > 0) & (usual_rows < np.minimum(unusual_rows, rows)))


def _is_recent(is_unusual: np.ndarray, rows: int, line: Line | None) -> np.ndarray:
    """Return whether one of the last `rows` rows is unusual, (n, ...)."""
    past = np.arange(len(is_unusual)) if line is None else line.places
    available = np.minimum(past + 1, rows).reshape(-1, *[1] * (is_unusual.ndim - 1))
    return np.asarray(run_length(~is_unusual, rows, line) < available)


def _next_good(is_faulty: np.ndarray, line: Line | None) -> np.ndarray:
    """Return the next row (n, c) of the line whose cell is not faulty; the row itself if there is none."""
    own = np.arange(len(is_faulty))[:, None]
    is_good = ~is_faulty if line is None else ~is_faulty & line.is_past[:, None]
    candidates = np.where(is_good, own, len(is_faulty))
    following = np.minimum.accumulate(candidates[::-1], axis=0)[::-1]
    return np.where(is_faulty & (following < len(is_faulty)), following, own)
