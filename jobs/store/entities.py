"""The entities of monitors: their rhythms, learned batch by batch, and which of them are retired."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, RowMapping, and_, bindparam, func, insert, or_, select, update

from jobs.databases import reading, writing
from jobs.store.audit import SERVICE, Act, record_act
from jobs.store.chunks import chunks
from jobs.store.events import EventLog, NewEvent
from jobs.store.locking import lock_monitor
from jobs.store.paging import columns_of
from jobs.store.rhythm import BatchRhythms, Pause, Rhythm, SourcePause, notable
from schemas.errors import UsageError
from schemas.tables import entity_rhythms, events, monitors

_MAX_ENTITIES = 10_000  # of a monitor; the rhythm of others is not learned
_ROWS_PER_STATEMENT = 1_000
_MAX_SUBJECT = 128  # characters of an act's subject; its detail has the whole name


@dataclass(frozen=True)
class Entity:
    """An entity of a monitor."""

    name: str
    rhythm: Rhythm
    retired_at: datetime | None
    silent_since: datetime | None
    """Its last record, if its silence is an ongoing event."""


@dataclass(frozen=True)
class Activity:
    """The entities of a monitor, and how far its records are scored."""

    scored_until: datetime | None
    """The newest record time scored."""
    records: int
    """Records scored so far, by which pauses are measured."""
    source_pauses: tuple[SourcePause, ...]
    """The pauses of all entities that are longer than every later one, oldest first."""
    entities: tuple[Entity, ...]


class Entities:
    """The entities of every monitor.

    Args:
        engine: of the store's database.
        event_log: writes events.
    """

    def __init__(self, engine: Engine, event_log: EventLog) -> None:
        self.engine = engine
        self._event_log = event_log

    def activity(self, monitor: str, since: datetime | None = None) -> Activity:
        """Return the entities of a monitor by name: those that sent a record since a time, and the silent ones."""
        c, m = entity_rhythms.c, monitors.c
        with reading(self.engine) as connection:
            silent = silent_since(connection, monitor)
            is_recent = [] if since is None else [or_(c.last_at >= since, c.entity.in_(silent))]
            rows = select(entity_rhythms).where(c.monitor == monitor, *is_recent).order_by(c.entity)
            entities = [_entity(row, silent) for row in connection.execute(rows).mappings()]
            columns = (m.scored_until, m.records_counted, m.source_pauses)
            state = connection.execute(select(*columns).where(m.monitor == monitor)).first()
        scored_until, records, pauses = (None, 0, None) if state is None else state
        return Activity(scored_until, records, tuple(_source_pauses(pauses)), tuple(entities))

    def record_silences(
        self,
        monitor: str,
        begun: Sequence[NewEvent],
        ended: Collection[str],
        at: datetime,
        channels: Sequence[str],
        summary: NewEvent | None = None,
    ) -> None:
        """Record the events of entities that fell silent, and the ends of those whose silence is over.

        Args:
            monitor: the name of the monitor.
            begun: an event for each entity that fell silent; skipped if one is ongoing.
            ended: names of entities.
            at: the time now.
            channels: to alert, once for the summary if there is one, and otherwise for each event.
            summary: an event about all of them.
        """
        with writing(self.engine) as connection:
            lock_monitor(connection, monitor)
            for name in ended:
                self._event_log.close(connection, NewEvent("silent", "", monitor, name), at)
            each = [self._event_log.open(connection, event, at, () if summary else channels) for event in begun]
            if summary is not None and any(event_id is not None for event_id in each):
                self._event_log.write(connection, summary, at, channels)

    def retire(self, monitor: str, entity: str, at: datetime, actor: str = SERVICE) -> None:
        """Record that an entity no longer sends: its silence is no event, and an ongoing one ends.

        Args:
            monitor: the name of the monitor.
            entity: the name of the entity.
            at: the time now.
            actor: whoever retires it.

        Raises:
            UsageError: If no record of the entity was scored.
        """
        with writing(self.engine) as connection:
            lock_monitor(connection, monitor)
            _set_retired(connection, monitor, entity, at)
            record_act(connection, _act(actor, "retire entity", monitor, entity), at)
            self._event_log.close(connection, NewEvent("silent", "", monitor, entity), at)

    def watch(self, monitor: str, entity: str, at: datetime, actor: str = SERVICE) -> None:
        """Record that a retired entity is watched again.

        Args:
            monitor: the name of the monitor.
            entity: the name of the entity.
            at: the time now.
            actor: whoever watches it.

        Raises:
            UsageError: If no record of the entity was scored.
        """
        with writing(self.engine) as connection:
            _set_retired(connection, monitor, entity, None)
            record_act(connection, _act(actor, "watch entity", monitor, entity), at)


def learn_rhythms(connection: Connection, monitor: str, new: BatchRhythms, records: int, at: datetime) -> None:
    """Add a batch that is scored for the first time to the rhythms of a monitor, whose lock the caller holds.

    Args:
        connection: in a transaction.
        monitor: the name of the monitor.
        new: the rhythms in the batch.
        records: in the batch.
        at: the time now; a record of the future counts as of now.
    """
    m = monitors.c
    state = connection.execute(
        select(m.records_counted, m.scored_until, m.source_pauses).where(m.monitor == monitor)
    ).one()
    pauses = notable((*_source_pauses(state.source_pauses), *new.pauses_since(state.scored_until or new.first_at)))
    changed = {
        "records_counted": state.records_counted + records,
        "source_pauses": [[min(time, at).isoformat() for time in pause] for pause in pauses],
    }
    connection.execute(update(monitors).where(m.monitor == monitor).values(changed))
    _learn(
        connection, monitor, {name: item.moved(state.records_counted).until(at) for name, item in new.entities.items()}
    )


def _learn(connection: Connection, monitor: str, later: Mapping[str, Rhythm]) -> None:
    earlier = _rhythms(connection, monitor, later)
    _update(connection, monitor, {name: rhythm.followed_by(later[name]) for name, rhythm in earlier.items()})
    free = _MAX_ENTITIES - _count(connection, monitor)
    unknown = [name for name in later if name not in earlier]
    new = [{"monitor": monitor, "entity": name} | _values(later[name]) for name in unknown]
    for chunk in chunks(new[: max(free, 0)], _ROWS_PER_STATEMENT):
        connection.execute(insert(entity_rhythms), chunk)


def _source_pauses(stored: Sequence[Sequence[str]] | None) -> list[SourcePause]:
    return [SourcePause(*map(datetime.fromisoformat, pause)) for pause in stored or ()]


def silent_since(connection: Connection, monitor: str) -> dict[str, datetime]:
    """Return the last record of each entity whose silence is an ongoing event, by name."""
    return silences_of(connection, [monitor])[monitor]


def silences_of(connection: Connection, names: Collection[str]) -> dict[str, dict[str, datetime]]:
    """Return the last record of each entity whose silence is an ongoing event, by monitor and name."""
    e = events.c
    is_ongoing = and_(e.monitor.in_(names), e.kind == "silent", e.since.is_not(None), e.until.is_(None))
    rows = connection.execute(select(e.monitor, e.entity, e.since).where(is_ongoing).order_by(e.since, e.entity))
    silences: dict[str, dict[str, datetime]] = {name: {} for name in names}
    for monitor, entity, since in rows:
        if entity is not None:
            silences[monitor][entity] = since
    return silences


def _entity(row: RowMapping, silent: Mapping[str, datetime]) -> Entity:
    return Entity(row["entity"], _rhythm(row), row["retired_at"], silent.get(row["entity"]))


def _rhythms(connection: Connection, monitor: str, names: Iterable[str]) -> dict[str, Rhythm]:
    c = entity_rhythms.c
    found: dict[str, Rhythm] = {}
    for chunk in chunks(names):
        rows = select(entity_rhythms).where(c.monitor == monitor, c.entity.in_(chunk))
        found |= {row["entity"]: _rhythm(row) for row in connection.execute(rows).mappings()}
    return {name: found[name] for name in names if name in found}


def _rhythm(row: RowMapping) -> Rhythm:
    numbers = {name: row[name] for name in ("first_position", "last_position", "pauses")}
    usual = {name: row[name] for name in ("usual_records", "usual_seconds")}
    longest = tuple(Pause(records, datetime.fromisoformat(ended_at)) for records, ended_at in row["longest"])
    return Rhythm(row["first_at"], row["last_at"], **numbers, **usual, longest=longest)


def _values(rhythm: Rhythm) -> dict[str, Any]:
    return {**vars(rhythm), "longest": [[pause.records, pause.ended_at.isoformat()] for pause in rhythm.longest]}


def _update(connection: Connection, monitor: str, rhythms: Mapping[str, Rhythm]) -> None:
    c = entity_rhythms.c
    columns: dict[str, Any] = {column.name: bindparam(column.name) for column in columns_of(entity_rhythms, Rhythm)}
    change = update(entity_rhythms).where(c.monitor == monitor, c.entity == bindparam("of_entity")).values(columns)
    for chunk in chunks(
        ({"of_entity": name} | _values(rhythm) for name, rhythm in rhythms.items()), _ROWS_PER_STATEMENT
    ):
        connection.execute(change, chunk)


def _count(connection: Connection, monitor: str) -> int:
    count = select(func.count()).where(entity_rhythms.c.monitor == monitor)
    return int(connection.scalar(count) or 0)


def _act(actor: str, action: str, monitor: str, entity: str) -> Act:
    subject = f"entity {entity}"[:_MAX_SUBJECT]
    return Act(actor, action, subject, monitor, {"entity": entity})


def _set_retired(connection: Connection, monitor: str, entity: str, at: datetime | None) -> None:
    c = entity_rhythms.c
    change = update(entity_rhythms).where(c.monitor == monitor, c.entity == entity).values(retired_at=at)
    if connection.execute(change).rowcount == 0:
        msg = f"Monitor {monitor!r} has no entity {entity!r}. List its entities with: plumbline entities list {monitor}"
        raise UsageError(msg)
