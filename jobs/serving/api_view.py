"""The serving process as its API sees it: with connections to the store that no run waits for, and none for a run."""

from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from jobs.database_calls import Wait
from jobs.reading.source import Source
from jobs.serving.service_state import ServiceState
from jobs.settings_in_force import settings_in_force
from jobs.store import Store
from schemas.config import Config, MonitorConfig
from schemas.service import Timeouts

if TYPE_CHECKING:
    from detector.core.scorer import Scorer

_LONGEST = Timeouts(connect=timedelta(seconds=5), lock=timedelta(seconds=10), statement=timedelta(minutes=1))
_LONGEST_FOR_HEALTH = Timeouts(  # probes give up after four seconds
    connect=timedelta(seconds=3), lock=timedelta(seconds=3), statement=timedelta(seconds=10)
)
_CONNECTIONS = 8  # as many as the API has threads
_HEALTH_CONNECTIONS = 4


class ApiView:
    """A serving process as a `jobs.api.ServiceView`.

    Args:
        state: of the process.

    Attributes:
        store: for requests in general.
        health: the store for health, metrics and keys, whose connections no other request uses.
    """

    def __init__(self, state: ServiceState) -> None:
        self._state = state
        self.store: Store = state.separate_store(_LONGEST, _CONNECTIONS)
        self.health: Store = state.separate_store(_LONGEST_FOR_HEALTH, _HEALTH_CONNECTIONS)

    @property
    def config(self) -> Config:
        """The configuration in force."""
        return self._state.config

    def clock(self) -> datetime:
        """Return the current time."""
        return self._state.clock()

    def settings(self, monitor: str) -> MonitorConfig:
        """Return the settings of a monitor in force: those of the configuration, with stored ones in their place.

        Raises:
            NoSuchMonitor: If the configuration has no such monitor.
            ConfigError: If the stored settings no longer fit the configuration.
        """
        return settings_in_force(self.store, monitor, self.config.monitor(monitor))

    def open_source(self, monitor: str) -> AbstractContextManager[Source]:
        """Open the watched table of a monitor.

        Raises:
            NoSuchMonitor: If the configuration has no such monitor.
        """
        return self._state.open_source(monitor, _LONGEST)

    def scorer_for(self, monitor: str) -> "tuple[int, Scorer]":
        """Return the champion's id and its scorer.

        Raises:
            NoSuchMonitor: If the configuration has no such monitor.
            NoChampion: If no model has been trained.
        """
        settings = self.settings(monitor)
        champion = self.store.models.require_champion(monitor)
        return champion.model_id, self._state.scorers.load(self.store, champion, settings)

    def is_alive(self) -> bool:
        """Return whether the scheduler is running."""
        return self._state.is_alive()

    def waits(self) -> dict[str, Wait]:
        """Return the monitors whose runs wait for a database longer than they should."""
        return self._state.waits()
