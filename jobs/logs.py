"""The log of the service: one event per line, as text or JSON, with the run that it belongs to.

Modules log with ``logging.getLogger("plumbline")``; facts go into `extra={"facts": {...}}`.
"""

import json
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

from jobs.wording import visible
from schemas.errors import PlumblineError

_context: ContextVar[dict[str, Any]] = ContextVar("log_context", default={})  # noqa: B039 - replaced, never changed


@contextmanager
def log_context(**facts: Any) -> Iterator[None]:
    """Add facts, such as `monitor` and `run`, to every line that is logged in the block."""
    token = _context.set(_context.get() | facts)
    try:
        yield
    finally:
        _context.reset(token)


def add_to_log_context(**facts: Any) -> None:
    """Add facts to every line until the surrounding `log_context` ends; do nothing outside of one."""
    if context := _context.get():
        _context.set(context | facts)


def configure_logs(form: Literal["text", "json"], stream: TextIO | None = None) -> None:
    """Send the log of this process to one stream only, by default standard error."""
    handler = logging.StreamHandler(stream or _standard_error())
    handler.setFormatter(JsonLines() if form == "json" else TextLines())
    handler.addFilter(_with_context)
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger("plumbline").setLevel(logging.INFO)
    logging.captureWarnings(capture=True)


class TextLines(logging.Formatter):
    """A line for people: time, level, sentence, facts."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record; line breaks and control characters in it are escaped."""
        facts = "".join(f" {name}={value}" for name, value in _facts(record).items())
        line = f"{_time(record)} {record.levelname.lower():8}{record.getMessage()}{facts}"
        return visible(line)


class JsonLines(logging.Formatter):
    """A line for programs: one JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        head = {"at": _time(record), "level": record.levelname.lower(), "logger": record.name}
        return json.dumps({**head, "message": record.getMessage(), **_facts(record)}, default=str, ensure_ascii=False)


def _standard_error() -> TextIO:
    """Return standard error with its own file descriptor, as loading Keras closes the usual one for some seconds."""
    try:
        return os.fdopen(os.dup(sys.stderr.fileno()), "w", encoding="utf-8", errors="backslashreplace", buffering=1)
    except (AttributeError, OSError, ValueError):  # it is missing, or not a file
        return sys.stderr


def _with_context(record: logging.LogRecord) -> bool:
    record.context = _context.get()
    return True


def _facts(record: logging.LogRecord) -> dict[str, Any]:
    facts = {**getattr(record, "context", {}), **getattr(record, "facts", {})}
    exc = record.exc_info[1] if record.exc_info else None
    if exc is not None and not isinstance(exc, PlumblineError):  # a defect, whose place in the code is needed
        facts["traceback"] = logging.Formatter().formatException(record.exc_info)  # type: ignore[arg-type]
    return facts


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
