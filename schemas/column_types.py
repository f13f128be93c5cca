"""Types of columns that hold the same values in every database, and indexes that only some databases have."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    ColumnElement,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    Text,
    TypeDecorator,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.types import TypeEngine

_MYSQL = {"mysql", "mariadb"}


class UtcDateTime(TypeDecorator[datetime]):
    """A time that is aware in Python, and stored as UTC in databases without time zones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return a type with microseconds; MySQL's own default has seconds."""
        if dialect.name not in _MYSQL:
            return dialect.type_descriptor(DateTime(timezone=True))
        from sqlalchemy.dialects.mysql import DATETIME

        return dialect.type_descriptor(DATETIME(fsp=6))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the time in UTC, and refuse naive times."""
        if value is None:
            return None
        if value.tzinfo is None:
            msg = f"{value!r} has no time zone; the store keeps aware times only"
            raise ValueError(msg)
        utc = value.astimezone(UTC)
        return utc if dialect.name == "postgresql" else utc.replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Return the time with its time zone."""
        if value is None:
            return None
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


class Blob(TypeDecorator[bytes]):
    """Bytes of any number; MySQL's own default ends at 64 KiB."""

    impl = LargeBinary
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return the largest type for bytes."""
        if dialect.name not in _MYSQL:
            return dialect.type_descriptor(LargeBinary())
        from sqlalchemy.dialects.mysql import LONGBLOB

        return dialect.type_descriptor(LONGBLOB())


@compiles(Text, "mysql")
@compiles(Text, "mariadb")
def _long_text(_element: Text, _compiler: object, **_: object) -> str:
    return "MEDIUMTEXT"  # TEXT ends at 64 KiB there


Json = JSON().with_variant(postgresql.JSONB(), "postgresql")
BigId = BigInteger().with_variant(Integer(), "sqlite")  # SQLite numbers rows only in INTEGER columns


def has_partial_indexes(*_: object, dialect: Dialect, **__: object) -> bool:
    """Return whether an index may cover only some rows of a table."""
    return dialect.name in {"sqlite", "postgresql"}


def lacks_partial_indexes(*arguments: object, dialect: Dialect, **options: object) -> bool:
    """Return whether an index has to cover all rows of a table."""
    return not has_partial_indexes(*arguments, dialect=dialect, **options)


def exists_in(index: Index, dialect: Dialect) -> bool:
    """Return whether a database has an index."""
    callable_: Any = index.info.get("exists_if", has_any_index)
    return bool(callable_(dialect=dialect))


def has_any_index(*_: object, **__: object) -> bool:
    """Return True: every database has the index."""
    return True


def index_of_some(
    name: str,
    rows: ColumnElement[bool],
    *columns: Column[Any],
    unique: bool = False,
    or_all: bool = False,
    include: Sequence[str] = (),
) -> None:
    """Add an index of the rows that a condition selects.

    Args:
        name: of the index.
        rows: the condition.
        columns: of the index.
        unique: whether no two rows in the index may have the same values.
        or_all: whether the index has all rows in databases without such indexes; otherwise they lack it.
        include: further columns that PostgreSQL reads from the index.
    """
    exists_if = has_any_index if or_all else has_partial_indexes
    index = Index(
        name,
        *columns,
        unique=unique,
        info={"exists_if": exists_if},
        sqlite_where=rows,
        postgresql_where=rows,
        postgresql_include=[*include],
    )
    index.ddl_if(callable_=exists_if)


def index_instead(name: str, *columns: Column[Any]) -> None:
    """Add an index of all rows to databases that cannot have one of the rows that a condition selects."""
    Index(name, *columns, info={"exists_if": lacks_partial_indexes}).ddl_if(callable_=lacks_partial_indexes)
