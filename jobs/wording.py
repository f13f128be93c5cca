"""Values, counts, times and durations as text for people, in messages and in the output of commands."""

import json
from datetime import datetime
from typing import Any

from schemas.config import escape_variables

_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60))


def shown(value: Any) -> str:
    """Format a value for people.

    >>> shown(None), shown(0.0012345), shown(1234567), shown(True)
    ('', '0.001234', '1,234,567', 'yes')
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1e6 else f"{value:.4g}"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    return str(value)


def visible(text: str, kept: str = "") -> str:
    r"""Escape the characters of a text that cannot be printed, except those kept, so that it cannot control a terminal.

    >>> print(visible("pump\x1b[2J\n"))
    pump\x1b[2J\n
    """
    return "".join(
        char if char.isprintable() or char in kept else char.encode("unicode_escape").decode() for char in text
    )


def counted_noun(count: int, noun: str, plural: str | None = None) -> str:
    """Format a count with its noun.

    >>> counted_noun(1, "batch", "batches"), counted_noun(1200, "record")
    ('1 batch', '1,200 records')
    """
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def cell(value: Any) -> str:
    """Format a cell of a watched table for people, with null spelled out.

    >>> cell(None), cell(2.5)
    ('null', '2.5')
    """
    return "null" if value is None else shown(value)


def toml_text(text: str) -> str:
    r"""Write a text as a value of TOML.

    >>> print(toml_text('"id" > 5'))
    "\"id\" > 5"
    """
    return json.dumps(escape_variables(text), ensure_ascii=False).replace("\x7f", "\\u007f")


def percent(share: float) -> str:
    """Format a share as a percentage.

    >>> percent(0.0512)
    '5.12%'
    """
    return f"{share:.2%}"


def utc(time: datetime) -> str:
    """Format a time with its time zone, which is UTC.

    >>> utc(datetime(2026, 3, 1, 12, 30))
    '2026-03-01 12:30:00 UTC'
    """
    return f"{shown(time)} UTC"


def duration(seconds: float) -> str:
    """Format a duration in its largest unit.

    >>> duration(45), duration(200), duration(7_000), duration(400_000)
    ('45 s', '3 min', '2 h', '5 d')
    """
    for unit, size in _UNITS:
        if seconds >= 1.5 * size:
            return f"{seconds / size:,.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"
