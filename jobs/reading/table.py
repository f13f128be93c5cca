"""A watched table, view or query as the database describes it, and conditions on its keys.

Columns are addressed by quoted names of untyped expressions, so a record has the driver's types when it leaves the
database; `jobs.reading.typed_columns` converts them to the documented ones.
"""

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any
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
    Subquery,
    TableClause,
    Text,
    TextClause,
    Uuid,
    and_,
    bindparam,
    cast,
    column,
    false,
    inspect,
    or_,
    text,
)
from sqlalchemy import table as table_clause
from sqlalchemy.sql import quoted_name
from sqlalchemy.types import TypeEngine

from jobs.addresses import display_name
from jobs.dialects import Dialect, Family, Index, dialect_of
from schemas.config import MonitorConfig
from schemas.errors import SourceError
from schemas.keys import Key, KeyPart, KeyRange
from schemas.nearest import nearest_name

_MAX_TABLES_SHOWN = 20


@dataclass(frozen=True)
class WatchedColumn:
    """A column as the database declares it; the type is empty if the database reports none."""

    name: str
    type: str
    family: Family


@dataclass(frozen=True)
class WatchedTable:
    """A table, view or query with all of its columns."""

    records: FromClause
    columns: Mapping[str, WatchedColumn]
    key: tuple[str, ...]
    indexes: tuple[Index, ...] | None
    """Of a table; None for a view or a query, which has none of its own."""
    dialect: Dialect

    def key_columns(self, records: FromClause | None = None) -> list[ColumnElement[Any]]:
        """Return the key as expressions, of the table or of a selection from it."""
        return [(self.records if records is None else records).c[name] for name in self.key]

    def order(self, records: FromClause | None = None, *, newest_first: bool = False) -> list[ColumnElement[Any]]:
        """Return the key as an ORDER BY."""
        columns = self.key_columns(records)
        return [column.desc() for column in columns] if newest_first else columns

    def after(self, key: Key | None) -> ColumnElement[bool]:
        """Return the condition for records past a key; for None, that for every record with a key."""
        if key is None:
            return and_(*(column.is_not(None) for column in self.key_columns()))
        return self._compares(operator.gt, self.key_columns(), key)

    def before(self, key: Key, records: FromClause | None = None) -> ColumnElement[bool]:
        """Return the condition for records below a key."""
        return self._compares(operator.lt, self.key_columns(records), key)

    def within(self, key_range: KeyRange) -> ColumnElement[bool]:
        """Return the condition for the records of a key range."""
        upto = self._compares(operator.le, self.key_columns(), key_range.upto)
        return and_(self.after(key_range.after), upto)

    def between(self, columns: Sequence[ColumnElement[Any]], first: Key, last: Key) -> ColumnElement[bool]:
        """Return the condition that the key in some columns is from a first to a last key, both included."""
        return and_(self._compares(operator.ge, columns, first), self._compares(operator.le, columns, last))

    def among(self, keys: Sequence[Key]) -> ColumnElement[bool]:
        """Return the condition for records that have one of the keys."""
        return or_(
            false(),
            *(
                and_(*(column == part for column, part in zip(self.key_columns(), self._bound_parts(key), strict=True)))
                for key in keys
            ),
        )

    def _bound_parts(self, key: Key) -> list[ColumnElement[Any]]:
        """Return the parts of a key as the columns of the key compare with them."""
        return [self._bound(part, self.columns[name].type) for name, part in zip(self.key, key, strict=True)]

    def _bound(self, part: KeyPart, declared_type: str) -> ColumnElement[Any]:
        bound = _bound(part)
        return self.dialect.text_to_compare(bound, declared_type) if isinstance(part, str) else bound

    def is_later(self, time: ColumnElement[Any], moment: datetime) -> ColumnElement[bool]:
        """Return the condition that a time is valid and past a moment; columns without a zone hold UTC."""
        is_zoned = self.columns[time.key or ""].family == "instant"
        return self.dialect.is_later(time, moment, is_zoned=is_zoned)

    def _compares(
        self, comparison: Callable[[Any, Any], ColumnElement[bool]], columns: Sequence[ColumnElement[Any]], key: Key
    ) -> ColumnElement[bool]:
        return self.dialect.compares(comparison, columns, self._bound_parts(key))


def describe_table(connection: Connection, name: str, monitor: MonitorConfig) -> WatchedTable:
    """Return the table, view or query that the monitor of that name watches.

    Raises:
        SourceError: If the table or one of the columns does not exist.
    """
    inspector, dialect = inspect(connection), dialect_of(connection)
    place = _place(inspector, dialect, name, monitor)
    types = place.types(connection, dialect)
    columns = {column: WatchedColumn(column, type_, dialect.family(type_)) for column, type_ in types}
    missing = [column for column in required_columns(monitor) if column not in columns]
    if missing:
        raise SourceError(_missing_columns(name, place, missing, list(columns)))
    return WatchedTable(place.rows(columns), columns, monitor.key, place.indexes(connection, dialect), dialect)


