"""What a monitor watches, as the database describes it: a table, a view or a query, and its columns.

Columns are addressed by quoted names of untyped expressions, so a record leaves the database as the
driver hands it over; `jobs.reading.records` gives it the documented types.
"""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    ColumnClause,
    ColumnElement,
    Connection,
    Date,
    DateTime,
    FromClause,
    Inspector,
    Numeric,
    Text,
    TextClause,
    Uuid,
    and_,
    bindparam,
    cast,
    column,
    false,
    func,
    inspect,
    or_,
    select,
    table,
    text,
    tuple_,
)
from sqlalchemy.sql import quoted_name
from sqlalchemy.types import TypeEngine

from jobs.databases import display_name
from jobs.reading.valid_times import counts
from schemas.config import MonitorConfig
from schemas.errors import SourceError
from schemas.keys import Key, KeyPart, KeyRange

Family = Literal[
    "integer", "float", "decimal", "boolean", "text", "instant", "timestamp", "date", "uuid", "other", "unknown"
]

# An instant is a timestamp with a time zone. The first match counts.
_FAMILIES: tuple[tuple[str, Family], ...] = (
    (r"^(null)?$", "unknown"),
    (r"bool", "boolean"),
    (r"^(timestamp.* with time zone|timestamptz|datetimeoffset)", "instant"),
    (r"^(timestamp|datetime)", "timestamp"),
    (r"^date$", "date"),
    (r"\b(tiny|small|medium|big)?(int|integer)\d?\b|serial", "integer"),
    (r"double|real|float", "float"),
    (r"numeric|decimal|money|number", "decimal"),
    (r"^uuid|uniqueidentifier", "uuid"),
    (r"char|text|clob|string", "text"),
)


@dataclass(frozen=True)
class WatchedColumn:
    """A column as the database declares it; both texts are empty where it does not say."""

    name: str
    type: str

    @property
    def family(self) -> Family:
        """The kind of values it is declared to hold.

        >>> WatchedColumn("id", "bigint").family, WatchedColumn("at", "timestamp(3) with time zone").family
        ('integer', 'instant')
        """
        return next((family for pattern, family in _FAMILIES if re.search(pattern, self.type.lower())), "other")


@dataclass(frozen=True)
class Index:
    """An index or a constraint that has one."""

    columns: tuple[str, ...]
    is_unique: bool


@dataclass(frozen=True)
class WatchedTable:
    """A table, view or query with all of its columns."""

    records: FromClause
    columns: Mapping[str, WatchedColumn]
    key: tuple[str, ...]
    indexes: tuple[Index, ...] | None
    """Of a table; a view or a query has none of its own."""
    dialect: str

    def key_columns(self, records: FromClause | None = None) -> list[ColumnElement[Any]]:
        """The key as expressions, of the records or of a selection from them."""
        return [(self.records if records is None else records).c[name] for name in self.key]

    def order(self, records: FromClause | None = None, *, newest_first: bool = False) -> list[ColumnElement[Any]]:
        """The key as an ORDER BY."""
        columns = self.key_columns(records)
        return [column.desc() for column in columns] if newest_first else columns

    def after(self, key: Key | None) -> ColumnElement[bool]:
        """The condition for records past a key; for every record with a key where it is None."""
        if key is None:
            return and_(*(column.is_not(None) for column in self.key_columns()))
        return _row(self.key_columns()) > _row([_bound(part) for part in key])

    def before(self, key: Key, records: FromClause | None = None) -> ColumnElement[bool]:
        """The condition for records below a key."""
        return _row(self.key_columns(records)) < _row([_bound(part) for part in key])

    def within(self, key_range: KeyRange) -> ColumnElement[bool]:
        """The condition for the records of a key range."""
        upto = _row(self.key_columns()) <= _row([_bound(part) for part in key_range.upto])
        return and_(self.after(key_range.after), upto)

    def among(self, keys: Sequence[Key]) -> ColumnElement[bool]:
        """The condition for records that have one of these keys."""
        return or_(
            false(),
            *(
                and_(*(column == _bound(part) for column, part in zip(self.key_columns(), key, strict=True)))
                for key in keys
            ),
        )

    def is_later(self, time: ColumnElement[Any], moment: datetime) -> ColumnElement[bool]:
        """The condition that a time counts and is past a moment; columns without a zone hold UTC."""
        naive = moment.astimezone(UTC).replace(tzinfo=None)
        if self.dialect == "sqlite":  # times are texts there, in more than one form
            later = func.julianday(time) > func.julianday(naive.isoformat(sep=" "))
        else:
            is_zoned = self.columns[time.key or ""].family == "instant"
            later = time > bindparam(None, moment if is_zoned else naive, type_=DateTime(timezone=is_zoned))
        return and_(later, counts(time, self.dialect))


