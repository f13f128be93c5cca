"""The open connections of the API: idle ones give way when there are too many, so that none keeps a request out."""

from typing import Protocol

MAX_CONNECTIONS = 1_000
MAX_CONNECTIONS_PER_ADDRESS = 200


class Connection(Protocol):
    """A connection of the server."""

    @property
    def address(self) -> str:
        """The address of the caller."""

    @property
    def is_idle(self) -> bool:
        """Whether no request is in progress, even if part of one has arrived, and every response was sent."""

    def drop(self) -> None:
        """Close it."""


class Connections:
    """The open connections, oldest first; used by the thread of the server alone.

    Args:
        limit: of all connections.
        limit_per_address: of those from one address.
    """

    def __init__(self, limit: int = MAX_CONNECTIONS, limit_per_address: int = MAX_CONNECTIONS_PER_ADDRESS) -> None:
        self._limit, self._limit_per_address = limit, limit_per_address
        self._open: dict[Connection, None] = {}

    def admit(self, connection: Connection) -> bool:
        """Add a connection in place of the oldest idle one if there are too many; return False if none is idle."""
        of_address = [other for other in self._open if other.address == connection.address]
        if len(of_address) >= self._limit_per_address:
            return self._replace(of_address, connection)
        if len(self._open) >= self._limit:
            return self._replace(list(self._open), connection)
        self._open[connection] = None
        return True

    def remove(self, connection: Connection) -> None:
        """Forget a connection that was closed."""
        self._open.pop(connection, None)

    def _replace(self, candidates: list[Connection], connection: Connection) -> bool:
        idle = next((other for other in candidates if other.is_idle), None)
        if idle is None:
            return False
        self._open.pop(idle)
        idle.drop()
        self._open[connection] = None
        return True
