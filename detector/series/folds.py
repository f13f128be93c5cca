"""Folds: each fifth of a history is held back in turn, so that all of its records calibrate, at every time of day.

The last fifth of a short history is some hours or days of one kind: what is usual in them is seldom what is usual in
the next week. The records next to a fold are left out as well, since a machine changes little from one to the next.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from detector.series.segments import take_rows
from detector.series.series import Series

FOLDS = 5
MAX_RECORDS, MAX_CELLS = 30_000, 250_000  # of a history that is held back fold by fold; a larger one takes too long
MAX_GUARD_ROWS, GUARD_SHARE = 64, 0.1  # on both sides of a fold; of the history


@dataclass(frozen=True)
class Fold:
    """Consecutive records that are held back, and the others.

    Attributes:
        others: runs of the other records.
        held_back: runs up to the last record of the fold, and the position of the first one in each.
    """

    others: Sequence[Series]
    held_back: Sequence[tuple[Series, int]]

    @property
    def later(self) -> list[Series]:
        """The runs of held-back records."""
        return [take_rows(run, slice(start, None)) for run, start in self.held_back]


def is_held_back_by_folds(runs: Sequence[Series]) -> bool:
    """Return whether runs are small enough to hold back each of their folds."""
    return sum(map(len, runs)) <= MAX_RECORDS and sum(run.values.size for run in runs) <= MAX_CELLS


def folds_of(runs: Sequence[Series]) -> Iterator[Fold]:
    """Yield the folds of runs of records in order."""
    starts = np.cumsum([0, *map(len, runs)])
    total = int(starts[-1])
    guard = min(MAX_GUARD_ROWS, int(GUARD_SHARE * total))
    edges = np.round(np.linspace(0, total, FOLDS + 1)).astype(int).tolist()
    for first, last in pairwise(edges):
        parts = list(zip(runs, starts.tolist(), strict=False))
        others = [part for run, start in parts for part in _outside(run, first - guard - start, last + guard - start)]
        spans = [(run, max(0, first - start), min(len(run), last - start)) for run, start in parts]
        held_back = [(take_rows(run, slice(0, end)), begin) for run, begin, end in spans if begin < end]
        yield Fold(others, held_back)


def _outside(run: Series, first: int, last: int) -> Iterator[Series]:
    """Yield the parts of a run before row `first` and from row `last` on; rows beyond its ends are allowed."""
    if first >= len(run) or last <= 0:
        yield run
        return
    if first > 0:
        yield take_rows(run, slice(0, first))
    if last < len(run):
        yield take_rows(run, slice(last, None))
