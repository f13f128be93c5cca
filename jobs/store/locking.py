"""The lock of a monitor: its row, held by every transaction that changes state of the whole monitor."""

from sqlalchemy import Connection, insert, select
from sqlalchemy.exc import IntegrityError

from schemas.tables import monitors


def lock_monitor(connection: Connection, monitor: str) -> None:
    """Lock the row of a monitor until the open transaction ends; insert it if it is missing."""
    locked = select(monitors.c.monitor).where(monitors.c.monitor == monitor).with_for_update()
    if connection.scalar(locked) is not None:
        return
    try:
        with connection.begin_nested():
            connection.execute(insert(monitors).values(monitor=monitor))
    except IntegrityError:  # another transaction inserted it meanwhile
        connection.execute(locked)
