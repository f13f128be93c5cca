"""Change detection for the configuration file of a serving process."""

from pathlib import Path

_Signature = tuple[int, int, int]


class ConfigFile:
    """Detects changes of the configuration file, once its writer has finished.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reported = self._latest = self._signature()

    def has_changed(self) -> bool:
        """Return whether the file differs from the last reported version, and is unchanged since the previous call."""
        previous, self._latest = self._latest, self._signature()
        if self._latest == self._reported or self._latest != previous:
            return False
        self._reported = self._latest
        return True

    def _signature(self) -> _Signature | None:
        try:
            status = self._path.stat()  # of the file behind a link: Kubernetes changes the link
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino
