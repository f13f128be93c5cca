"""Maintenance windows: times in which anomalies of one entity, or of all entities, are expected."""

from collections.abc import Sequence
from datetime import UTC, datetime

from jobs.timing import Timing
from schemas.config import MonitorConfig
from schemas.service import MaintenanceWindow

_LAST_TIME = datetime.max.replace(tzinfo=UTC)


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
        """Return the windows in a monitor's configuration."""
        return cls(monitor.maintenance, monitor.time_zone)

    def mutes(self, entity: str | None, time: datetime) -> bool:
        """Return whether a window of the entity, or of all entities, is open at a time; its end is exclusive."""
        return any(window.entity in {None, entity} and window.is_open(time) for window in self._windows)


class _Once:
    """A window from one time to another."""

    def __init__(self, window: MaintenanceWindow) -> None:
        self.entity = window.entity
        self._start, self._end = window.start, window.end

    def is_open(self, time: datetime) -> bool:
        return self._start is not None and self._end is not None and self._start <= time < self._end


class _Recurring:
    """A window that opens by a cron expression."""

    def __init__(self, window: MaintenanceWindow, time_zone: str) -> None:
        self.entity = window.entity
        self._duration = window.duration
        self._timing = Timing(window.cron or "", time_zone)
        # The openings around the last record. Records come in order of time, so the next one mostly lies between them
        # too, and a comparison is a thousand times cheaper than finding them.
        self._openings: tuple[datetime, datetime] | None = None

    def is_open(self, time: datetime) -> bool:
        openings = self._openings
        if openings is None or not openings[0] <= time < openings[1]:
            openings = self._openings = self._openings_around(time)
        return openings is not None and self._duration is not None and time - openings[0] < self._duration

    def _openings_around(self, time: datetime) -> tuple[datetime, datetime] | None:
        try:
            last, following = self._timing.last_due(time), self._timing.next_due(time)
        except OverflowError:  # at the ends of the calendar, which no window reaches
            return None
        return None if last is None else (last, following or _LAST_TIME)
