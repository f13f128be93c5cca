"""What happened beside anomalies: gaps, late records, missed runs, drift, refused models, new entities."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from operator import eq, ge, lt
from typing import Any, Literal, TypeAlias

from sqlalchemy import ColumnElement, Connection, Engine, Select, and_, insert, select, update

from jobs.databases import reading, writing
from jobs.store.locking import lock_monitor
from jobs.store.outbox import tell_event
from schemas.tables import events

EventKind: TypeAlias = Literal[
    "gap",
    "too_late",
    "late",
    "missed_run",
    "config_refused",
    "drift",
    "retrain_refused",
    "promoted",
    "failing",
    "new_entity",
]


@dataclass(frozen=True)
class NewEvent:
    """An event, before it has a row."""

    kind: EventKind
    message: str
    monitor: str | None = None
    entity: str | None = None
    since: datetime | None = None
    """When it began, where that is earlier than the time at which it was noticed."""
    counts: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class StoredEvent:
    """An event on record."""

    id: int
    kind: str
    message: str
    monitor: str | None
    entity: str | None
    at: datetime
    since: datetime | None
    until: datetime | None
    """When it ended; None while it goes on, and where it has no length."""
    counts: Mapping[str, Any] | None


@dataclass(frozen=True)
class EventQuery:
    """Which events are asked for; a part that is None does not restrict.

    A page is followed by the next with `before_id` set to the last id seen.
    """

    monitor: str | None = None
    kind: str | None = None
    since: datetime | None = None
    """The earliest time at which it was noticed."""
    until: datetime | None = None
    """Noticed before this."""
    limit: int = 50
    before_id: int | None = None


_STORED = [events.c[field.name] for field in fields(StoredEvent)]


class Events:
    """The events of every monitor, and of the service itself.

    Args:
        engine: the store's.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def add(self, event: NewEvent, at: datetime, tell: Iterable[str] = ()) -> int:
        """Record what happened, and tell it to these channels; the event's id."""
        with writing(self.engine) as connection:
            return write_event(connection, event, at, tell)

    def add_once(self, found: Sequence[NewEvent], at: datetime, most: int) -> int:
        """Record the first `most` events of which none of the same monitor, kind, entity and counts is there; how many.

        All are of one monitor and kind.
        """
        with writing(self.engine) as connection:
            lock_monitor(connection, str(found[0].monitor))
            new = _not_there(connection, found)[:most]
            for event in new:
                write_event(connection, event, at)
        return len(new)

    def open(self, event: NewEvent, at: datetime, tell: Iterable[str] = ()) -> int | None:
        """Record what goes on from now on, and tell it to these channels.

        Returns:
            The event's id; None where one of its kind, monitor and entity goes on already.
        """
        with writing(self.engine) as connection:
            return start_event(connection, event, at, tell)

    def close(self, kind: EventKind, monitor: str | None, at: datetime, entity: str | None = None) -> bool:
        """Record that an event is over; False where none goes on."""
        with writing(self.engine) as connection:
            return end_event(connection, NewEvent(kind, "", monitor, entity), at)

    def page(self, query: EventQuery) -> list[StoredEvent]:
        """A page of events, newest first."""
        with reading(self.engine) as connection:
            return [StoredEvent(**row) for row in connection.execute(_page(query)).mappings()]


def write_event(connection: Connection, event: NewEvent, at: datetime, tell: Iterable[str] = ()) -> int:
    """Record what happened, inside the open transaction; the event's id."""
    event_id = _insert(connection, event, at, until=None if event.since is None else at)
    tell_event(connection, event_id, dict.fromkeys(tell), at)
    return event_id


def start_event(connection: Connection, event: NewEvent, at: datetime, tell: Iterable[str] = ()) -> int | None:
    """Record what goes on from now on, inside the open transaction; None where it goes on already."""
    if event.monitor is not None:
        lock_monitor(connection, event.monitor)
    if connection.scalar(select(events.c.id).where(_goes_on(event)).limit(1)) is not None:
        return None
    event_id = _insert(connection, event, at, since=event.since or at)
    tell_event(connection, event_id, dict.fromkeys(tell), at)
    return event_id


def end_event(connection: Connection, event: NewEvent, at: datetime) -> bool:
    """End the event of this kind, monitor and entity, inside the open transaction; False where none goes on."""
    return connection.execute(update(events).where(_goes_on(event)).values(until=at)).rowcount > 0


def _not_there(connection: Connection, found: Sequence[NewEvent]) -> list[NewEvent]:
    c = events.c
    is_alike = and_(c.monitor == found[0].monitor, c.kind == found[0].kind)
    known: dict[str | None, list[Any]] = defaultdict(list)
    for entity, counts in connection.execute(select(c.entity, c.counts).where(is_alike)):
        known[entity].append(counts)
    return [event for event in found if event.counts not in known[event.entity]]


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
    return int(connection.execute(insert(events).values(row | times).returning(events.c.id)).scalar_one())


def _goes_on(event: NewEvent) -> ColumnElement[bool]:
    c = events.c
    is_same = and_(
        c.kind == event.kind,
        c.monitor.is_not_distinct_from(event.monitor),
        c.entity.is_not_distinct_from(event.entity),
    )
    return and_(is_same, c.since.is_not(None), c.until.is_(None))


def _page(query: EventQuery) -> Select[Any]:
    c = events.c
    conditions = (
        (c.monitor, eq, query.monitor),
        (c.kind, eq, query.kind),
        (c.at, ge, query.since),
        (c.at, lt, query.until),
        (c.id, lt, query.before_id),
    )
    wanted = [compare(column, value) for column, compare, value in conditions if value is not None]
    return select(*_STORED).where(*wanted).order_by(c.id.desc()).limit(query.limit)
