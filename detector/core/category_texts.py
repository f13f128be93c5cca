"""Texts of numbers that are categories: a number is one category, whatever the type of its column."""

import re
from collections.abc import Iterable
from decimal import Decimal

_WHOLE_LIMIT = 2**63  # beyond it, a float is written in its own form
_WITH_TRAILING_ZEROS = re.compile(r"(-?(?:0|[1-9]\d*))\.(\d*?)0+", re.ASCII)


def number_text(value: float | Decimal) -> str:
    """Return the text of a number without trailing zeros, as an integer of the same value has it.

    >>> number_text(1.0), number_text(Decimal("1.00")), number_text(Decimal("2.50")), number_text(0.1)
    ('1', '1', '2.5', '0.1')
    """
    if isinstance(value, Decimal):
        return _without_trailing_zeros(f"{value:f}") if value.is_finite() else str(value)
    is_whole = value == value // 1 and abs(value) < _WHOLE_LIMIT
    return str(int(value)) if is_whole else str(value)


def aliases(levels: Iterable[str | None]) -> dict[str, str]:
    """Return the level of each number that some level writes with trailing zeros, by the text without them.

    Models of earlier versions learned a decimal column with the scale of its type.

    >>> aliases(["1.00", "2.50", "01", "x", "3", "3.0"])
    {'1': '1.00', '2.5': '2.50'}
    """
    texts = [level for level in levels if level is not None]
    short = {_without_trailing_zeros(text): text for text in texts}
    return {name: text for name, text in short.items() if name not in texts}


def _without_trailing_zeros(text: str) -> str:
    match = _WITH_TRAILING_ZEROS.fullmatch(text)
    if match is None:
        return text
    whole, fraction = match.groups()
    return f"{whole}.{fraction}" if fraction else whole
