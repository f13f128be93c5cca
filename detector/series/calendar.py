"""Calendar: the usual value of each channel by time of day, day of the week and day of the month, in local time.

Weeks may alternate, and the usual value may move with that of recent days. A holiday counts as a Sunday.
`calendar_choice` has how training finds it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from detector.series.channels import MEDIAN_ROWS, Cells, Usual
from detector.series.clock import MONTH_DAYS, WEEK_DAYS, Clock, Places, day_numbers
from detector.series.recent_days import CONTEXT_DAYS, recent_level

MONTH_PLACES = 2 * MONTH_DAYS  # of working days, and of weekends


@dataclass(frozen=True)
class Calendar:
    """The usual course of each channel over the week, in standardised cells.

    Attributes:
        clock: of the records.
        is_used: (c,) 1 for channels that follow the calendar, else 0.
        centre: (s, c) float32, the usual cell in each slot; 0 for other channels.
        spread: (s, c) float32, the usual deviation from it.
        month: float32, the usual deviation on each day of the month; 0 unless records are daily. Either (31, c), or
            (124, c): of working days and of weekends, by the days from the start and then by those to the end.
        largest_move: (c,) largest distance of a cell, less its usual value, from the median of such distances before it
            in training; None in older models, which find glitches without the calendar.
        is_moving: (c,) 1 for channels whose usual value moves with that of recent days, else 0; None if none does.
        day_rows: (1,) records of a day, if a channel moves.
    """

    clock: Clock
    is_used: np.ndarray
    centre: np.ndarray
    spread: np.ndarray
    month: np.ndarray
    largest_move: np.ndarray | None = None
    is_moving: np.ndarray | None = None
    day_rows: np.ndarray | None = None

    def to_state(self) -> dict[str, np.ndarray]:
        """Return all arrays by name; time zone and holidays are settings."""
        optional = {"largest_move": self.largest_move, "is_moving": self.is_moving, "day_rows": self.day_rows}
        optional["weeks"] = np.array([float(self.clock.weeks)]) if self.clock.weeks > 1 else None
        course = {"is_used": self.is_used, "centre": self.centre, "spread": self.spread, "month": self.month}
        return course | {name: array for name, array in optional.items() if array is not None}

    @classmethod
    def from_state(cls, state: Mapping[str, np.ndarray], zone: str, holidays: Sequence[str]) -> Self:
        """Return the calendar of a state that `to_state` wrote."""
        weeks = int(state["weeks"][0]) if "weeks" in state else 1
        arrays = {name: array for name, array in state.items() if name != "weeks"}
        clock = Clock(zone, len(state["centre"]) // (WEEK_DAYS * weeks), day_numbers(holidays), weeks)
        return cls(clock, **arrays)

    def expected(self, times: np.ndarray) -> Usual:
        """Return the usual cells at times (n,), without those of recent days."""
        places = self.clock.places(times)
        usual = (self.centre[places.slot] + self._of_month(places)).astype(np.float64)
        return Usual(usual, self.spread[places.slot].astype(np.float64), self.is_used == 1)

    def usual(self, times: np.ndarray, cells: Cells) -> Usual:
        """Return the usual cells at times (n,); of channels that move, with the level of recent days."""
        expected = self.expected(times)
        if self.is_moving is None or self.day_rows is None:
            return expected
        columns, z = np.flatnonzero(self.is_moving), expected.z
        residual = np.where(cells.is_missing, np.nan, cells.kept - z)[:, columns]
        level = np.zeros_like(z)
        level[:, columns] = recent_level(residual, int(self.day_rows[0]), cells.line)
        return replace(expected, z=z + level, level=level)

    @property
    def context_rows(self) -> int:
        """The number of earlier rows that a usual value depends on."""
        return 0 if self.day_rows is None else CONTEXT_DAYS * int(self.day_rows[0]) + MEDIAN_ROWS

    def _of_month(self, places: Places) -> np.ndarray:
        if len(self.month) == MONTH_DAYS:
            return self.month[places.month_day]
        later = MONTH_DAYS * places.is_weekend
        return np.asarray(self.month[places.month_day + later] + self.month[MONTH_PLACES + places.end_day + later])
