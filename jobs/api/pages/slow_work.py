"""Slow work of requests: few work at once, none waits behind many others, and the newest results are kept."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from functools import partial
from typing import Generic, TypeVar

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import HTTPException

Result = TypeVar("Result")


class SlowWork:
    """Runs slow work of requests in threads of its own, so that it holds up no other request.

    Used by the thread of the server alone.

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


class ResultCache(Generic[Result]):
    """The newest results of work, which is done one after the other; used by the thread of the server alone.

    Args:
        max_results: number of results to keep.
        max_waiting: number of requests in progress from which on others are refused.
    """

    def __init__(self, max_results: int, max_waiting: int = 8) -> None:
        self._results: OrderedDict[Hashable, Result] = OrderedDict()
        self._max_results, self._slow_work = max_results, SlowWork(1, max_waiting)

    async def get(self, key: Hashable, make: Callable[[], Result]) -> Result:
        """Return the result of a key, which is made unless it is kept.

        Raises:
            HTTPException: If too many others wait.
        """
        if key not in self._results:
            self._results[key] = await self._slow_work.run(partial(self._made, key, make))
            while len(self._results) > self._max_results:
                self._results.popitem(last=False)
        result = self._results[key]
        self._results.move_to_end(key)
        return result

    def _made(self, key: Hashable, make: Callable[[], Result]) -> Result:
        """Return the result that a request before has made in the meantime, or make it."""
        made = self._results.get(key)
        return make() if made is None else made
