"""Line: the records that are past for later records, among records of which several may have one time.

Of several records of one time the last is past for later records. The others are siblings: each is scored by the
records before its time, as if it were the last record, and no record depends on it. So the past is computed once,
however many records share a time.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np

Rows: TypeAlias = np.ndarray | slice


@dataclass(frozen=True)
class Line:
    """The line among n rows in order of time, siblings before the row of the line that has their time.

    Attributes:
        is_past: (n,) bool, whether a row is past for later rows; the last row is.
    """

    is_past: np.ndarray

    @cached_property
    def rows(self) -> np.ndarray:
        """The rows of the line, in ascending order."""
        return np.flatnonzero(self.is_past)

    @cached_property
    def places(self) -> np.ndarray:
        """(n,): the number of rows of the line that are past for each row."""
        return np.cumsum(self.is_past) - self.is_past

    def at(self, rows: Rows) -> "Line":
        """Return the line among consecutive rows, which do not end with a sibling."""
        return Line(self.is_past[rows])

    def earlier(self, rows: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows with at least `rows` past rows, and the row that came `rows` before each.

        >>> later, past = Line(np.array([True, False, True, True])).earlier(1)
        >>> later.tolist(), past.tolist()
        ([1, 2, 3], [0, 0, 2])
        """
        later = np.flatnonzero(self.places >= rows)
        return later, self.rows[self.places[later] - rows]


def earlier_rows(n: int, rows: int, line: Line | None) -> tuple[Rows, Rows]:
    """Return those of n rows with at least `rows` past rows, and the row that came `rows` before each.

    Without a line all rows are past for the rows after them.
    """
    return (slice(rows, None), slice(0, max(0, n - rows))) if line is None else line.earlier(rows)


def row_before(row: int, rows: int, line: Line | None) -> int:
    """Return the row that came `rows` before a row, or the first row."""
    if line is None or row >= len(line.is_past):
        return max(0, row - rows)
    place = int(line.places[row])
    return int(line.rows[place - rows]) if place >= rows else 0
