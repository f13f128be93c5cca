"""Limits on the changes and on the scorings in progress, so that requests that read always find a thread."""

import asyncio

from starlette.types import ASGIApp, Receive, Scope, Send

from jobs.api.problems import problem

MAX_CHANGES = 4  # half of the threads: while a lock is held, each change keeps its thread until the timeout
MAX_SCORINGS = 2  # one computes, and the next one is read
_CHANGE_SECONDS, _SCORING_SECONDS = 10, 30
_READS = frozenset({"GET", "HEAD", "OPTIONS"})
_PREVIEW = "/tuning/preview"  # changes nothing, and has a thread of its own for minutes
_SCORING = "/score"  # changes nothing, and takes turns with other scorings


class _Places:
    """Places of requests of one kind.

    Args:
        count: number of places.
        kind: of the requests, for people.
        seconds: for which a request waits for a place.
    """

    def __init__(self, count: int, kind: str, seconds: int) -> None:
        self.free, self.seconds = asyncio.Semaphore(count), seconds
        self.refusal = f"{count} other {kind} are in progress, and none has ended within {seconds} s. Try again."


class ChangeLimit:
    """Lets few requests that may change the store, or that score, run at the same time.

    The others wait, and are refused after a while. Scorings have places of their own, so that they hold up no change.

    Args:
        app: the next layer.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._changes = _Places(MAX_CHANGES, "changes", _CHANGE_SECONDS)
        self._scorings = _Places(MAX_SCORINGS, "scorings", _SCORING_SECONDS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on once it has a place."""
        if scope["method"] in _READS or scope["path"].endswith(_PREVIEW):
            await self._app(scope, receive, send)
            return
        places = self._scorings if scope["path"].endswith(_SCORING) else self._changes
        try:
            async with asyncio.timeout(places.seconds):
                await places.free.acquire()
        except TimeoutError:
            await problem(503, places.refusal, headers={"Retry-After": "1"})(scope, receive, send)
            return
        try:
            await self._app(scope, receive, send)
        finally:
            places.free.release()
