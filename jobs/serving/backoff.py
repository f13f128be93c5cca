"""Exponential backoff: when to retry what failed."""

import threading
from datetime import datetime, timedelta

_FIRST_DELAY = timedelta(seconds=2)


class Backoff:
    """Consecutive failures, each of which doubles the delay before the next attempt.

    Args:
        max_delay: the longest delay.
    """

    def __init__(self, max_delay: timedelta = timedelta(minutes=5)) -> None:
        self._max_delay = max_delay
        self._lock = threading.Lock()
        self._failures = 0
        self._retry_at: datetime | None = None

    def record_failure(self, at: datetime) -> int:
        """Count a failure, and return the number of consecutive failures."""
        with self._lock:
            self._retry_at = at + min(_FIRST_DELAY * 2 ** min(self._failures, 16), self._max_delay)
            self._failures += 1
            return self._failures

    def record_success(self) -> int:
        """Reset the delay, and return the number of failures before this success."""
        with self._lock:
            failures, self._failures, self._retry_at = self._failures, 0, None
            return failures

    @property
    def has_failed(self) -> bool:
        """Whether the last attempt failed."""
        return self._failures > 0

    def may_retry(self, at: datetime) -> bool:
        """Return whether the next attempt may be made."""
        return self._retry_at is None or at >= self._retry_at
