"""Maintenance windows: times in which anomalies are expected, by cron or once, of one entity or of all."""

from collections.abc import Sequence
from datetime import UTC, datetime

from jobs.timing import Timing
from schemas.config import MonitorConfig
from schemas.service import MaintenanceWindow

_END_OF_TIME = datetime.max.replace(tzinfo=UTC)


class Maintenance:
    """The maintenance windows of a monitor.

    Args:
        windows: as configured.
        time_zone: of their cron expressions.
    """

    def __init__(self, windows: Sequence[MaintenanceWindow], time_zone: str) -> None:
        self._windows = [_Recurring(window, time_zone) if window.cron else _Once(window) for window in windows]

    @classmethod
    def of(cls, monitor: MonitorConfig) -> "Maintenance":
        """The windows in a monitor's configuration."""
        return cls(monitor.maintenance, monitor.time_zone)

    def mutes(self, entity: str | None, time: datetime) -> bool:
        """Whether a window of this entity, or of all, is open at a time; its begin belongs to it, its end does not."""
        return any(window.entity in {None, entity} and window.is_open(time) for window in self._windows)


class _Once:
    """A window from one time to another."""

    def __init__(self, window: MaintenanceWindow) -> None:
        self.entity = window.entity
        self._start, self._end = window.start, window.end

    def is_open(self, time: datetime) -> bool:
        return self._start is not None and self._end is not None and self._start <= time < self._end


class _Recurring:
    """A window that opens by cron."""

    def __init__(self, window: MaintenanceWindow, time_zone: str) -> None:
        self.entity = window.entity
        self._duration = window.duration
        self._timing = Timing(window.cron or "", time_zone)
        # The last opening that was found and the one after it: records come in order of time, so the next
        # record lies mostly between them, and finding them costs a thousand times more than comparing.
        self._between: tuple[datetime, datetime] | None = None

    def is_open(self, time: datetime) -> bool:
        found = self._between
        if found is None or not found[0] <= time < found[1]:
            found = self._between = self._around(time)
        return found is not None and self._duration is not None and time - found[0] < self._duration

    def _around(self, time: datetime) -> tuple[datetime, datetime] | None:
        try:
            opened, following = self._timing.last_due(time), self._timing.next_due(time)
        except OverflowError:  # at the ends of the calendar, where no window is
            return None
        return None if opened is None else (opened, following or _END_OF_TIME)
