"""How long MySQL and MariaDB keep a caller waiting: timeouts of sessions, and the end of a statement."""

import math
import socket
from collections.abc import Mapping
from typing import Any

from sqlalchemy import URL, Connection

from schemas.service import Timeouts

_DRIVER = "pymysql"
_GRACE_SECONDS = 10  # that the server has to report its own timeout before the driver gives up
_SECONDS_PER_DAY = 86_400


def connect_arguments(url: URL, timeouts: Timeouts) -> Mapping[str, float]:
    """Return the driver's timeouts, without those that the address has; the greeting counts as connecting."""
    seconds = max(1, math.ceil(timeouts.connect.total_seconds()))
    is_bounded = url.drivername.endswith(_DRIVER) or "+" not in url.drivername
    names = ("connect_timeout", "read_timeout", "write_timeout") if is_bounded else ("connect_timeout",)
    return {name: seconds for name in names if name not in url.query}


def limit_session(connection: Any, timeouts: Timeouts) -> None:
    """Limit the waits of a new session."""
    statement, lock = (
        min(_SECONDS_PER_DAY, max(1, math.ceil(duration.total_seconds())))
        for duration in (timeouts.statement, timeouts.lock)
    )
    with connection.cursor() as cursor:
        cursor.execute(f"SET innodb_lock_wait_timeout = {lock}, lock_wait_timeout = {lock}")
        cursor.execute("SHOW VARIABLES LIKE 'max_statement_time'")
        is_mariadb = cursor.fetchone() is not None
        limit = f"max_statement_time = {statement}" if is_mariadb else f"max_execution_time = {statement * 1000}"
        cursor.execute(f"SET {limit}")
    _limit_driver(connection, statement + _GRACE_SECONDS)


def lift_limits(connection: Connection, lock_seconds: int) -> None:
    """Lift the limits of a session."""
    is_mariadb = bool(getattr(connection.dialect, "is_mariadb", False))
    name = "max_statement_time" if is_mariadb else "max_execution_time"
    connection.exec_driver_sql(f"SET {name} = 0, lock_wait_timeout = {lock_seconds}")
    _limit_driver(connection.connection.driver_connection, None)


def _limit_driver(connection: Any, seconds: int | None) -> None:
    """Change how long PyMySQL waits for the server; it has one timeout for the greeting and for results."""
    if hasattr(connection, "_read_timeout"):
        connection._read_timeout = connection._write_timeout = seconds  # noqa: SLF001 - there is no public way


def sever(connection: Any) -> None:
    """Shut the socket of a connection, so that whoever reads from it fails."""
    connection._sock.shutdown(socket.SHUT_RDWR)  # noqa: SLF001 - there is no public way
