"""The session of a browser: an API key in a cookie that scripts cannot read, and the token of its forms.

Nothing is kept in memory: a revoked key ends its sessions at once, and every serving process accepts them.
"""

import hashlib
import hmac
import secrets
from collections.abc import Iterable
from datetime import datetime

from fastapi import Response
from starlette.datastructures import Headers
from starlette.requests import cookie_parser

from jobs.store.api_keys import ApiKey, holder

LOGIN_PATH = "/page/login"
_PREFIX = "/page/"
STATIC_PREFIX = "/page/static/"
_COOKIE = "plumbline_key"
_SESSION_SECONDS = 12 * 3600
_KEYLESS_SECRET = secrets.token_hex(32)  # of forms while the store has no key; a restart makes old forms invalid


def is_page(path: str) -> bool:
    """Return whether a path is one of a page.

    >>> is_page("/"), is_page("/page/events"), is_page("/events")
    (True, True, False)
    """
    return path == "/" or path.startswith(_PREFIX)


def is_public(path: str) -> bool:
    """Return whether a page can be read without a key."""
    return path == LOGIN_PATH or path.startswith(STATIC_PREFIX)


def secret_of(headers: Headers) -> str:
    """Return the key that a browser's cookie holds; an empty text if there is none."""
    return cookie_parser(headers.get("cookie", "")).get(_COOKIE, "")


def signed_in(keys: Iterable[ApiKey], headers: Headers, at: datetime) -> ApiKey | None:
    """Return the valid key of a browser's session, or None."""
    secret = secret_of(headers)
    return holder(keys, secret, at) if secret else None


def form_token(headers: Headers) -> str:
    """Return the token that forms of a session carry, which a page of another site cannot know."""
    secret = secret_of(headers) or _KEYLESS_SECRET
    return hmac.new(secret.encode(), b"plumbline form", hashlib.sha256).hexdigest()


def start(response: Response, secret: str, *, is_encrypted: bool) -> None:
    """Store a key in the browser for twelve hours.

    Lax lets links in alerts open a page, and keeps the key from requests that other sites send.
    """
    response.set_cookie(_COOKIE, secret, _SESSION_SECONDS, secure=is_encrypted, httponly=True, samesite="lax")


def end(response: Response) -> None:
    """Remove the key from the browser."""
    response.delete_cookie(_COOKIE, path="/")
