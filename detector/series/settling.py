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
HEARD_ROWS = 2 * SETTLED_ROWS  # the same, until what is high above that level counts
CONTEXT_ROWS = FAULT_ROWS + SETTLED_ROWS + CALM_ROWS  # earlier rows by which a cell less its recent level is unusual


def heard_rows(is_faulty: np.ndarray, line: Line | None) -> np.ndarray:
    """Return whether a channel (n, c) has been faulty for so long that other faults are measured from it, (n,) bool."""
    return np.asarray((run_length(is_faulty, HEARD_ROWS, line) >= HEARD_ROWS).any(axis=1))


def from_recent_level(cells: Cells, is_faulty: np.ndarray) -> Cells:
    """Return the cells, less their recent level in channels that have been faulty (n, c) for long.

    A missing cell has no level: it counts as usual, as it does elsewhere.
    """
    has_settled = run_length(is_faulty, SETTLED_ROWS, cells.line) >= SETTLED_ROWS
    level = np.where(has_settled, past_mean(cells.relative_kept, LEVEL_HALF_LIFE, cells.line), 0.0)
    is_at_level = has_settled & cells.is_missing
    z, kept = (np.where(is_at_level, 0.0, own - level) for own in (cells.z, cells.kept))
    return obeying_rules(replace(cells, z=z, kept=kept), has_settled)
