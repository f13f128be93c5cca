"""Flagged records of each day as bars of a small picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from jobs.store.history import DayCount

BAR_WIDTH, HEIGHT = 8.0, 28.0
_MIN_HEIGHT = 1.5  # of a day that has flagged records


@dataclass(frozen=True)
class DayBar:
    """A day in a sparkline; the height is 0 if nothing is flagged."""

    day: date
    records: int
    flagged: int
    x: float
    height: float


@dataclass(frozen=True)
class Sparkline:
    """Bars of days, and the number of flagged records a day that the rate in force stands for.

    Attributes:
        bars: of the days.
        expected_height: height of the number that the rate expects; None without a rate or records.
        expected_a_day: this number.
        flagged_a_day: the number of flagged records of a day with records, on average; None without records.
    """

    bars: tuple[DayBar, ...]
    expected_height: float | None
    expected_a_day: float | None
    flagged_a_day: float | None

    @property
    def width(self) -> float:
        """The width of all bars."""
        return BAR_WIDTH * len(self.bars)


def sparkline(counts: Sequence[DayCount], last: date, days: int, rate: float | None) -> Sparkline:
    """Return the sparkline of the days up to the last one."""
    by_day = {count.day: count for count in counts}
    shown = [last - timedelta(days=days - 1 - position) for position in range(days)]
    filled = [by_day.get(day, DayCount(day, 0, 0)) for day in shown]
    records = sum(count.records for count in filled)
    busy_days = sum(1 for count in filled if count.records)
    expected = rate * records / busy_days if rate is not None and busy_days else None
    tallest = max([*(count.anomalies for count in filled), expected or 0.0, 1.0])
    bars = tuple(
        DayBar(count.day, count.records, count.anomalies, BAR_WIDTH * position, _height(count.anomalies, tallest))
        for position, count in enumerate(filled)
    )
    flagged = sum(count.anomalies for count in filled) / busy_days if busy_days else None
    return Sparkline(bars, None if expected is None else HEIGHT * expected / tallest, expected, flagged)


def _height(flagged: int, tallest: float) -> float:
    return max(HEIGHT * flagged / tallest, _MIN_HEIGHT) if flagged else 0.0
