"""Settling: another fault is measured from the level at which a lasting fault has settled.

A machine whose level has shifted for good has a high score in every record, which a fault of another kind would hardly
raise. So its records are scored a second time, their cells less the recent level of the shifted channels, and what is
high then is added to the score.
"""

from dataclasses import replace

import numpy as np

from detector.series.channels import Cells
from detector.series.line import Line
from detector.series.recovery import CALM_ROWS, obeying_rules
from detector.series.recovery import CONTEXT_ROWS as FAULT_ROWS
from detector.series.running_means import past_mean, run_length, window_rows

LEVEL_HALF_LIFE = 32  # rows, of the recent level of a channel
SETTLED_ROWS = window_rows(LEVEL_HALF_LIFE)  # for which a channel is faulty until its recent level is known
MIN_PRESENT_SHARE = 0.05  # of the recent cells of a channel, of which it has a level
HEARD_ROWS = 2 * SETTLED_ROWS  # the same, until what is high above that level counts
CONTEXT_ROWS = FAULT_ROWS + SETTLED_ROWS + CALM_ROWS  # earlier rows by which a cell less its recent level is unusual


def heard_rows(is_faulty: np.ndarray, line: Line | None) -> np.ndarray:
    """Return whether a channel (n, c) has been faulty for so long that other faults are measured from it, (n,) bool."""
    return np.asarray((run_length(is_faulty, HEARD_ROWS, line) >= HEARD_ROWS).any(axis=1))


def from_recent_level(cells: Cells, is_faulty: np.ndarray) -> Cells:
    """Return the cells, less their recent level in channels that have been faulty (n, c) for long.

    A missing cell has no level: it counts as usual, as it does elsewhere, and not in the level of others.
    """
    has_settled = run_length(is_faulty, SETTLED_ROWS, cells.line) >= SETTLED_ROWS
    level = np.where(has_settled, _recent_level(cells), 0.0)
    is_at_level = has_settled & cells.is_missing
    z, kept = (np.where(is_at_level, 0.0, own - level) for own in (cells.z, cells.kept))
    usual = 0.0 if cells.usual is None else cells.usual.z
    is_nearer = np.abs(z - usual) < np.abs(kept - usual)
    kept = np.where(has_settled & is_nearer, z, kept)  # next to missing cells, a level is no glitch
    return obeying_rules(replace(cells, z=z, kept=kept), has_settled)


def _recent_level(cells: Cells) -> np.ndarray:
    """Return the decayed mean (n, c) of the cells before each cell that are not missing; 0 if nearly all are."""
    present = 1 - past_mean(cells.is_missing.astype(np.float64), LEVEL_HALF_LIFE, cells.line)
    values = np.where(cells.is_missing, 0.0, cells.relative)  # glitches among missing cells are not recognised
    total = past_mean(values, LEVEL_HALF_LIFE, cells.line)
    return np.divide(total, present, out=np.zeros_like(total), where=present > MIN_PRESENT_SHARE)
