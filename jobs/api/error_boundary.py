"""The outermost layer of the API: security headers on every response, and a response to every error."""

import asyncio

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from jobs.api.problems import problem, problem_of

SECURITY_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

_LATER = {"Retry-After": "1", "Connection": "close"}


class ErrorBoundary:
    """Adds security headers to every response, and turns unexpected errors into responses.

    Args:
        app: the next layer.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        has_started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal has_started
            if message["type"] == "http.response.start":
                has_started = True
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)  # pages have a policy of their own
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        except asyncio.CancelledError:  # the server waits no longer
            if has_started:
                raise
            await problem(503, "The service is stopping. Try again.", headers=_LATER)(scope, receive, send_with_headers)
        except Exception as exc:
            if has_started:
                raise
            await problem_of(exc)(scope, receive, send_with_headers)
