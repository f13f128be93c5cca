"""The style sheet, the scripts and the icon of the pages, each addressed by a hash of its content."""

import hashlib
from functools import cache
from importlib.resources import files

from fastapi import Response

from jobs.api.pages.session import STATIC_PREFIX

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
_FOREVER, _CHECKED = "max-age=31536000, immutable", "no-cache"
_VERSION_LENGTH = 12


def asset_url(name: str) -> str:
    """Return the address of a file, which changes with its content, so that browsers may keep what they have."""
    return f"{STATIC_PREFIX}{name}?v={_version(name)}"


def static_file(name: str, version: str | None) -> Response | None:
    """Return a file of the pages, or None if there is no such file.

    Args:
        name: of the file.
        version: the hash in the address; a browser keeps the file if it is that of the content.
    """
    if name not in _names():
        return None
    caching = _FOREVER if version == _version(name) else _CHECKED
    return Response(_content(name), 200, {"Cache-Control": caching}, _TYPES[name[name.rindex(".") :]])


@cache
def _names() -> frozenset[str]:
    return frozenset(file.name for file in (files("jobs.api.pages") / "static").iterdir())


@cache
def _content(name: str) -> bytes:
    return (files("jobs.api.pages") / "static" / name).read_bytes()


@cache
def _version(name: str) -> str:
    return hashlib.sha256(_content(name)).hexdigest()[:_VERSION_LENGTH]
