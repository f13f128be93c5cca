"""Limits on the size and the duration of a request's body."""

import asyncio
from contextlib import suppress
from typing import Any

from fastapi import Response
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from jobs.api.problems import problem
from jobs.api.service_view import ServiceView

_BODY_SECONDS = 30
_DRAIN_SECONDS = 30  # that the rest of a body is read and discarded after the response


class BodyLimit:
    """Reads the body of a POST, with or without an announced length, and refuses one that is too long or too slow.

    Args:
        app: the next layer.
        service: the service, whose configuration has the limit.
    """

    def __init__(self, app: ASGIApp, service: ServiceView) -> None:
        self._app, self._service = app, service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on with its whole body, or refuse it."""
        if scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        limit = self._service.config.service.max_body_bytes
        try:
            async with asyncio.timeout(_BODY_SECONDS):
                body = await _read(int(Headers(scope=scope).get("content-length", 0)), receive, limit)
        except ClientDisconnect:
            return
        except TimeoutError:
            await problem(408, f"The body was not received within {_BODY_SECONDS} s.")(scope, receive, send)
            return
        if body is None:
            await _refuse_too_long(limit, scope, receive, send)
            return
        await self._app(scope, _replay(body, receive), send)


async def _read(announced: int, receive: Receive, limit: int) -> bytes | None:
    """Return the whole body, or None if it is longer than the limit, which is known before all of it has arrived."""
    body = bytearray()
    while max(len(body), announced) <= limit:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message.get("body", b"")
        if not message.get("more_body", False):
            return bytes(body) if len(body) <= limit else None
    return None


async def _refuse_too_long(limit: int, scope: Scope, receive: Receive, send: Send) -> None:
    """Send the refusal, then discard the rest of the body before the connection closes.

    A client that is still sending would otherwise see a broken connection instead of the response.
    """

    async def send_and_drain(message: Message) -> None:
        is_end = message["type"] == "http.response.body" and not message.get("more_body", False)
        if not is_end:
            await send(message)
            return
        await send({**message, "more_body": True})
        with suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN_SECONDS):
                while (await receive()).get("more_body", False):
                    pass
        await send({"type": "http.response.body", "body": b""})

    await _too_long(limit)(scope, receive, send_and_drain)


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return a channel that yields the body first, then further messages such as the disconnect."""
    pending: list[dict[str, Any]] = [{"type": "http.request", "body": body, "more_body": False}]

    async def next_message() -> Message:
        return pending.pop() if pending else await receive()

    return next_message


def _too_long(limit: int) -> Response:
    detail = f"The body is longer than {limit} bytes. Send less, or raise max_body_bytes of [service] in config.toml."
    return problem(413, detail, headers={"Connection": "close"})
