"""Maintenance windows: times in which anomalies of one entity, or of all entities, are expected."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice

from jobs.store.maintenance_windows import StoredWindow
from jobs.timing import Timing
from schemas.config import MonitorConfig
from schemas.section import duration_text
from schemas.service import MaintenanceWindow

_LAST_TIME = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True)
class OpenSpan:
    """A span of time in which a maintenance window is open; its end is exclusive."""

    start: datetime
    end: datetime
    entity: str | None
    """The entity that it applies to; None for all."""


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

    def between(self, since: datetime, until: datetime, entity: str | None, limit: int) -> list[OpenSpan]:
        """Return the first spans in which windows of an entity, or of all entities, are open between two times.

        Args:
            since: the first time.
            until: the last time.
            entity: None for every entity.
            limit: maximum number of spans of a window.
        """
        return [
            OpenSpan(start, end, window.entity)
            for window in self._windows
            if entity is None or window.entity in {None, entity}
            for start, end in islice(window.between(since, until), limit)
        ]


@dataclass(frozen=True)
class WindowRow:
    """A maintenance window as people read it.

    Attributes:
        id: of a stored window; None for one of the configuration.
        monitor: that it applies to.
        entity: that it applies to; None for all.
        start: its start, or that of the one that is open or comes next if it recurs; None if it never opens again.
        end: its end, likewise.
        recurrence: when it opens, if repeatedly.
        state: planned, open, over or cancelled.
        reason: why.
        created_by: who stored it; "config.toml" for one of the configuration.
    """

    id: int | None
    monitor: str
    entity: str | None
    start: datetime | None
    end: datetime | None
    recurrence: str | None
    state: str
    reason: str | None
    created_by: str


def window_rows(name: str, configured: MonitorConfig, stored: Sequence[StoredWindow], at: datetime) -> list[WindowRow]:
    """Return the windows of the configuration of a monitor, and then the stored ones, newest first."""
    rows = [_configured_row(name, window, configured.time_zone, at) for window in configured.maintenance]
    return rows + [
        WindowRow(
            window.id,
            name,
            window.entity,
            window.start_time,
            window.end_time,
            None,
            window.state(at),
            window.reason,
            window.created_by,
        )
        for window in stored
    ]


def _configured_row(name: str, window: MaintenanceWindow, time_zone: str, at: datetime) -> WindowRow:
    start, end, recurrence = window.start, window.end, None
    if window.cron is not None and window.duration is not None:
        timing = Timing(window.cron, time_zone)
        recurrence = f"{window.cron} ({time_zone}) for {duration_text(window.duration)}"
        last = timing.last_due(at)
        is_open = last is not None and at < last + window.duration
        start = last if is_open else timing.next_due(at)
        end = None if start is None else start + window.duration
    state = "over"
    if start is not None and end is not None and at < end:
        state = "open" if at >= start else "planned"
    return WindowRow(None, name, window.entity, start, end, recurrence, state, None, "config.toml")


class _Once:
    """A window from one time to another."""

    def __init__(self, window: MaintenanceWindow) -> None:
        self.entity = window.entity
        self._start, self._end = window.start, window.end

    def is_open(self, time: datetime) -> bool:
        return self._start is not None and self._end is not None and self._start <= time < self._end

    def between(self, since: datetime, until: datetime) -> Iterator[tuple[datetime, datetime]]:
        if self._start is not None and self._end is not None and self._start <= until and self._end > since:
            yield self._start, self._end


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

    def between(self, since: datetime, until: datetime) -> Iterator[tuple[datetime, datetime]]:
        openings = self._openings_around(since)
        start = None if openings is None else openings[0]
        with suppress(OverflowError):  # at the end of the calendar
            while self._duration is not None and start is not None and start <= until:
                if start + self._duration > since:
                    yield start, start + self._duration
                start = self._timing.next_due(start)

    def _openings_around(self, time: datetime) -> tuple[datetime, datetime] | None:
        try:
            last, following = self._timing.last_due(time), self._timing.next_due(time)
        except OverflowError:  # at the ends of the calendar, which no window reaches
            return None
        return None if last is None else (last, following or _LAST_TIME)
