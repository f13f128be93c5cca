"""The monitors in the store: listed, renamed and deleted with all their rows."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, Table, and_, delete, exists, func, or_, select, union, update

from jobs.databases import reading, writing
from jobs.store.audit import SERVICE, Act, record_act
from jobs.store.locking import lock_monitor, register_monitor
from jobs.store.portions import ROWS_PER_TRANSACTION, delete_among
from schemas.errors import UsageError
from schemas.tables import (
    alerts,
    anomalies,
    api_keys,
    audit,
    batch_hours,
    batch_profiles,
    batches,
    drifts,
    entity_rhythms,
    events,
    incident_notes,
    incidents,
    maintenance_windows,
    metadata,
    models,
    monitors,
    pruned_events,
    retrain_requests,
    runs,
    scores,
    tunings,
)

_DELETED = "~deleted~"  # follows the name of a monitor while its rows are being deleted; no configuration can name it
_OF_BATCHES: tuple[Table, ...] = (scores, batch_hours, batch_profiles, anomalies)  # others go with their batch
_OTHERS: tuple[Table, ...] = (
    drifts,
    alerts,
    incident_notes,
    incidents,
    maintenance_windows,
    events,
    runs,
    retrain_requests,
    models,
)
# The models come first: a planner locks the row of its model, and so waits until the monitor is renamed.
_IN_ORDER: tuple[Table, ...] = (
    models,
    batches,
    *(table for table in metadata.sorted_tables if "monitor" in table.c and table not in {models, batches, monitors}),
)
_KEYED_BY_MONITOR = frozenset({monitors, pruned_events, entity_rhythms, tunings})  # the name is in their primary key


@dataclass(frozen=True)
class StoredMonitor:
    """What the store holds of a monitor."""

    monitor: str
    models: int = 0
    champion_id: int | None = None
    records: int = 0
    """Number of records scored."""
    anomalies: int = 0
    """Number of flagged rows."""
    scored_until: datetime | None = None
    """The newest record time scored."""
    last_run_at: datetime | None = None


class Monitors:
    """The monitors in the store.

    Args:
        engine: of the store's database.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def register(self, names: Iterable[str]) -> None:
        """Make the store accept retrain requests for monitors that have no model yet."""
        listed = sorted(names)
        with reading(self.engine) as connection:
            present = set(connection.scalars(select(monitors.c.monitor).where(monitors.c.monitor.in_(listed))))
        for name in listed:
            if name not in present:
                with writing(self.engine) as connection:
                    register_monitor(connection, name)

    def names(self) -> list[str]:
        """Return the names of the monitors that have a model or a scored record, in order."""
        with reading(self.engine) as connection:
            return _names(connection)

    def all(self) -> list[StoredMonitor]:
        """Return what the store holds of each monitor, by name."""
        with reading(self.engine) as connection:
            return _stored(connection, _names(connection))

    def rename(self, old: str, new: str, at: datetime, actor: str = SERVICE) -> None:
        """Give all rows of a monitor another name, in one transaction.

        A worker that scores or trains the monitor meanwhile loses its claim, and its result is discarded.

        Args:
            old: the name of the monitor.
            new: its name from now on.
            at: the time now.
            actor: whoever renames it.

        Raises:
            UsageError: If the store has no monitor of the old name, or has models or batches of the new one.
        """
        with writing(self.engine) as connection:
            for name in sorted((old, new)):
                lock_monitor(connection, name)
            if not _is_stored(connection, old):
                raise UsageError(_not_stored(old, _names(connection)))
            if _is_stored(connection, new):
                raise UsageError(
                    f"The store has a monitor {new!r} already. "
                    f"Choose another name, or delete it first: plumbline monitors delete {new}"
                )
            _release_work(connection, old)
            record_act(connection, Act(actor, "rename monitor", f"monitor {old}", old, {"new_name": new}), at)
            _rename(connection, old, new, _IN_ORDER)
            _rename_in_keys(connection, old, new)

    def delete(self, name: str, at: datetime, actor: str = SERVICE) -> int:
        """Delete all rows of a monitor, and return the number of its flagged rows and batches.

        The monitor is gone at once, in one transaction; its rows are then deleted in small ones. An interrupted
        deletion is continued by the next one, and by `purge`.

        Args:
            name: of the monitor.
            at: the time now.
            actor: whoever deletes it.

        Raises:
            UsageError: If the store has no monitor of this name.
        """
        with writing(self.engine) as connection:
            lock_monitor(connection, name)
            if not _is_stored(connection, name):
                raise UsageError(_not_stored(name, _names(connection)))
            _release_work(connection, name)
            record_act(connection, Act(actor, "delete monitor", f"monitor {name}", name), at)
            hidden = f"{name}{_DELETED}{connection.scalar(select(func.max(batches.c.id))) or 0}"[:64]
            _rename(connection, name, hidden, [table for table in _IN_ORDER if table not in {scores, audit}])
        return self.purge()

    def purge(self) -> int:
        """Delete the remaining rows of deleted monitors, and return the number of flagged rows and batches."""
        with reading(self.engine) as connection:
            hidden = connection.scalars(select(monitors.c.monitor).where(monitors.c.monitor.contains(_DELETED))).all()
        return sum(_purge(self.engine, name) for name in hidden)


