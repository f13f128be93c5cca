"""What the API needs of the process that it runs in."""

from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from jobs.store import Store
from schemas.config import Config

if TYPE_CHECKING:
    from detector.core.scorer import Scorer


class State(Protocol):
    """The service as the API sees it; every member may be used from several threads."""

    @property
    def config(self) -> Config:
        """The configuration that is in force now."""

    @property
    def store(self) -> Store:
        """The service's own tables."""

    def clock(self) -> datetime:
        """The time now."""

    def scorer_for(self, monitor: str) -> "tuple[int, Scorer]":
        """The champion's id, and the champion ready to score.

        Raises:
            NoSuchMonitor: where the configuration has no such monitor.
            NoChampion: where no model has been trained.
        """

    def is_alive(self) -> bool:
        """Whether the scheduler does its work."""
