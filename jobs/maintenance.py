"""Maintenance windows: recurring or single times in which anomalies are expected, for one entity or all."""

from collections.abc import Sequence
from datetime import UTC, datetime

from jobs.timing import Timing
from schemas.config import MonitorConfig
from schemas.service import MaintenanceWindow

_END_OF_CALENDAR = datetime.max.replace(tzinfo=UTC)


class Maintenance:
    """The maintenance windows of a monitor.

    Args:
        windows: the configured windows.
        time_zone: time zone of their cron expressions.
    """

    def __init__(self, windows: Sequence[MaintenanceWindow], time_zone: str) -> None:
        self._windows = [
            _RecurringWindow(window, time_zone) if window.cron else _SingleWindow(window) for window in windows
        ]

    @classmethod
    def of(cls, monitor: MonitorConfig) -> "Maintenance":
        """Return the maintenance windows of a monitor's configuration."""
        return cls(monitor.maintenance, monitor.time_zone)

    def mutes(self, entity: str | None, time: datetime) -> bool:
        """Whether a window for this entity or for all is open at a time; the start is included, the end is not."""
        return any(window.entity in {None, entity} and window.is_open(time) for window in self._windows)


class _SingleWindow:
    """A window with a start and an end."""

    def __init__(self, window: MaintenanceWindow) -> None:
        self.entity = window.entity
        self._start, self._end = window.start, window.end

    def is_open(self, time: datetime) -> bool:
        return self._start is not None and self._end is not None and self._start <= time < self._end


class _RecurringWindow:
    """A window that opens by cron."""

    def __init__(self, window: MaintenanceWindow, time_zone: str) -> None:
        self.entity = window.entity
        self._duration = window.duration
        self._timing = Timing(window.cron or "", time_zone)
        # Cache of the last opening and the following one: records come in order of time, so the next record
        # usually lies between them, and computing them costs a thousand times more than a comparison.
        self._openings: tuple[datetime, datetime] | None = None

    def is_open(self, time: datetime) -> bool:
        openings = self._openings
        if openings is None or not openings[0] <= time < openings[1]:
            openings = self._openings = self._openings_around(time)
        return openings is not None and self._duration is not None and time - openings[0] < self._duration

    def _openings_around(self, time: datetime) -> tuple[datetime, datetime] | None:
        try:
            opened, following = self._timing.last_due(time), self._timing.next_due(time)
        except OverflowError:  # at the ends of the calendar, which no window covers
            return None
        return None if opened is None else (opened, following or _END_OF_CALENDAR)