def watch(connection: Connection, name: str, monitor: MonitorConfig) -> WatchedTable:
    """What the monitor of that name watches.

    Raises:
        SourceError: where the table or one of the columns does not exist.
    """
    inspector = inspect(connection)
    place = _place(inspector, name, monitor)
    columns = _described(connection, inspector, place)
    wanted = wanted_columns(monitor)
    missing = [column for column in wanted if column not in columns]
    if missing:
        raise SourceError(_missing_columns(name, place, missing, list(columns)))
    return WatchedTable(place.rows(columns), columns, monitor.key, place.indexes(inspector), connection.dialect.name)


def wanted_columns(monitor: MonitorConfig) -> tuple[str, ...]:
    """Every column that a monitor names, each once: key, time, time of change, entity, features, label."""
    named = (*monitor.key, monitor.time, monitor.updated, monitor.entity, *monitor.features.names, monitor.label)
    return tuple(dict.fromkeys(name for name in named if name is not None))


def close_name(name: str, known: Iterable[str]) -> str | None:
    """The known name most like `name`, whatever its case."""
    by_lower = {other.lower(): other for other in known}
    nearest = difflib.get_close_matches(name.lower(), by_lower, n=1)
    return by_lower[nearest[0]] if nearest else None


def raw_sql(sql: str) -> TextClause:
    """SQL from the configuration as it stands: a colon in it is no parameter."""
    return text(sql.replace(":", r"\:"))


@dataclass(frozen=True)
class _Place:
    """Where records are: a table in a schema, or a query."""

    schema: str | None = None
    table: str = ""
    query: str | None = None

    def __str__(self) -> str:
        return "the query" if self.query is not None else f"the table {self.table!r}"

    def rows(self, names: Iterable[str]) -> FromClause:
        """The records, with the columns of these names."""
        columns: list[ColumnClause[Any]] = [column(quoted_name(name, quote=True)) for name in names]
        if self.query is not None:  # the line break ends a comment on the query's last line
            return raw_sql(self.query.strip().rstrip(";") + "\n").columns(*columns).subquery("records")
        schema = quoted_name(self.schema, quote=True) if self.schema else None
        return table(quoted_name(self.table, quote=True), *columns, schema=schema)

    def indexes(self, inspector: Inspector) -> tuple[Index, ...] | None:
        """The indexes of a table that cover all of its rows."""
        if self.query is not None or self.table in inspector.get_view_names(self.schema):
            return None
        primary = inspector.get_pk_constraint(self.table, self.schema)["constrained_columns"]
        unique = [item["column_names"] for item in inspector.get_unique_constraints(self.table, self.schema)]
        found = [Index(tuple(columns), is_unique=True) for columns in [primary, *unique] if columns]
        for item in inspector.get_indexes(self.table, self.schema):
            is_partial = any(option.endswith("_where") for option in item.get("dialect_options", {}))
            if not is_partial:
                names = tuple(name or "" for name in item["column_names"])  # "" for an expression
                found.append(Index(names, bool(item["unique"])))
        return tuple(found)


