"""The row of a monitor: its lock, held by every transaction that changes state of the whole monitor."""

from sqlalchemy import Connection, insert, select
from sqlalchemy.exc import IntegrityError

from schemas.tables import monitors


def lock_monitor(connection: Connection, monitor: str) -> None:
    """Lock the row of a monitor until the open transaction ends; insert it if it is missing."""
    locked = select(monitors.c.monitor).where(monitors.c.monitor == monitor).with_for_update()
    if connection.scalar(locked) is None and not _insert(connection, monitor):
        connection.execute(locked)


def register_monitor(connection: Connection, monitor: str) -> None:
    """Insert the row of a monitor if it is missing, so that the database accepts retrain requests for it."""
    if connection.scalar(select(monitors.c.monitor).where(monitors.c.monitor == monitor)) is None:
        _insert(connection, monitor)


def _insert(connection: Connection, monitor: str) -> bool:
    """Insert the row of a monitor; return False if another transaction has inserted it meanwhile."""
    try:
        with connection.begin_nested():
            connection.execute(insert(monitors).values(monitor=monitor))
    except IntegrityError:
        return False
    return True
