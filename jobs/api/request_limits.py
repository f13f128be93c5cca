"""What every request passes before the application sees it: who may call, and how much may come."""

import asyncio
from ipaddress import ip_address
from typing import Any

from fastapi import Response
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from jobs.api.problems import problem, problem_of
from jobs.api.state import State
from jobs.store.api_keys import holder

PUBLIC = ("/healthz", "/readyz")  # they say nothing but yes or no
_BODY_SECONDS = 30
_DROPPED_BYTES = 2**24  # read past the limit before the connection is dropped
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class ErrorBoundary:
    """The outermost layer: headers on every answer, and an answer for every error.

    Args:
        app: what answers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        has_started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal has_started
            if message["type"] == "http.response.start":
                has_started = True
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        except Exception as exc:
            if has_started:
                raise
            await problem_of(exc)(scope, receive, send_with_headers)


class Gate:
    """Lets those in who have a key; everybody on this machine while there is none.

    Args:
        app: what answers.
        state: the service.
        is_local: whether only this machine can reach it; else it is never open.
    """

    def __init__(self, app: ASGIApp, state: State, *, is_local: bool) -> None:
        self._app, self._state, self._is_local = app, state, is_local

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, with what its caller may do, or refuse it."""
        refusal = None if scope["path"] in PUBLIC else await self._refusal(scope)
        await (refusal or self._app)(scope, receive, send)

    async def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        keys = await run_in_threadpool(self._state.store.api_keys.all)
        if not keys and self._is_local:
            scope["state"]["may_write"] = True
            return None if _names_this_machine(headers.get("host", "")) else _foreign_host()
        scheme, _, secret = headers.get("authorization", "").partition(" ")
        key = holder(keys, secret.strip()) if scheme.lower() == "bearer" else None
        if key is None:
            return _no_key()
        scope["state"]["may_write"] = key.scope == "write"
        return None


class BodyLimit:
    """Reads the body of a POST, whether its length is announced or not, and refuses one that is too long or too slow.

    Args:
        app: what answers.
        state: the service, whose configuration has the limit.
    """

    def __init__(self, app: ASGIApp, state: State) -> None:
        self._app, self._state = app, state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on with the whole body, or refuse it."""
        if scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        limit = self._state.config.service.max_body_bytes
        try:
            async with asyncio.timeout(_BODY_SECONDS):
                body = await _read(int(Headers(scope=scope).get("content-length", 0)), receive, limit)
        except ClientDisconnect:
            return
        except TimeoutError:
            await problem(408, f"The body did not come within {_BODY_SECONDS} s.")(scope, receive, send)
            return
        if body is None:
            await _too_long(limit)(scope, receive, send)
            return
        await self._app(scope, _replay(body, receive), send)


async def _read(announced: int, receive: Receive, limit: int) -> bytes | None:
    """The whole body; None where it is longer than the limit.

    What is too much is read on and dropped, within bounds: a client that is still sending would see a broken
    connection in place of the answer.
    """
    body, length = bytearray(), 0
    while max(length, announced) <= limit + _DROPPED_BYTES:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk = message.get("body", b"")
        length += len(chunk)
        body += chunk if length <= limit else b""
        if not message.get("more_body", False):
            return bytes(body) if length <= limit else None
    return None


def _replay(body: bytes, receive: Receive) -> Receive:
    """A channel that gives the body at once, then what else comes, such as the end of the connection."""
    pending: list[dict[str, Any]] = [{"type": "http.request", "body": body, "more_body": False}]

    async def next_message() -> Message:
        return pending.pop() if pending else await receive()

    return next_message


def _names_this_machine(host: str) -> bool:
    """Whether a Host header names this machine; a page of another site that had its name rebound to us has its own.

    >>> _names_this_machine("localhost:8321"), _names_this_machine("[::1]"), _names_this_machine("example.org")
    (True, True, False)
    """
    name = host.partition("]")[0].removeprefix("[") if host.startswith("[") else host.partition(":")[0]
    if name.lower().removesuffix(".") == "localhost":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def _foreign_host() -> Response:
    return problem(421, "Without API keys only this machine may ask. Call it localhost or 127.0.0.1 in the address.")


def _no_key() -> Response:
    detail = (
        "This needs an API key that is not revoked, in the header `Authorization: Bearer KEY`. "
        "Make one: plumbline keys add NAME --scope read"
    )
    return problem(401, detail, headers={"WWW-Authenticate": "Bearer"})


def _too_long(limit: int) -> Response:
    detail = f"The body is longer than {limit} bytes. Send less, or raise max_body_bytes of [service] in config.toml."
    return problem(413, detail, headers={"Connection": "close"})
