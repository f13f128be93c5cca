"""Limits on the requests in progress: of all callers, of each address, and apart from them of health and metrics."""

from collections import Counter

from fastapi import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from jobs.api.client_address import client_address
from jobs.api.problems import problem
from jobs.api.service_view import ServiceView

RESERVED_PATHS = ("/healthz", "/readyz", "/metrics")
_MAX_RESERVED = 32
_RETRY = {"Retry-After": "1"}


class RequestLimit:
    """Refuses requests beyond the limits of the configuration; connections without a request do not count.

    Args:
        app: the next layer.
        service: the service, whose configuration has the limits.
    """

    def __init__(self, app: ASGIApp, service: ServiceView) -> None:
        self._app, self._service = app, service
        self._by_address: Counter[str] = Counter()
        self._reserved = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["path"] in RESERVED_PATHS:
            await self._pass_reserved(scope, receive, send)
            return
        address = client_address(scope, self._service.config.service.trusted_proxies)
        refusal = self._refusal(address)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        self._by_address[address] += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._by_address[address] -= 1
            self._by_address += Counter()  # forgets the addresses without a request

    async def _pass_reserved(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._reserved >= _MAX_RESERVED:
            await problem(503, _too_many(_MAX_RESERVED, "for health and metrics"), headers=_RETRY)(scope, receive, send)
            return
        self._reserved += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._reserved -= 1

    def _refusal(self, address: str) -> Response | None:
        settings = self._service.config.service
        if self._by_address[address] >= settings.max_requests_per_address:
            return problem(429, _too_many(settings.max_requests_per_address, "from this address"), headers=_RETRY)
        if self._by_address.total() >= settings.max_requests:
            return problem(503, _too_many(settings.max_requests, "in all"), headers=_RETRY)
        return None


def _too_many(limit: int, whose: str) -> str:
    return f"{limit} requests {whose} are in progress, which is the limit. Send fewer at a time, or try again."
