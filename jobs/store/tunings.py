"""Settings of monitors that people stored, in place of those of the configuration."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, delete, insert, select

from jobs.databases import reading, writing
from jobs.store.audit import Act, record_act
from jobs.store.locking import lock_monitor
from jobs.store.paging import columns_of
from schemas.errors import UsageError
from schemas.tables import tunings


@dataclass(frozen=True)
class StoredTuning:
    """The stored settings of a monitor."""

    monitor: str
    settings: Mapping[str, Any]
    """Those that differ from the configuration, as in the section of the monitor."""
    changed_at: datetime
    changed_by: str


class Tunings:
    """The stored settings of every monitor.

    Args:
        engine: of the store's database.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def all(self) -> dict[str, StoredTuning]:
        """Return the stored settings by monitor."""
        statement = select(*columns_of(tunings, StoredTuning)).order_by(tunings.c.monitor)
        with reading(self.engine) as connection:
            stored = [StoredTuning(**row) for row in connection.execute(statement).mappings()]
        return {item.monitor: item for item in stored}

    def get(self, monitor: str) -> StoredTuning | None:
        """Return the stored settings of a monitor, or None."""
        statement = select(*columns_of(tunings, StoredTuning)).where(tunings.c.monitor == monitor)
        with reading(self.engine) as connection:
            row = connection.execute(statement).mappings().first()
        return None if row is None else StoredTuning(**row)

    def put(self, monitor: str, settings: Mapping[str, Any], at: datetime, actor: str) -> None:
        """Store settings of a monitor in place of all that were stored before."""
        row = {"monitor": monitor, "settings": dict(settings), "changed_at": at, "changed_by": actor}
        with writing(self.engine) as connection:
            lock_monitor(connection, monitor)
            connection.execute(delete(tunings).where(tunings.c.monitor == monitor))
            connection.execute(insert(tunings).values(row))
            record_act(connection, Act(actor, "tune", f"monitor {monitor}", monitor, dict(settings)), at)

    def clear(self, monitor: str, at: datetime, actor: str) -> None:
        """Remove the stored settings of a monitor, so that those of the configuration are in force.

        Raises:
            UsageError: If there are none.
        """
        with writing(self.engine) as connection:
            lock_monitor(connection, monitor)
            if not connection.execute(delete(tunings).where(tunings.c.monitor == monitor)).rowcount:
                msg = f"Monitor {monitor!r} has no stored settings; those of config.toml are in force."
                raise UsageError(msg)
            record_act(connection, Act(actor, "clear tuning", f"monitor {monitor}", monitor), at)
