"""Threads for health, metrics and keys, so that no other request keeps them waiting."""

from collections.abc import Callable
from typing import TypeVar

from anyio import CapacityLimiter
from anyio.to_thread import run_sync

_THREADS = 4

_Result = TypeVar("_Result")


class ReservedThreads:
    """Runs functions that read the store in threads that other requests do not use."""

    def __init__(self) -> None:
        self._limiter = CapacityLimiter(_THREADS)

    async def run(self, function: Callable[[], _Result]) -> _Result:
        """Run a function in one of the threads, and return its result."""
        return await run_sync(function, limiter=self._limiter)
