"""Record keys: exact values of a table's key columns, and their text forms.

A key is a tuple with one part per key column. Parts keep their exact type: an integer beyond
2**53 never passes through a float.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, TypeAlias
from uuid import UUID

KeyPart: TypeAlias = int | str | datetime | date | UUID | Decimal
Key: TypeAlias = tuple[KeyPart, ...]

_TAGS: dict[str, tuple[type, Callable[[str], KeyPart]]] = {
    "datetime": (datetime, datetime.fromisoformat),
    "date": (date, date.fromisoformat),
    "uuid": (UUID, UUID),
    "decimal": (Decimal, Decimal),
}


MAX_KEY_LENGTH = 512
"""Maximum number of characters of `dump_key` in the store."""
MAX_ENTITY_LENGTH = 255
"""Maximum number of characters of an entity in the store."""


@dataclass(frozen=True)
class KeyRange:
    """Records with ``after < key <= upto``; ``after`` is None at the start of a table."""

    after: Key | None
    upto: Key


def dump_key(key: Key) -> str:
    """Return the exact text of a key, from which `load_key` restores the key.

    >>> dump_key((9007199254740993,))
    '[9007199254740993]'
    >>> dump_key((date(2026, 1, 31), "pump-7"))
    '[{"date": "2026-01-31"}, "pump-7"]'
    """
    return json.dumps([_tagged(part) for part in key], ensure_ascii=False)


def load_key(text: str) -> Key:
    """Return the key that `dump_key` wrote.

    >>> load_key('[{"date": "2026-01-31"}, "pump-7"]')
    (datetime.date(2026, 1, 31), 'pump-7')
    """
    return tuple(_untagged(part) for part in json.loads(text))


def key_label(key: Key) -> str:
    """Return a key as people and joins see it: the bare value, or JSON for several parts.

    >>> key_label((42,)), key_label((7, "b"))
    ('42', '[7, "b"]')
    """
    if len(key) == 1:
        return _plain(key[0])
    return json.dumps([part if isinstance(part, int | str) else _plain(part) for part in key], ensure_ascii=False)


def load_label(text: str, like: Key) -> Key:
    """Return the key of a label that `key_label` wrote, with the types of another key's parts.

    >>> load_label("42", like=(7,)), load_label('["2026-01-31", "b"]', like=(date(2026, 1, 1), "a"))
    ((42,), (datetime.date(2026, 1, 31), 'b'))

    Raises:
        ValueError: If it is not a label of such a key.
    """
    parts = [text] if len(like) == 1 else json.loads(text)
    if len(parts) != len(like):
        msg = f"{text!r} is not the label of a key with {len(like)} parts"
        raise ValueError(msg)
    return tuple(_like(part, other) for part, other in zip(parts, like, strict=True))


def keys_of_labels(key_labels: Sequence[str], like: Key) -> Iterator[Key]:
    """Yield the keys of labels; a key of another type than the table's has no record."""
    for label in key_labels:
        try:
            yield load_label(label, like)
        except (ValueError, ArithmeticError):
            continue


def _like(part: Any, other: KeyPart) -> KeyPart:
    if isinstance(other, int | str):
        return type(other)(part)
    return next(load for kind, load in _TAGS.values() if isinstance(other, kind))(part)


def _tagged(part: KeyPart) -> Any:
    for tag, (kind, _) in _TAGS.items():
        if isinstance(part, kind):
            return {tag: _plain(part)}
    return part


def _untagged(part: Any) -> KeyPart:
    if isinstance(part, dict):
        ((tag, text),) = part.items()
        return _TAGS[tag][1](text)
    if isinstance(part, int | str):
        return part
    msg = f"{part!r} is not a part of a record key"
    raise ValueError(msg)


def _plain(part: KeyPart) -> str:
    if isinstance(part, datetime):
        return (part.astimezone(UTC) if part.tzinfo else part).isoformat()
    return part.isoformat() if isinstance(part, date) else str(part)
