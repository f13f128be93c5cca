"""Values and counts as people read them, in messages and in what commands print."""

from datetime import datetime
from typing import Any


def shown(value: Any) -> str:
    """A value as people read it.

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
    r"""A text that steers no terminal: characters that cannot be printed are written as Python does, but those kept.

    >>> print(visible("pump\x1b[2J\n"))
    pump\x1b[2J\n
    """
    return "".join(
        char if char.isprintable() or char in kept else char.encode("unicode_escape").decode() for char in text
    )


def counted_noun(count: int, noun: str, plural: str | None = None) -> str:
    """A number of things.

    >>> counted_noun(1, "batch", "batches"), counted_noun(1200, "record")
    ('1 batch', '1,200 records')
    """
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def cell(value: Any) -> str:
    """A cell of a watched table as people read it, where a null is something to see.

    >>> cell(None), cell(2.5)
    ('null', '2.5')
    """
    return "null" if value is None else shown(value)