def _place(inspector: Inspector, name: str, monitor: MonitorConfig) -> _Place:
    if monitor.query is not None:
        return _Place(query=monitor.query)
    wanted = monitor.table or ""
    schema, _, rest = wanted.partition(".")
    if inspector.has_table(wanted):  # a table's own name may hold a dot
        return _Place(table=wanted)
    if rest and inspector.has_table(rest, schema):
        return _Place(schema, rest)
    msg = (
        f"Monitor {name!r} watches the table {wanted!r}, which is not in "
        f"{display_name(inspector.engine.url)}. {known_tables(inspector, wanted)}. Correct `table` in config.toml."
    )
    raise SourceError(msg)


def known_tables(inspector: Inspector, wanted: str) -> str:
    """A sentence on which tables and views there are: the one with the nearest name, or some of all."""
    schema = wanted.partition(".")[0].lower()
    known = [*inspector.get_table_names(), *inspector.get_view_names()]
    for other in inspector.get_schema_names():
        if other.lower() == schema:
            names = [*inspector.get_table_names(other), *inspector.get_view_names(other)]
            known += [f"{other}.{table}" for table in names]
    nearest = close_name(wanted, known)
    return f"The nearest is {nearest!r}" if nearest else f"There are: {', '.join(sorted(known)[:20]) or 'none'}"


def _described(connection: Connection, inspector: Inspector, place: _Place) -> dict[str, WatchedColumn]:
    dialect = connection.dialect.name
    if dialect == "postgresql" or place.query is not None:
        found = _described_by_result(connection, place)
    elif dialect == "sqlite":  # the inspector rounds a declared type to one it knows
        arguments = (place.table, place.schema) if place.schema else (place.table,)
        declared = func.pragma_table_xinfo(*arguments).table_valued("name", "type", "hidden")
        found = connection.execute(select(declared.c.name, declared.c.type).where(declared.c.hidden != 1)).all()
    else:
        found = [(item["name"], str(item["type"])) for item in inspector.get_columns(place.table, place.schema)]
    return {name: WatchedColumn(name, str(type_ or "")) for name, type_ in found}


def _described_by_result(connection: Connection, place: _Place) -> Sequence[Any]:
    """Names and types of an empty result; PostgreSQL alone tells types of a query, as numbers."""
    with connection.execute(select(text("*")).select_from(place.rows(())).limit(0)) as result:
        types = [entry[1] for entry in result.cursor.description] if result.cursor is not None else []
        names = list(result.keys())
    if connection.dialect.name != "postgresql":
        return [(name, "") for name in names]
    return [
        (name, connection.scalar(select(func.format_type(number, None))))
        for name, number in zip(names, types, strict=True)
    ]


def _missing_columns(name: str, place: _Place, missing: Sequence[str], known: list[str]) -> str:
    near = {column: close_name(column, known) for column in missing}
    hints = [f"{column!r}" + (f" (the nearest is {near[column]!r})" if near[column] else "") for column in missing]
    return (
        f"Monitor {name!r} names columns that {place} does not have: {', '.join(hints)}. "
        f"It has: {', '.join(known)}. Correct config.toml."
    )


def _row(parts: Sequence[ColumnElement[Any]]) -> ColumnElement[Any]:
    return parts[0] if len(parts) == 1 else tuple_(*parts)


def _bound(part: KeyPart) -> ColumnElement[Any]:
    if isinstance(part, UUID):
        return cast(bindparam(None, str(part), type_=Text()), Uuid())
    if isinstance(part, datetime):
        return bindparam(None, part, type_=DateTime(timezone=part.tzinfo is not None))
    types: dict[type, TypeEngine[Any]] = {int: BigInteger(), str: Text(), Decimal: Numeric(), date: Date()}
    return bindparam(None, part, type_=types[type(part)])
