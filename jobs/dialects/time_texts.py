"""Reads times that are texts: one reader for records and for conditions in SQL, so that both see the same instant."""

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

_JULIAN_DAY_OF_EPOCH = 2440587.5
_SECONDS_PER_DAY = 86_400
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WORDS = {"now", "today"}
_YEARS_OF_PYTHON = range(1, 10_000)
_CACHED_TEXTS = 4_096

# The forms that are read without pandas, which takes a millisecond for a single text.
_COMMON = re.compile(
    r"(\d{4})([-/.]?)(\d\d)\2(\d\d)(?:[T ](\d\d):?(\d\d)(?::?(\d\d)(?:\.(\d{1,6}))?)?(Z|[+-]\d\d:?\d\d)?)?", re.ASCII
)


def read_times(values: "pd.Series[Any]") -> "pd.Series[Any]":
    """Return times in UTC, missing if a value is no time in a form of ISO 8601; times without a zone are UTC.

    >>> import pandas as pd
    >>> texts = pd.Series(["2026/11/28 06:39:00", "20261128T083900+0200", "28.11.2026", 1764311940], dtype="object")
    >>> read_times(texts).notna().tolist()
    [True, True, False, False]
    """
    import pandas as pd

    # pandas would read some words as its own clock, and a number among texts as nanoseconds since 1970.
    is_free = values.dtype in ("object", "str")
    texts = values.mask(values.map(_is_other).astype("bool")) if is_free else values
    return pd.to_datetime(texts, utc=True, errors="coerce", format="ISO8601")


def _is_other(value: Any) -> bool:
    return isinstance(value, int | float | bytes) or (isinstance(value, str) and value in _WORDS)


def julian_day(value: Any) -> float | None:
    """Return a text as a Julian day in UTC, or None if `read_times` does not read the value.

    >>> julian_day("2026/11/28 06:39:00"), julian_day("28.11.2026 06:39:00"), julian_day(1764311940)
    (2461372.777083333, None, None)
    """
    return _julian_day_of_text(value) if isinstance(value, str) else None


@lru_cache(_CACHED_TEXTS)
def _julian_day_of_text(text: str) -> float | None:
    instant = _common_time(text) or _any_time(text)
    if instant is None:
        return None
    return (instant - _EPOCH).total_seconds() / _SECONDS_PER_DAY + _JULIAN_DAY_OF_EPOCH


def _common_time(text: str) -> datetime | None:
    parts = _COMMON.fullmatch(text)
    if parts is None:
        return None
    year, _, month, day, hour, minute, second, fraction, zone = parts.groups()
    written = f"{year}-{month}-{day}T{hour or '00'}:{minute or '00'}:{second or '00'}.{fraction or '0':0<6}"
    try:
        return datetime.fromisoformat(f"{written}{zone or '+00:00'}")
    except ValueError:
        return None


def _any_time(text: str) -> datetime | None:
    import pandas as pd

    time = read_times(pd.Series([text], dtype="object")).iloc[0]
    is_time = not pd.isna(time) and time.year in _YEARS_OF_PYTHON
    return time.to_pydatetime(warn=False) if is_time else None
