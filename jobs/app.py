"""The composition root: configuration, databases, clock and backend."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from schemas.config import Config, config_from_text, load_config

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import SecretStr
    from sqlalchemy import Engine

    from detector.core.model_card import ModelCard
    from jobs.databases import PoolSize
    from jobs.reading.source import Source
    from jobs.store import Store
    from schemas.config import MonitorConfig
    from schemas.service import Timeouts


def open_store(engine: "Engine") -> "Store":
    """Return the store in a database, with the texts of alerts and the readers of model cards.

    Raises:
        StoreError: If the database cannot be reached, or its schema is not this version's.
    """
    from jobs.alert_messages import ALERT_TEXTS
    from jobs.store import Store

    return Store(engine, ALERT_TEXTS, _card_from_json)


def _card_from_json(card: "Mapping[str, Any]") -> "ModelCard":
    from jobs.kinds import card_from_json

    return card_from_json(card)


class App:
    """Everything a command needs, opened on first use.

    Args:
        path: the configuration file.
        text: of the file, if it is on another machine.
    """

    def __init__(self, path: Path, text: str | None = None) -> None:
        self.path, self._text = path, text
        self._open = ExitStack()

    @classmethod
    @contextmanager
    def opened(cls, path: Path, text: str | None = None) -> Iterator["App"]:
        """Open the application on a configuration file, and close its connections at the end of the block."""
        app = cls(path, text)
        with app._open:
            yield app

    @cached_property
    def config(self) -> Config:
        """The configuration, as read on first use.

        Raises:
            ConfigError: If it cannot be read.
        """
        return self.read_config()

    def read_config(self) -> Config:
        """Read the configuration file.

        Raises:
            ConfigError: If it cannot be read.
        """
        if self._text is not None:
            return config_from_text(self._text, self.path, os.environ)
        return load_config(self.path, os.environ)

    @staticmethod
    def clock() -> datetime:
        """Return the current time."""
        return datetime.now(UTC)

    @cached_property
    def engine(self) -> "Engine":
        """The store's database."""
        return self._open_store_engine(self.config.store.timeouts)

    def open(self, url: "SecretStr") -> "Engine":
        """Open an engine on a database; it is closed with the application."""
        from jobs.databases import open_engine

        engine = open_engine(url)
        self._open.callback(engine.dispose)
        return engine

    def separate_store(self, longest: "Timeouts", connections: int) -> "Store":
        """Open the store with connections of its own, which wait no longer than given."""
        from jobs.databases import PoolSize

        timeouts = self.config.store.timeouts.at_most(longest)
        return open_store(self._open_store_engine(timeouts, PoolSize(connections, 0)))

    def _open_store_engine(self, timeouts: "Timeouts", pool: "PoolSize | None" = None) -> "Engine":
        from jobs.databases import PoolSize, open_engine

        engine = open_engine(self.config.store.url, timeouts, pool or PoolSize())
        self._open.callback(engine.dispose)
        return engine

    @cached_property
    def store(self) -> "Store":
        """The service's own tables."""
        return open_store(self.engine)

    def monitor(self, name: str) -> "MonitorConfig":
        """Return the settings of a monitor in force: those of the configuration, with stored ones in their place.

        Raises:
            NoSuchMonitor: If the configuration has no such monitor.
            ConfigError: If the stored settings no longer fit the configuration.
        """
        from jobs.settings_in_force import settings_in_force

        return settings_in_force(self.store, name, self.config.monitor(name))

    def source(self, name: str) -> "Source":
        """Open the watched table of a monitor with the settings in force; it is closed with the application.

        Raises:
            NoSuchMonitor: If the configuration has no such monitor.
            ConfigError: If the stored settings no longer fit the configuration.
        """
        self.config.monitor(name)  # a wrong name is reported even if there is no store
        return self._open.enter_context(self.open_source(name, self.monitor(name)))

    def configured_source(self, name: str) -> "Source":
        """Open the watched table of a monitor as configured, whatever the store holds; likewise.

        Raises:
            NoSuchMonitor: If the configuration has no such monitor.
        """
        return self._open.enter_context(self.open_source(name, self.config.monitor(name)))

    @contextmanager
    def open_source(self, name: str, monitor: "MonitorConfig") -> "Iterator[Source]":
        """Open the watched table of a monitor, and close its connections at the end of the block."""
        from jobs.databases import open_engine
        from jobs.reading.source import Source
        from jobs.start_up import share_arena

        share_arena()
        engine = open_engine(monitor.source or self.config.store.url, monitor.timeouts)
        source = Source(name, monitor, engine)
        try:
            yield source
        finally:
            source.close()
            engine.dispose()

    def choose_backend(self) -> None:
        """Load Keras with the configured backend and device; commands that need no model skip this."""
        from detector.core.keras_backend import choose_backend

        choose_backend(self.config.runtime.backend, self.config.runtime.device)
