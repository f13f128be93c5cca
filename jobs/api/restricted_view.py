"""The service as a caller sees it whose key is for some monitors only."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from typing import TYPE_CHECKING

from jobs.api.service_view import ServiceView
from jobs.database_calls import Wait
from jobs.store import Store
from schemas.config import Config, MonitorConfig

if TYPE_CHECKING:
    from detector.core.scorer import Scorer
    from jobs.reading.source import Source


class RestrictedView:
    """A `ServiceView` whose configuration has no other monitors; lists of the store are filtered by the routes.

    Args:
        service: the whole service.
        monitors: the only monitors of the caller.
    """

    def __init__(self, service: ServiceView, monitors: frozenset[str]) -> None:
        self._service = service
        config = service.config
        seen = {name: monitor for name, monitor in config.monitors.items() if name in monitors}
        self.config: Config = config.model_copy(update={"monitors": seen})
        self.store: Store = service.store
        self.health: Store = service.health

    def clock(self) -> datetime:
        """Return the current time."""
        return self._service.clock()

    def settings(self, monitor: str) -> MonitorConfig:
        """Return the settings of a monitor in force.

        Raises:
            NoSuchMonitor: If the caller sees no such monitor.
            ConfigError: If the stored settings no longer fit the configuration.
        """
        self.config.monitor(monitor)
        return self._service.settings(monitor)

    def open_source(self, monitor: str) -> AbstractContextManager["Source"]:
        """Open the watched table of a monitor.

        Raises:
            NoSuchMonitor: If the caller sees no such monitor.
        """
        self.config.monitor(monitor)
        return self._service.open_source(monitor)

    def scorer_for(self, monitor: str) -> "tuple[int, Scorer]":
        """Return the champion's id and its scorer.

        Raises:
            NoSuchMonitor: If the caller sees no such monitor.
            NoChampion: If no model has been trained.
        """
        self.config.monitor(monitor)
        return self._service.scorer_for(monitor)

    def is_alive(self) -> bool:
        """Return whether the scheduler is running."""
        return self._service.is_alive()

    def waits(self) -> Mapping[str, Wait]:
        """Return the monitors whose runs wait for a database longer than they should."""
        return {name: wait for name, wait in self._service.waits().items() if name in self.config.monitors}
