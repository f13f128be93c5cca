"""Events: gaps, late records, missed runs, drift, refused models, new entities, and more."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import eq, ge, lt
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, and_, select, update

from jobs.databases import writing
from jobs.store.alerts import AlertTexts, add_event_alerts
from jobs.store.event_kinds import EventKind, is_about_locks, is_alerted
from jobs.store.locking import lock_monitor
from jobs.store.numbering import insert_numbered
from jobs.store.paging import is_among, read_page
from schemas.tables import events


@dataclass(frozen=True)
class NewEvent:
    """An event, before it has a row."""

    kind: EventKind
    message: str
    monitor: str | None = None
    entity: str | None = None
    since: datetime | None = None
    """Its start, if that is earlier than its detection."""
    counts: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class StoredEvent:
    """A recorded event."""

    id: int
    kind: str
    message: str
    monitor: str | None
    entity: str | None
    at: datetime
    since: datetime | None
    until: datetime | None
    """Its end; None while it is ongoing, and if it has no duration."""
    counts: Mapping[str, Any] | None


@dataclass(frozen=True)
class EventQuery:
    """A filter of events; a field that is None does not restrict.

    The next page has `before_id` set to the last id of this one.
    """

    monitor: str | None = None
    kind: str | None = None
    since: datetime | None = None
    """The earliest detection."""
    until: datetime | None = None
    """The end of the detections, exclusive."""
    limit: int = 50
    before_id: int | None = None
    monitors: Collection[str] | None = None
    """Only these; None for all."""


class EventLog:
    """Writes events into open transactions, with their alerts if events of the kind are alerted.

    Args:
        texts: write the texts of alerts.
    """

    def __init__(self, texts: AlertTexts) -> None:
        self._texts = texts

    def write(self, connection: Connection, event: NewEvent, at: datetime, channels: Iterable[str] = ()) -> int:
        """Record an event, alert channels, and return its id."""
        event_id = _insert(connection, event, at, until=None if event.since is None else at)
        self._alert(connection, event_id, event, at, channels)
        return event_id

    def open(self, connection: Connection, event: NewEvent, at: datetime, channels: Iterable[str] = ()) -> int | None:
        """Record the start of an event, alert channels, and return its id; None if such an event is ongoing."""
        if event.monitor is not None and not is_about_locks(event.kind):
            lock_monitor(connection, event.monitor)
        if connection.scalar(select(events.c.id).where(_is_ongoing(event)).limit(1)) is not None:
            return None
        event_id = _insert(connection, event, at, since=event.since or at)
        self._alert(connection, event_id, event, at, channels)
        return event_id

    def _alert(
        self, connection: Connection, event_id: int, event: NewEvent, at: datetime, channels: Iterable[str]
    ) -> None:
        if is_alerted(event.kind):
            add_event_alerts(connection, event_id, channels, self._texts, at)

    @staticmethod
    def close(connection: Connection, event: NewEvent, at: datetime) -> bool:
        """Record the end of the event of this kind, monitor and entity; return False if none is ongoing."""
        return connection.execute(update(events).where(_is_ongoing(event)).values(until=at)).rowcount > 0


class Events:
    """The events of every monitor, and of the service itself.

    Args:
        engine: of the store's database.
        log: writes events.
    """

    def __init__(self, engine: Engine, log: EventLog) -> None:
        self.engine = engine
        self._log = log

    def add(self, event: NewEvent, at: datetime, channels: Iterable[str] = ()) -> int:
        """Record an event, alert channels, and return its id."""
        with writing(self.engine) as connection:
            return self._log.write(connection, event, at, channels)

    def add_once(self, new_events: Sequence[NewEvent], at: datetime, limit: int) -> int:
        """Record the first `limit` events that are not recorded yet, and return their number.

        An event counts as recorded if there is one of its monitor, kind, entity and counts. All events must have the
        same monitor and kind.
        """
        with writing(self.engine) as connection:
            lock_monitor(connection, str(new_events[0].monitor))
            unrecorded = _unrecorded(connection, new_events)[:limit]
            for event in unrecorded:
                self._log.write(connection, event, at)
        return len(unrecorded)

    def open(self, event: NewEvent, at: datetime, channels: Iterable[str] = ()) -> int | None:
        """Record the start of an event, and alert channels.

        Returns:
            The event's id; None if an event of its kind, monitor and entity is ongoing.
        """
        with writing(self.engine) as connection:
            return self._log.open(connection, event, at, channels)

    def close(self, kind: EventKind, monitor: str | None, at: datetime, entity: str | None = None) -> bool:
        """Record the end of an event; return False if none is ongoing."""
        with writing(self.engine) as connection:
            return self._log.close(connection, NewEvent(kind, "", monitor, entity), at)

    def page(self, query: EventQuery) -> list[StoredEvent]:
        """Return a page of events, newest first."""
        c = events.c
        filters = (
            (c.monitor, eq, query.monitor),
            (c.monitor, is_among, query.monitors),
            (c.kind, eq, query.kind),
            (c.at, ge, query.since),
            (c.at, lt, query.until),
        )
        is_timed = query.since is not None or query.until is not None
        return read_page(self.engine, events, StoredEvent, query, filters, c.at if is_timed else None)


def _unrecorded(connection: Connection, new_events: Sequence[NewEvent]) -> list[NewEvent]:
    c = events.c
    is_same_kind = and_(c.monitor == new_events[0].monitor, c.kind == new_events[0].kind)
    recorded: dict[str | None, list[Any]] = defaultdict(list)
    for entity, counts in connection.execute(select(c.entity, c.counts).where(is_same_kind)):
        recorded[entity].append(counts)
    return [event for event in new_events if event.counts not in recorded[event.entity]]


def _insert(connection: Connection, event: NewEvent, at: datetime, **times: datetime | None) -> int:
    row = {
        "kind": event.kind,
        "message": event.message,
        "monitor": event.monitor,
        "entity": event.entity,
        "since": event.since,
        "counts": None if event.counts is None else dict(event.counts),
        "at": at,
    }
    return insert_numbered(connection, events, row | times)


def _is_ongoing(event: NewEvent) -> ColumnElement[bool]:
    c = events.c
    is_same = and_(
        c.kind == event.kind,
        c.monitor.is_not_distinct_from(event.monitor),
        c.entity.is_not_distinct_from(event.entity),
    )
    return and_(is_same, c.since.is_not(None), c.until.is_(None))
