"""The lock on a monitor: who changes what belongs to a whole monitor holds its row."""

from sqlalchemy import Connection, insert, select
from sqlalchemy.exc import IntegrityError

from schemas.tables import monitors


def lock_monitor(connection: Connection, monitor: str) -> None:
    """Hold a monitor's row until the open transaction ends; it is made where there is none."""
    held = select(monitors.c.monitor).where(monitors.c.monitor == monitor).with_for_update()
    if connection.scalar(held) is not None:
        return
    try:
        with connection.begin_nested():
            connection.execute(insert(monitors).values(monitor=monitor))
    except IntegrityError:  # another transaction made it meanwhile
        connection.execute(held)
