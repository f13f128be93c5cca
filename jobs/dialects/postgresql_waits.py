"""How long PostgreSQL keeps a caller waiting: timeouts of connections and sessions, and the end of a statement."""

import math
import socket
from collections.abc import Mapping
from contextlib import closing
from datetime import timedelta
from os import dup
from typing import Any

from sqlalchemy import URL

from schemas.service import Timeouts

_MIN_CONNECT_SECONDS = 2  # of libpq
_CANCEL_SECONDS = 2.0
_PROBES = 3


def connect_arguments(url: URL, timeouts: Timeouts) -> Mapping[str, int]:
    """Return libpq's parameters for connections that notice a silent network, without those that the address has."""
    silence = timeouts.silence.total_seconds()
    probe_seconds = max(1, math.floor(silence / (_PROBES + 1)))
    parameters = {
        "connect_timeout": max(_MIN_CONNECT_SECONDS, math.ceil(timeouts.connect.total_seconds())),
        "keepalives_idle": probe_seconds,
        "keepalives_interval": probe_seconds,
        "keepalives_count": _PROBES,
        "tcp_user_timeout": _milliseconds(timeouts.silence),
    }
    return {name: value for name, value in parameters.items() if name not in url.query and _is_understood(url, name)}


def session_limits(timeouts: Timeouts) -> str:
    """Return the statement that limits a session; limits that the role, the database or the address set stay."""
    limits = {"lock_timeout": timeouts.lock, "statement_timeout": timeouts.statement}
    rows = ", ".join(f"('{name}', '{_milliseconds(limit)}')" for name, limit in limits.items())
    return (
        f"SELECT set_config(name, value, false) FROM (VALUES {rows}) AS limits (name, value) "
        "WHERE current_setting(name) = '0'"
    )


def cancel(connection: Any) -> None:
    """Send the server a request to cancel the statement of a connection."""
    if hasattr(connection, "cancel_safe"):  # psycopg
        connection.cancel_safe(timeout=_CANCEL_SECONDS)
    else:
        connection.cancel()


def sever(connection: Any) -> None:
    """Shut the socket of a connection; libpq, which may be reading from it, keeps its own descriptor."""
    with closing(socket.socket(fileno=dup(connection.fileno()))) as copy:
        copy.shutdown(socket.SHUT_RDWR)


def _is_understood(url: URL, parameter: str) -> bool:
    """Return whether the driver passes a parameter to libpq."""
    return parameter == "connect_timeout" or url.get_driver_name() in {"psycopg", "psycopg2"}


def _milliseconds(duration: timedelta) -> int:
    return max(1, math.ceil(duration / timedelta(milliseconds=1)))
