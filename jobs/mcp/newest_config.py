"""The configuration of an application, read again when its file has changed."""

import logging
from typing import TYPE_CHECKING

from jobs.config_file import ConfigFile
from schemas.errors import ConfigError, PlumblineError

if TYPE_CHECKING:
    from jobs.app import App

_log = logging.getLogger("plumbline")


class NewestConfig:
    """Keeps the configuration of an application equal to its file, without a restart.

    Args:
        app: the application.
    """

    def __init__(self, app: "App") -> None:
        self._app, self._file = app, ConfigFile(app.path)

    def refresh(self) -> None:
        """Read the file if it has changed; if it is not valid, the configuration of before stays in force."""
        if not (self._file.has_changed() or self._file.has_changed()):  # a change counts once it is seen twice
            return
        try:
            config = self._app.read_config()
            if config.store != self._app.config.store:
                raise ConfigError("The section [store] has changed. Restart `plumbline mcp` to use it.")
        except PlumblineError as exc:
            _log.warning("The changed configuration is not used, and the one before stays in force. %s", exc)
            return
        self._app.config = config
