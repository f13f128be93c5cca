"""The configuration file of a serving process, as it changes on the disk."""

from pathlib import Path

_Signature = tuple[int, int, int]


class ConfigFile:
    """Tells when a file was changed, and its writer has finished.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known = self._seen = self._signature()

    def has_changed(self) -> bool:
        """Whether the file is another than at the last change told, and the same as at the last look."""
        before, self._seen = self._seen, self._signature()
        if self._seen == self._known or self._seen != before:
            return False
        self._known = self._seen
        return True

    def _signature(self) -> _Signature | None:
        try:
            found = self._path.stat()  # of the file behind a link: Kubernetes changes the link
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino
