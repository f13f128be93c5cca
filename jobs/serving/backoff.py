"""When to try again what failed."""

import threading
from datetime import datetime, timedelta

_FIRST = timedelta(seconds=2)


class Backoff:
    """Failures in a row, each of which doubles the time to the next attempt.

    Args:
        most: the longest time.
    """

    def __init__(self, most: timedelta = timedelta(minutes=5)) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._failures = 0
        self._retry_at: datetime | None = None

    def failed(self, at: datetime) -> int:
        """Note a failure; how many there are in a row."""
        with self._lock:
            self._retry_at = at + min(_FIRST * 2 ** min(self._failures, 16), self._most)
            self._failures += 1
            return self._failures

    def succeeded(self) -> int:
        """Note a success; how many failures it ends."""
        with self._lock:
            failures, self._failures, self._retry_at = self._failures, 0, None
            return failures

    @property
    def has_failed(self) -> bool:
        """Whether the last attempt failed."""
        return self._failures > 0

    def is_over(self, at: datetime) -> bool:
        """Whether the next attempt may be made."""
        return self._retry_at is None or at >= self._retry_at
