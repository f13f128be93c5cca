"""Results as JSON of a bounded size, for readers who pay for each word."""

from typing import Any

from jobs.output import jsonable

MAX_TEXT_LENGTH = 400
MAX_ITEMS = 50


def bounded(value: Any) -> dict[str, Any]:
    """Return a result with names as a JSON object, with long texts and lists cut; each cut is visible.

    >>> bounded({"entity": "x" * 401, "counts": list(range(52))})["counts"][-1]
    '(2 more)'
    """
    document: dict[str, Any] = _cut(jsonable(value))
    return document


def _cut(value: Any) -> Any:
    if isinstance(value, str):
        return value if len(value) <= MAX_TEXT_LENGTH else f"{value[:MAX_TEXT_LENGTH]} (and so on)"
    if isinstance(value, list):
        more = [f"({len(value) - MAX_ITEMS} more)"] if len(value) > MAX_ITEMS else []
        return [_cut(item) for item in value[:MAX_ITEMS]] + more
    if isinstance(value, dict):
        kept = {_cut(name): _cut(item) for name, item in list(value.items())[:MAX_ITEMS]}
        return kept if len(value) <= MAX_ITEMS else {**kept, "(more)": len(value) - MAX_ITEMS}
    return value
