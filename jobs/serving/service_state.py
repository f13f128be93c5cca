"""The state that the parts of a serving process share: configuration in force, store, champions, heartbeat."""

import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from importlib.metadata import PackageNotFoundError, version

from jobs.app import App
from jobs.champions import Scorers
from jobs.database_calls import CALLS, Wait
from jobs.reading.source import Source
from jobs.settings_in_force import settings_in_force
from jobs.store import Store, Worker
from schemas.config import Config, MonitorConfig
from schemas.service import Timeouts

_MAX_HEARTBEAT_AGE = timedelta(seconds=60)  # an older one means that the scheduler is stuck


class ServiceState:
    """The shared state of a serving process; a reload replaces the configuration as a whole.

    Args:
        app: the application, with the configuration as it was at the start.
    """

    def __init__(self, app: App) -> None:
        self._app = app
        self.config: Config = app.config
        self.store: Store = app.store
        self.scorers = Scorers()
        self.is_stopping = False  # no Event: a signal handler sets it, and must not wait for a lock
        self.worker = _this_process(app.clock())
        self.last_heartbeat_at = self.worker.started_at

    def clock(self) -> datetime:
        """Return the current time."""
        return self._app.clock()

    def settings(self, monitor: str) -> MonitorConfig:
        """Return the settings of a monitor in force: those of the configuration, with stored ones in their place.

        Raises:
            NoSuchMonitor: If the configuration has no such monitor.
            ConfigError: If the stored settings no longer fit the configuration.
        """
        return settings_in_force(self.store, monitor, self.config.monitor(monitor))

    @contextmanager
    def open_source(self, monitor: str, longest: Timeouts | None = None) -> Iterator[Source]:
        """Open the watched table of a monitor for one run, so that each run sees changes of table and address.

        Args:
            monitor: its name.
            longest: bounds of its timeouts, if any.
        """
        settings = self.settings(monitor)
        if longest is not None:
            settings = settings.model_copy(update={"timeouts": settings.timeouts.at_most(longest)})
        with self._app.open_source(monitor, settings) as source:
            yield source

    def waits(self) -> dict[str, Wait]:
        """Return the monitors whose runs wait for a database longer than they should."""
        return CALLS.waiting(self.config.service.waiting_after.total_seconds())

    def separate_store(self, longest: Timeouts, connections: int) -> Store:
        """Open the store with connections of its own, which wait no longer than given."""
        return self._app.separate_store(longest, connections)

    def is_alive(self) -> bool:
        """Return whether the scheduler is running."""
        return not self.is_stopping and self.clock() - self.last_heartbeat_at < _MAX_HEARTBEAT_AGE


def _this_process(at: datetime) -> Worker:
    host = socket.gethostname()
    name = f"{host[:40]}:{os.getpid()}:{secrets.token_hex(4)}"  # process ids are reused
    return Worker(id=name, host=host, pid=os.getpid(), version=_version(), started_at=at)


def _version() -> str:
    try:
        return version("plumbline")
    except PackageNotFoundError:  # run from a source folder
        return "unknown"
