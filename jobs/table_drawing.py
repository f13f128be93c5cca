"""Tables of plain text for a terminal: columns of fixed widths, in which longer texts are folded.

Widths are those of a terminal, in which a character of Chinese, Japanese or Korean takes two places and an accent none.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Literal
from unicodedata import category, east_asian_width

COLUMN_GAP = 2
_WITHOUT_PLACE = {"Mn", "Me", "Cf"}  # categories of Unicode


@dataclass(frozen=True)
class DrawnColumn:
    """A column of a table.

    Attributes:
        header: of the column.
        texts: one for each row.
        justify: the side at which the texts are aligned.
        width: of the column.
    """

    header: str
    texts: Sequence[str]
    justify: Literal["left", "right"]
    width: int


def text_width(text: str) -> int:
    """Return how many places of a terminal a text takes.

    >>> text_width("pump"), text_width("泵"), text_width("e\u0301")
    (4, 2, 1)
    """
    return len(text) if text.isascii() else sum(map(_width, text))


def drawn(columns: Sequence[DrawnColumn], rule: str = "─") -> Iterator[str]:
    """Yield the lines of a table: its headers, a rule of one character repeated, and its rows."""
    headers = [folded(column.header, column.width) for column in columns]
    height = max(map(len, headers))
    yield from _row(columns, [[""] * (height - len(lines)) + lines for lines in headers])
    yield rule * (sum(column.width for column in columns) + COLUMN_GAP * (len(columns) - 1))
    for texts in zip(*(column.texts for column in columns), strict=True):
        yield from _row(columns, [folded(text, column.width) for text, column in zip(texts, columns, strict=True)])


def folded(text: str, width: int) -> list[str]:
    """Return a text as lines of a width, broken between words, and within those that are longer.

    >>> folded("score / threshold", 9), folded("sensor_temperature", 10)
    (['score /', 'threshold'], ['sensor_tem', 'perature'])
    """
    lines = [""]
    for word in re.findall(r"\s*\S+\s*", text):
        rest = word
        if lines[-1] and text_width(lines[-1] + rest.rstrip()) > width:
            lines.append("")
        while text_width(rest.rstrip()) > width:
            size = _fitting(rest, width)
            lines[-1], rest = rest[:size], rest[size:]
            lines.append("")
        lines[-1] += rest
    return [line.rstrip() for line in lines]


def _row(columns: Sequence[DrawnColumn], cells: Sequence[Sequence[str]]) -> Iterator[str]:
    for parts in zip_longest(*cells, fillvalue=""):
        padded = (_padded(part, column) for part, column in zip(parts, columns, strict=True))
        yield (" " * COLUMN_GAP).join(padded).rstrip()


def _padded(text: str, column: DrawnColumn) -> str:
    spaces = " " * (column.width - text_width(text))
    return spaces + text if column.justify == "right" else text + spaces


def _fitting(text: str, width: int) -> int:
    """Return the number of first characters that fit a width, at least one."""
    size = 1
    while size < len(text) and text_width(text[: size + 1]) <= width:
        size += 1
    return size


def _width(character: str) -> int:
    if east_asian_width(character) in {"W", "F"}:
        return 2
    return 0 if category(character) in _WITHOUT_PLACE else 1
