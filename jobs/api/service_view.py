"""The interface through which the API uses the serving process."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from jobs.database_calls import Wait
from jobs.store import Store
from schemas.config import Config, MonitorConfig

if TYPE_CHECKING:
    from detector.core.scorer import Scorer
    from jobs.reading.source import Source


class ServiceView(Protocol):
    """The serving process as the API sees it; every member is thread-safe."""

    @property
    def config(self) -> Config:
        """The configuration in force."""

    @property
    def store(self) -> Store:
        """The service's own tables."""

    @property
    def health(self) -> Store:
        """The store through connections for health, metrics and keys alone, so that they wait for no other request."""

    def clock(self) -> datetime:
        """Return the current time."""

    def settings(self, monitor: str) -> MonitorConfig:
        """Return the settings of a monitor in force: those of the configuration, with stored ones in their place.

        Raises:
            NoSuchMonitor: If the configuration has no such monitor.
            ConfigError: If the stored settings no longer fit the configuration.
        """

    def open_source(self, monitor: str) -> AbstractContextManager["Source"]:
        """Open the watched table of a monitor.

        Raises:
            NoSuchMonitor: If the configuration has no such monitor.
        """

    def scorer_for(self, monitor: str) -> "tuple[int, Scorer]":
        """Return the champion's id and its scorer.

        Raises:
            NoSuchMonitor: If the configuration has no such monitor.
            NoChampion: If no model has been trained.
        """

    def is_alive(self) -> bool:
        """Return whether the scheduler is running."""

    def waits(self) -> Mapping[str, Wait]:
        """Return the monitors whose runs wait for a database longer than they should."""
