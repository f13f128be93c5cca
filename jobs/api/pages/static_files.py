"""The style sheet and the scripts of the pages."""

from functools import cache
from importlib.resources import files

from fastapi import Response

_SCRIPT = "text/javascript; charset=utf-8"
_TYPES = {"style.css": "text/css; charset=utf-8", "times.js": _SCRIPT, "tune.js": _SCRIPT}
_CACHING = {"Cache-Control": "max-age=3600"}


def static_file(name: str) -> Response | None:
    """Return a file of the pages, or None if there is no such file."""
    if name not in _TYPES:
        return None
    return Response(_content(name), 200, _CACHING, _TYPES[name])


@cache
def _content(name: str) -> bytes:
    return (files("jobs.api.pages") / "static" / name).read_bytes()
