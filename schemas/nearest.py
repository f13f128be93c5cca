"""Suggestions for a name that does not exist."""

import difflib
from collections.abc import Iterable

_MIN_SIMILARITY = 0.5  # of 1: below it, a suggestion would be a guess


def nearest_name(name: str, names: Iterable[str], min_similarity: float = _MIN_SIMILARITY) -> str | None:
    """Return the name most like a mistyped one whatever the case, or None if none is similar.

    >>> nearest_name("pumps", ["pump", "mixer"]), nearest_name("zzz", ["pump"])
    ('pump', None)
    """
    by_lower_case = {known.lower(): known for known in names}
    similar = difflib.get_close_matches(name.lower(), by_lower_case, n=1, cutoff=min_similarity)
    return by_lower_case[similar[0]] if similar else None


def suggestion(name: str, names: Iterable[str]) -> str:
    """Return a question with the nearest name and a space in front, or nothing.

    >>> suggestion("pumps", ["pump"]), suggestion("zzz", ["pump"])
    (" Did you mean 'pump'?", '')
    """
    nearest = nearest_name(name, names)
    return "" if nearest is None else f" Did you mean {nearest!r}?"
