"""Series: consecutive records of one entity, put in order, deduplicated, and cut into runs at gaps in time."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from detector.series.line import Line
from schemas.errors import RecordsError


@dataclass(frozen=True)
class Series:
    """Records of one entity, in the order in which they came.

    Attributes:
        times: (n,) date-times or numbers.
        values: (n, c) float64 channels, NaN if a cell is missing.
        keeps_siblings: whether each of several records with the same time is scored; else the last stands for all.
        line: of an ordered series with several records of one time; None if all records are past for later ones.
    """

    times: np.ndarray
    values: np.ndarray
    keeps_siblings: bool = False
    line: Line | None = None

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or self.times.shape != self.values.shape[:1]:
            raise RecordsError(
                f"A series needs times (n,) and values (n, channels), received {self.times.shape} and "
                f"{self.values.shape}. Pass one time for each record."
            )

    def __len__(self) -> int:
        return len(self.values)

    def ordered(self) -> tuple["Series", np.ndarray]:
        """Sort by time; of several records with the same time the last is kept, or all are and the last is on the line.

        Returns:
            The ordered series, and the position (n,) in it of each record.
        """
        order = np.argsort(self.times, kind="stable")
        times = self.times[order]
        is_last = np.append(times[1:] != times[:-1], True)[: len(times)]
        position = np.empty(len(times), dtype=np.int64)
        if self.keeps_siblings and not is_last.all():
            position[order] = np.arange(len(times))
            return Series(times, self.values[order], line=Line(is_last)), position
        position[order] = np.cumsum(is_last) - is_last
        kept = order[is_last]
        return Series(self.times[kept], self.values[kept]), position

    def runs(self, max_gap: float | None) -> Iterator[slice]:
        """Yield the runs of an ordered series: rows without a time step longer than `max_gap` between them."""
        step = np.diff(self.times)
        if np.issubdtype(step.dtype, np.timedelta64):
            step = step / np.timedelta64(1, "s")
        breaks = np.flatnonzero(step > max_gap) + 1 if max_gap is not None else np.array([], dtype=int)
        bounds = [0, *breaks.tolist(), len(self)]
        return (slice(start, end) for start, end in pairwise(bounds))