def _names(connection: Connection) -> list[str]:
    """Return the monitors that have a model, or had a batch planned."""
    m = monitors.c
    is_used = or_(m.key_columns.is_not(None), m.scored_until.is_not(None))
    has_batch = exists().where(batches.c.monitor == m.monitor)
    names = union(select(models.c.monitor), select(m.monitor).where(or_(is_used, has_batch)))
    return sorted(name for name in connection.scalars(names) if _DELETED not in name)


def _is_stored(connection: Connection, name: str) -> bool:
    return any(
        connection.scalar(select(table.c.id).where(table.c.monitor == name).limit(1)) is not None
        for table in (models, batches)
    )


def _stored(connection: Connection, names: Sequence[str]) -> list[StoredMonitor]:
    """Return what the store holds of monitors, read by as many statements for 200 of them as for one."""
    m, b, a, r, row = models.c, batches.c, anomalies.c, runs.c, monitors.c
    champions = select(m.monitor, m.id).where(m.monitor.in_(names), m.state == "champion")
    records = _by_monitor(connection, b.monitor, names, func.sum(b.records))
    values = {
        "models": _by_monitor(connection, m.monitor, names, func.count()),
        "champion_id": {row.monitor: row.id for row in connection.execute(champions)},
        "records": {name: int(total or 0) for name, total in records.items()},
        "anomalies": _by_monitor(connection, a.monitor, names, func.count()),
        "scored_until": _by_monitor(connection, row.monitor, names, func.max(row.scored_until)),
        "last_run_at": _by_monitor(connection, r.monitor, names, func.max(r.started_at)),
    }
    return [
        StoredMonitor(name, **{field: of[name] for field, of in values.items() if of.get(name) is not None})
        for name in names
    ]


def _by_monitor(connection: Connection, monitor: Any, names: Sequence[str], value: Any) -> dict[str, Any]:
    """Return an aggregate of the rows of each monitor."""
    rows = connection.execute(select(monitor, value).where(monitor.in_(names)).group_by(monitor))
    return {name: number for name, number in rows}  # noqa: C416 - rows are no pairs to the type checker


def _release_work(connection: Connection, name: str) -> None:
    """Take running batches and retrain requests from their workers."""
    b, r = batches.c, retrain_requests.c
    freed = {"state": "pending", "token": None, "lease_until": None}
    connection.execute(update(batches).where(b.monitor == name, b.state == "running").values(freed))
    is_running = and_(r.monitor == name, r.state == "running")
    connection.execute(update(retrain_requests).where(is_running).values({**freed, "served_by": None}))


def _rename(connection: Connection, old: str, new: str, tables: Iterable[Table]) -> None:
    """Rename a monitor in tables, and then in its own row, which takes the place of the row of the new name."""
    for table in tables:
        if table in _KEYED_BY_MONITOR:
            connection.execute(delete(table).where(table.c.monitor == new))
        connection.execute(update(table).where(table.c.monitor == old).values(monitor=new))
    connection.execute(delete(monitors).where(monitors.c.monitor == new))
    connection.execute(update(monitors).where(monitors.c.monitor == old).values(monitor=new))


def _rename_in_keys(connection: Connection, old: str, new: str) -> None:
    """Let API keys of the old name see the monitor under its new one, and no other monitor of the old name."""
    c = api_keys.c
    for key_id, names in connection.execute(select(c.id, c.monitors).order_by(c.id)).all():
        if names and old in names:
            renamed = sorted({new if name == old else name for name in names})
            connection.execute(update(api_keys).where(c.id == key_id).values(monitors=renamed))


def _purge(engine: Engine, name: str) -> int:
    """Delete the rows of a deleted monitor in small transactions: first those of its batches, then all others."""
    deleted = 0
    while ids := _ids(engine, batches, name, limit=100):
        for batch_id in ids:
            with writing(engine) as connection:
                for table in _OF_BATCHES:
                    deleted += connection.execute(delete(table).where(table.c.batch_id == batch_id)).rowcount
                connection.execute(delete(batches).where(batches.c.id == batch_id))
    for table in _OTHERS:
        while ids := _ids(engine, table, name, limit=ROWS_PER_TRANSACTION):
            with writing(engine) as connection:
                delete_among(connection, table.c.id, ids)
    with writing(engine) as connection:
        for table in _KEYED_BY_MONITOR:
            connection.execute(delete(table).where(table.c.monitor == name))
    return deleted


def _ids(engine: Engine, table: Table, name: str, limit: int) -> list[int]:
    with reading(engine) as connection:
        return list(connection.scalars(select(table.c.id).where(table.c.monitor == name).limit(limit)))


def _not_stored(name: str, names: Iterable[str]) -> str:
    return f"The store has no monitor {name!r}. Its monitors: {', '.join(names) or 'none'}."
