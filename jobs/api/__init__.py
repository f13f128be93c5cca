"""The HTTP interface: what `plumbline serve` answers."""

from jobs.api.application import create_app
from jobs.api.server import ApiServer
from jobs.api.state import State

__all__ = ["ApiServer", "State", "create_app"]
