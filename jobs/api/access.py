"""Access control: API keys, in a header or in the cookie of a page, or callers on this machine without keys."""

from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from ipaddress import ip_address
from urllib.parse import urlencode

from fastapi import Request, Response
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from jobs.api.caller import Caller
from jobs.api.pages import session
from jobs.api.pages.rendering import page
from jobs.api.pages.session import is_page
from jobs.api.problems import described, problem
from jobs.api.reserved_threads import ReservedThreads
from jobs.api.service_view import ServiceView
from jobs.store.api_keys import ApiKey, holder
from schemas.errors import StoreError

PUBLIC_PATHS = ("/healthz", "/readyz")
_USE_STEP = timedelta(minutes=1)
_FORWARDED = {"forwarded", "x-forwarded-for"}  # a proxy calls from this machine, and its clients from any


class AccessControl:
    """Admits callers with a valid key, and every caller on this machine while the store has no key.

    A request that a proxy passes on needs a key.

    Args:
        app: the next layer.
        service: the service.
        reserved: runs the check of keys.
        is_local: whether only this machine can reach the API; otherwise a key is always required.
    """

    def __init__(self, app: ASGIApp, service: ServiceView, reserved: ReservedThreads, *, is_local: bool) -> None:
        self._app, self._service, self._reserved, self._is_local = app, service, reserved, is_local
        self._use_noted: dict[int, datetime] = {}  # by key, also if the store could not record it
        self._is_noting = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on with its caller's permissions, or refuse it."""
        path, headers = scope["path"], Headers(scope=scope)
        if self._is_page(path):
            scope["state"]["form_token"] = session.form_token(headers)
        is_public = path in PUBLIC_PATHS or (self._is_page(path) and session.is_public(path))
        refusal = None if is_public else await self._refusal_or_problem(scope, headers)
        await (refusal or self._app)(scope, receive, send)

    async def _refusal_or_problem(self, scope: Scope, headers: Headers) -> Response | None:
        """Return the refusal of a request; without a store, browsers receive a page."""
        try:
            return await self._refusal(scope, headers)
        except StoreError as exc:
            if not self._is_page(scope["path"]):
                raise
            status, detail = described(exc)
            return page(Request(scope), "problem.html", status=status, problem=detail)

    async def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        keys = await self._reserved.run(self._service.health.api_keys.all)
        if not keys and self._is_local and not _FORWARDED & set(headers.keys()):
            scope["state"]["caller"] = Caller("this machine", "admin")
            return None if _names_this_machine(headers.get("host", "")) else _foreign_host()
        at = self._service.clock()
        key = _bearer(keys, headers, at)
        if key is None and self._is_page(scope["path"]):
            key = session.signed_in(keys, headers, at)
        if key is None:
            return _sign_in(scope) if self._is_page(scope["path"]) else _no_key()
        monitors = None if key.monitors is None else frozenset(key.monitors)
        scope["state"]["caller"] = Caller(f"key {key.name}", key.scope, monitors, key.name)
        await self._note_use(key, at)
        return None

    def _is_page(self, path: str) -> bool:
        return self._service.config.service.page and is_page(path)

    async def _note_use(self, key: ApiKey, at: datetime) -> None:
        """Record the use of a key; a store that cannot is no reason to refuse the request.

        It is tried once a minute for each key and in one thread at a time, since a locked store would hold all of them.
        """
        noted_at = self._use_noted.get(key.id)
        if self._is_noting or (noted_at is not None and at - noted_at < _USE_STEP):
            return
        self._use_noted[key.id], self._is_noting = at, True
        try:
            with suppress(StoreError):
                await self._reserved.run(partial(self._service.health.api_keys.note_use, key, at))
        finally:
            self._is_noting = False


def _bearer(keys: Iterable[ApiKey], headers: Headers, at: datetime) -> ApiKey | None:
    """Return the valid key of an Authorization header, or None."""
    scheme, _, secret = headers.get("authorization", "").partition(" ")
    return holder(keys, secret.strip(), at) if scheme.lower() == "bearer" else None


def _names_this_machine(host: str) -> bool:
    """Return whether a Host header names this machine, which a page of another site cannot do even after DNS rebinding.

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
    return problem(
        421, "Without API keys, only this machine may call the API. Use localhost or 127.0.0.1 in the address."
    )


def _sign_in(scope: Scope) -> Response:
    """Send a browser to the sign-in page, from which it returns to the page that it asked for."""
    query = scope["query_string"].decode("latin-1")
    target = scope["path"] + (f"?{query}" if query else "")
    address = session.LOGIN_PATH if scope["method"] != "GET" else f"{session.LOGIN_PATH}?{urlencode({'to': target})}"
    return Response(status_code=303, headers={"Location": address})


def _no_key() -> Response:
    detail = (
        "A valid API key is required, in the header `Authorization: Bearer KEY`. "
        "Create one: plumbline keys add NAME --scope read"
    )
    return problem(401, detail, headers={"WWW-Authenticate": "Bearer"})
