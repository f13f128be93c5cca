"""Incidents that had ended too long ago to be alerted when they were found: marked, then summed up in one event."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Engine, and_, exists, func, select, update

from jobs.databases import reading, writing
from jobs.store.events import EventLog, NewEvent
from jobs.store.incidents import CURRENT_STATES
from jobs.store.locking import lock_monitor
from schemas.tables import alerts, incidents


@dataclass(frozen=True)
class Unannounced:
    """The incidents of a monitor that were found too late to be alerted one by one."""

    incidents: int
    first_start: datetime
    last_end: datetime


class UnannouncedIncidents:
    """The incidents of every monitor that were not alerted because they had ended too long ago.

    Args:
        engine: of the store's database.
        event_log: writes events.
    """

    def __init__(self, engine: Engine, event_log: EventLog) -> None:
        self.engine = engine
        self._event_log = event_log

    def pending(self, monitor: str) -> Unannounced | None:
        """Return the incidents that no event has summed up yet, or None."""
        c = incidents.c
        numbers = (func.count(), func.min(c.start_time), func.max(c.end_time))
        with reading(self.engine) as connection:
            count, first_start, last_end = connection.execute(select(*numbers).where(_is_pending(monitor))).one()
        return Unannounced(count, first_start, last_end) if count else None

    def sum_up(self, event: NewEvent, at: datetime, channels: tuple[str, ...]) -> bool:
        """Record the event that sums up the pending incidents of its monitor; return False if there are none."""
        monitor = str(event.monitor)
        with writing(self.engine) as connection:
            lock_monitor(connection, monitor)
            summed = update(incidents).where(_is_pending(monitor)).values(not_announced="summed")
            if connection.execute(summed).rowcount == 0:
                return False
            self._event_log.write(connection, event, at, channels)
        return True


def _is_pending(monitor: str) -> ColumnElement[bool]:
    """Return the condition for marked incidents that were not alerted before or after they were marked."""
    c = incidents.c
    is_alerted = exists().where(alerts.c.incident_id == c.id)
    return and_(c.monitor == monitor, c.not_announced == "pending", c.state.in_(CURRENT_STATES), ~is_alerted)
