"""Evidence: how much each channel of a record, and of the records before it, speaks for a fault in that channel.

It is the sum of five squares, as a running mean over the shortest span of the score, since a record is flagged for the
records before it, too:

- the distance from the channel's mean, or from its usual value at this time of the week;
- the error of a forecast from the channel's own past;
- a broken rule;
- the deviation of its dispersion from that of training, if it is beyond the 1 or 99 % quantile;
- the error of the relation that a change of this channel alone can remove, above its mean of late. It is bounded: if
  most channels leave their range together, the one that does not breaks the relation most, and is not the cause.

A two-valued state has a distance by the calendar alone, and no forecast.

So the evidence of different records can be compared, and their shares cannot: in a record that is hardly odd, one
channel may have the whole score.
"""

import numpy as np

from detector.series.channels import Cells
from detector.series.running_means import past_mean, running_mean
from detector.series.signals import LONG, Signals

RARE_DEVIATION = 2.33  # standard deviations, of the 99 % quantile of what is normally distributed
MAX_RELATION = 4.0  # usual errors of the relation


def evidence(cells: Cells, signals: Signals, is_measured: np.ndarray, half_life: int) -> np.ndarray:
    """Return the evidence of each channel, (n, c), at least 0.

    Args:
        cells: of consecutive records.
        signals: of the model.
        is_measured: (c,) whether a channel's distances count; its broken rules do in any case.
        half_life: of the running mean, in records.
    """
    is_continuous = np.isin(np.arange(cells.z.shape[1]), signals.continuous)
    error = np.where(is_continuous, signals.own.residual(cells), 0.0)
    broken = np.minimum(broken_relation(cells, signals), MAX_RELATION)
    squares = np.square(cells.deviation) + np.square(error) + np.square(broken)
    squares = np.where(is_measured, squares, 0.0) + np.square(cells.rule_violation)
    if signals.dispersion is not None:
        dispersion = np.abs(signals.dispersion.deviation(cells, signals.own.errors(cells)))
        squares += np.square(np.where(dispersion > 1, RARE_DEVIATION * dispersion, 0.0))
    return running_mean(squares, half_life, cells.line)


def broken_relation(cells: Cells, signals: Signals) -> np.ndarray:
    """Return the error of the relation that a change of each channel can remove, (n, c), above its mean of late."""
    relation = signals.relation
    if relation is None or not relation.tells_channels_apart:
        return np.zeros_like(cells.z)
    removed = np.sqrt(relation.removed_by(cells))
    return np.asarray(np.maximum(removed - past_mean(removed, LONG, cells.line), 0))
