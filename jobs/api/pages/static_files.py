"""The style sheet and the script of the pages."""

import hashlib
from functools import cache
from importlib.resources import files

from fastapi import Response

from jobs.api.pages.session import STATIC_PREFIX

_TYPES = {"style.css": "text/css; charset=utf-8", "times.js": "text/javascript; charset=utf-8"}
_CACHING = {"Cache-Control": "max-age=31536000, immutable"}  # other content has another address
_DIGITS = 12


def static_address(name: str) -> str:
    """Return the address of a file, which changes with its content."""
    stem, _, ending = name.rpartition(".")
    return f"{STATIC_PREFIX}{stem}-{_digest(name)}.{ending}"


def static_file(address: str) -> Response | None:
    """Return the file at an address, or None if this version has no such file."""
    name = next((name for name in _TYPES if static_address(name) == address), None)
    return None if name is None else Response(_content(name), 200, _CACHING, _TYPES[name])


@cache
def _digest(name: str) -> str:
    return hashlib.sha256(_content(name)).hexdigest()[:_DIGITS]


@cache
def _content(name: str) -> bytes:
    return (files("jobs.api.pages") / "static" / name).read_bytes()
