"""What the parts of a serving process share: the configuration in force, the store, the champions."""

import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from jobs.app import App
from jobs.champions import Scorers
from jobs.reading.source import Source
from jobs.store import Store, Worker
from schemas.config import Config

if TYPE_CHECKING:
    from detector.core.scorer import Scorer

_SILENCE = timedelta(seconds=60)  # of the heartbeat, from which on the process does not do its work


class ServiceState:
    """A serving process; the configuration is replaced as a whole, everything else stays.

    Args:
        app: the application on the configuration as it was at the start.
    """

    def __init__(self, app: App) -> None:
        self._app = app
        self.config: Config = app.config
        self.store: Store = app.store
        self.scorers = Scorers(app.choose_backend)
        self.is_stopping = False  # no Event: a signal handler sets it, and must wait for no lock
        self.worker = _this_process(app.clock())
        self.beaten_at = self.worker.started_at

    def clock(self) -> datetime:
        """The time now."""
        return self._app.clock()

    @contextmanager
    def watching(self, monitor: str) -> Iterator[Source]:
        """The watched table of a monitor for one run: a changed table, and a changed address, count from the next."""
        with self._app.watching(monitor, self.config.monitor(monitor)) as source:
            yield source

    def scorer_for(self, monitor: str) -> "tuple[int, Scorer]":
        """The champion's id, and the champion ready to score.

        Raises:
            NoSuchMonitor: where the configuration has no such monitor.
            NoChampion: where no model has been trained.
        """
        settings = self.config.monitor(monitor)
        champion = self.store.models.require_champion(monitor)
        return champion.model_id, self.scorers.load(self.store, champion, settings)

    def is_alive(self) -> bool:
        """Whether the scheduler does its work."""
        return not self.is_stopping and self.clock() - self.beaten_at < _SILENCE


def _this_process(at: datetime) -> Worker:
    host = socket.gethostname()
    name = f"{host[:40]}:{os.getpid()}:{secrets.token_hex(4)}"  # a number may come back, on this host or in a container
    return Worker(id=name, host=host, pid=os.getpid(), version=_version(), started_at=at)


def _version() -> str:
    try:
        return version("plumbline")
    except PackageNotFoundError:  # run from a folder of sources
        return "unknown"
