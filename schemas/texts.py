"""Numbers and counts as text for people."""

import math

_SIGNIFICANT_DIGITS = 4
_MIN_DECIMALS = 2  # of numbers from 100 on, as in amounts of money
_MAX_WRITTEN_OUT = 1e15  # from there on, and below the smallest, in powers of ten
_MIN_WRITTEN_OUT = 1e-6
_ROUNDING_RESIDUE = 1e-15  # a smaller number is what rounding left of 0


def is_number(value: object) -> bool:
    """Return whether a value is a number; a truth value is none.

    >>> is_number(0.5), is_number(True), is_number("1")
    (True, False, False)
    """
    return isinstance(value, int | float) and not isinstance(value, bool)


def number(value: float) -> str:
    """Write a number as people do.

    >>> number(10_000.0), number(-3.5e-18), number(1.5e20), number(3.5e-9), number(0.00001)
    ('10,000', '0', '1.5e20', '3.5e-9', '0.00001')
    """
    size = abs(value)
    if size < _ROUNDING_RESIDUE:
        return "0"
    if not math.isfinite(value):
        return str(value)
    if not _MIN_WRITTEN_OUT <= size < _MAX_WRITTEN_OUT:
        mantissa, _, exponent = f"{value:.{_SIGNIFICANT_DIGITS - 1}e}".partition("e")
        return f"{_without_zeros(mantissa)}e{int(exponent)}"
    decimals = max(_MIN_DECIMALS, _SIGNIFICANT_DIGITS - 1 - math.floor(math.log10(size)))
    return _without_zeros(f"{value:,.{decimals}f}")


def _without_zeros(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text


def counted_noun(count: int, noun: str, plural: str | None = None) -> str:
    """Format a count with its noun.

    >>> counted_noun(1, "batch", "batches"), counted_noun(1200, "record")
    ('1 batch', '1,200 records')
    """
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"
