"""Values, counts, times and durations as text for people, in messages and in the output of commands."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from schemas import variables
from schemas.texts import counted_noun, is_number, number

__all__ = [
    "cell",
    "counted_noun",
    "duration",
    "expected_cell",
    "first_names",
    "number",
    "percent",
    "share_of",
    "shown",
    "shown_column",
    "toml_text",
    "utc",
    "visible",
    "words",
]

_RELATIVE_RESIDUE = 1e-9  # of the value that an expected value is compared with
_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60))


def shown(value: Any) -> str:
    """Format a value for people.

    >>> shown(None), shown(0.0012345), shown(1234567), shown(9999.99), shown(True)
    ('', '0.001234', '1,234,567', '9,999.99', 'yes')
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return number(value)
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    return str(value)


def shown_column(values: Sequence[Any]) -> list[str]:
    """Format the values of a column for people; times that are all whole minutes are shown without seconds.

    >>> shown_column([datetime(2026, 3, 1, 12, 30), None])
    ['2026-03-01 12:30', '']
    """
    times = [value for value in values if isinstance(value, datetime)]
    if times and all(time.second == time.microsecond == 0 for time in times):
        return [f"{value:%Y-%m-%d %H:%M}" if isinstance(value, datetime) else shown(value) for value in values]
    return [shown(value) for value in values]


def visible(text: str, kept: str = "") -> str:
    r"""Escape the characters of a text that cannot be printed, except those kept, so that it cannot control a terminal.

    >>> print(visible("pump\x1b[2J\n"))
    pump\x1b[2J\n
    """
    return "".join(
        char if char.isprintable() or char in kept else char.encode("unicode_escape").decode() for char in text
    )


def cell(value: Any) -> str:
    """Format a cell of a watched table for people, with null spelled out.

    >>> cell(None), cell(2.5)
    ('null', '2.5')
    """
    return "null" if value is None else shown(value)


def expected_cell(value: Any, expected: Any) -> str:
    """Format the expected value of a cell for people, without the residue that rounding leaves of 0.

    >>> expected_cell(9999.99, 2.5e-11), expected_cell(2e-11, 2.5e-11), expected_cell(True, False)
    ('0', '2.5e-11', 'no')
    >>> expected_cell(False, 0.8826), expected_cell(True, -0.02)  # of a boolean in a series
    ('88% yes', '0% yes')
    """
    if isinstance(value, bool) and is_number(expected):
        return f"{min(max(expected, 0), 1):.0%} yes"
    are_numbers = is_number(value) and is_number(expected)
    return "0" if are_numbers and abs(expected) < _RELATIVE_RESIDUE * abs(value) else cell(expected)


def words(name: str) -> str:
    """Return the name of a label, an event or a column as words.

    >>> words("false_positive")
    'false positive'
    """
    return name.replace("_", " ")


def toml_text(text: str) -> str:
    r"""Write a text as a value of TOML.

    >>> print(toml_text('"id" > 5'))
    "\"id\" > 5"
    """
    return json.dumps(variables.escape(text), ensure_ascii=False).replace("\x7f", "\\u007f")


def percent(share: float) -> str:
    """Format a share as a percentage.

    >>> percent(0.0512), percent(0.00001)
    ('5.12%', '0.001%')
    """
    return f"{share:.2%}" if share == 0 or share >= 0.0001 else f"{number(100 * share)}%"


def share_of(shown_items: int, total: int, noun: str, plural: str | None = None) -> str:
    """Format how many items of a list are shown.

    >>> share_of(20, 481, "record"), share_of(1, 1, "record")
    ('20 of 481 records', '1 record')
    """
    counted = counted_noun(total, noun, plural)
    return counted if shown_items == total else f"{shown_items:,} of {counted}"


def first_names(names: Sequence[str], limit: int) -> str:
    """Format the first of several names.

    >>> first_names(["a", "b"], 2), first_names(["a", "b", "c"], 1)
    ("'a', 'b'", "'a' and 2 more")
    """
    shown_names = ", ".join(map(repr, names[:limit]))
    return shown_names if len(names) <= limit else f"{shown_names} and {len(names) - limit:,} more"


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
