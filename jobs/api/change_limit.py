"""A limit on the changes in progress, so that requests that read always find a thread."""

import asyncio

from starlette.types import ASGIApp, Receive, Scope, Send

from jobs.api.problems import problem

MAX_CHANGES = 4  # half of the threads: while a lock is held, each change keeps its thread until the timeout
_WAIT_SECONDS = 10
_READS = frozenset({"GET", "HEAD", "OPTIONS"})
_PREVIEW = "/tuning/preview"  # changes nothing, and has a thread of its own for minutes


class ChangeLimit:
    """Lets few requests that may change the store run at the same time; the others wait, and are refused after a while.

    Args:
        app: the next layer.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._places = asyncio.Semaphore(MAX_CHANGES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on once it has a place."""
        if scope["method"] in _READS or scope["path"].endswith(_PREVIEW):
            await self._app(scope, receive, send)
            return
        try:
            async with asyncio.timeout(_WAIT_SECONDS):
                await self._places.acquire()
        except TimeoutError:
            detail = (
                f"{MAX_CHANGES} other changes are in progress, and none has ended within {_WAIT_SECONDS} s. Try again."
            )
            await problem(503, detail, headers={"Retry-After": "1"})(scope, receive, send)
            return
        try:
            await self._app(scope, receive, send)
        finally:
            self._places.release()
