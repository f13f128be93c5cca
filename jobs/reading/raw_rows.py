"""Single rows of a watched table with all of its columns, as people look at them."""

from typing import Any

from sqlalchemy import select

from jobs.databases import reading
from jobs.reading.source import Source
from schemas.errors import SourceError
from schemas.keys import Key, load_label

_MAX_CHARACTERS = 1_000  # of a value


def read_raw_row(source: Source, label: str, like: Key) -> dict[str, str | None] | None:
    """Return the row of a record with all columns of its table as texts, or None if it no longer exists.

    Args:
        source: the watched table.
        label: of the key of the record, as in flagged rows.
        like: another key of the monitor, which has the types of the parts.

    Raises:
        SourceError: If the table cannot be read, or has another key now.
    """
    table = source.table()
    try:
        key = load_label(label, like)
    except ValueError as exc:
        msg = f"{label!r} is no key of monitor {source.name!r}, whose key has changed since. The row cannot be found."
        raise SourceError(msg) from exc
    statement = select(*(table.records.c[name] for name in table.columns)).where(table.among([key])).limit(1)
    with reading(source.engine, SourceError) as connection:
        row = connection.execute(statement).mappings().first()
    return None if row is None else {str(name): _text(value) for name, value in row.items()}


def _text(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, bytes | memoryview):
        return f"{len(bytes(value)):,} bytes"
    text = str(value)
    return text if len(text) <= _MAX_CHARACTERS else f"{text[:_MAX_CHARACTERS]}..."
