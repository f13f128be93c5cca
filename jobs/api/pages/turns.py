"""Turns of requests whose work takes long: few at once, and none waits behind many others."""

from collections.abc import Callable
from typing import TypeVar

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import HTTPException

Result = TypeVar("Result")


class Turns:
    """Runs work in threads of its own, so that it holds up no other request; used by the thread of the server alone.

    Args:
        at_once: number of requests that work at the same time.
        max_waiting: number of requests in progress, including those that work, from which on others are refused.
    """

    def __init__(self, at_once: int, max_waiting: int) -> None:
        self._limiter = CapacityLimiter(at_once)
        self._max_waiting, self._waiting = max_waiting, 0

    async def run(self, work: Callable[[], Result]) -> Result:
        """Return the result of work once it is its turn.

        Raises:
            HTTPException: If too many others wait.
        """
        if self._waiting >= self._max_waiting:
            raise HTTPException(503, f"{self._max_waiting} other requests like this wait. Reload the page later.")
        self._waiting += 1
        try:
            return await run_sync(work, limiter=self._limiter)
        finally:
            self._waiting -= 1