def required_columns(monitor: MonitorConfig) -> tuple[str, ...]:
    """Return every column that a monitor names, each once: key, time, time of change, entity, features, label."""
    named = (*monitor.key, monitor.time, monitor.updated, monitor.entity, *monitor.features.names, monitor.label)
    return tuple(dict.fromkeys(name for name in named if name is not None))


def raw_sql(sql: str) -> TextClause:
    """Return SQL from the configuration unchanged: a colon in it is not a parameter."""
    return text(sql.replace(":", r"\:"))


@dataclass(frozen=True)
class _Place:
    """A table in a schema, or a query."""

    schema: str | None = None
    table: str = ""
    query: str | None = None

    def __str__(self) -> str:
        return "the query" if self.query is not None else f"the table {self.table!r}"

    def rows(self, names: Iterable[str] = ()) -> FromClause:
        """Return the records, with the named columns."""
        columns: list[ColumnClause[Any]] = [column(quoted_name(name, quote=True)) for name in names]
        return self._table(columns) if self.query is None else self._subquery(self.query, columns)

    def types(self, connection: Connection, dialect: Dialect) -> list[tuple[str, str]]:
        """Return the name and declared type of each column."""
        if self.query is None:
            return dialect.table_columns(connection, self._table([]))
        return dialect.query_columns(connection, self._subquery(self.query, []))

    def indexes(self, connection: Connection, dialect: Dialect) -> tuple[Index, ...] | None:
        """Return the indexes of a table that cover all of its rows; None for a view or a query."""
        return dialect.indexes(connection, self._table([])) if self.query is None else None

    def _table(self, columns: Sequence[ColumnClause[Any]]) -> TableClause:
        schema = quoted_name(self.schema, quote=True) if self.schema else None
        return table_clause(quoted_name(self.table, quote=True), *columns, schema=schema)

    @staticmethod
    def _subquery(query: str, columns: Sequence[ColumnClause[Any]]) -> Subquery:
        # The line break ends a comment on the query's last line.
        return raw_sql(query.strip().rstrip(";") + "\n").columns(*columns).subquery("records")


def _place(inspector: Inspector, dialect: Dialect, name: str, monitor: MonitorConfig) -> _Place:
    if monitor.query is not None:
        return _Place(query=monitor.query)
    named = monitor.table or ""
    schema, _, rest = named.partition(".")
    if inspector.has_table(named):  # a table's own name may hold a dot
        return _Place(table=named)
    if rest and inspector.has_table(rest, schema):
        return _Place(schema, rest)
    if (files := dialect.query_of_files(named)) is not None:
        return _Place(query=files)
    msg = (
        f"Monitor {name!r} watches the table {named!r}, which is not in "
        f"{display_name(inspector.engine.url)}. {describe_tables(inspector, named)}. Correct `table` in config.toml."
    )
    raise SourceError(msg)


def describe_tables(inspector: Inspector, missing: str) -> str:
    """Return a sentence with the table or view nearest in name to a missing one, or with the first names."""
    schema = missing.partition(".")[0].lower()
    tables = [*inspector.get_table_names(), *inspector.get_view_names()]
    for other in inspector.get_schema_names():
        if other.lower() == schema:
            names = [*inspector.get_table_names(other), *inspector.get_view_names(other)]
            tables += [f"{other}.{table}" for table in names]
    nearest = nearest_name(missing, tables)
    if nearest:
        return f"The nearest is {nearest!r}"
    return f"There are: {', '.join(sorted(tables)[:_MAX_TABLES_SHOWN]) or 'none'}"


def _missing_columns(name: str, place: _Place, missing: Sequence[str], columns: list[str]) -> str:
    nearest = {column: nearest_name(column, columns) for column in missing}
    hints = [f"{column!r}" + (f" (the nearest is {near!r})" if near else "") for column, near in nearest.items()]
    return (
        f"Monitor {name!r} names columns that {place} does not have: {', '.join(hints)}. "
        f"It has: {', '.join(columns)}. Correct config.toml."
    )


def _bound(part: KeyPart) -> ColumnElement[Any]:
    if isinstance(part, UUID):
        return cast(bindparam(None, str(part), type_=Text()), Uuid())
    if isinstance(part, datetime):
        return bindparam(None, part, type_=DateTime(timezone=part.tzinfo is not None))
    types: dict[type, TypeEngine[Any]] = {int: BigInteger(), str: Text(), Decimal: Numeric(), date: Date()}
    return bindparam(None, part, type_=types[type(part)])
