"""The generic dialect: plain SQL for any database that SQLAlchemy has a driver for."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from sqlalchemy import (
    URL,
    ColumnElement,
    Connection,
    CursorResult,
    DateTime,
    Engine,
    FromClause,
    Select,
    String,
    Table,
    TableClause,
    Text,
    and_,
    bindparam,
    cast,
    func,
    insert,
    inspect,
    literal,
    literal_column,
    select,
    text,
    true,
    tuple_,
)
from sqlalchemy.types import TypeEngine

from jobs.addresses import display_name, without_secrets
from jobs.database_calls import lift_limit
from jobs.dialects.families import Family, family_of
from schemas.service import Timeouts

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

CHECKSUM_PRIME = 2**31 - 1  # the sum of a batch stays within 64 bits

# PostgreSQL has infinite times and years that Python lacks, and sums of times near the ends of Python's calendar leave
# it. A time outside these bounds counts as missing, in SQL and in the records that are read.
FIRST_VALID_TIME = datetime(2, 1, 1, tzinfo=UTC)
END_OF_VALID_TIMES = datetime(9999, 1, 1, tzinfo=UTC)

TIMEOUTS = "plumbline_timeouts"  # an execution option of every engine

_ROWS_PER_INSERT = 5_000


@dataclass(frozen=True)
class Index:
    """An index or a constraint that has one; an expression in it has the name ``""``."""

    columns: tuple[str, ...]
    is_unique: bool


class Reader(Protocol):
    """Runs a select and returns its rows as a frame, in the driver's types."""

    def fetch(self, statement: Select[Any]) -> "pd.DataFrame":
        """Return the rows of a select."""

    def close(self) -> None:
        """Release the connections."""


class EpochTimes(Protocol):
    """The times of one column as whole seconds since 1970, and back."""

    @property
    def required_form(self) -> str:
        """A sentence for errors: the form in which this database needs times."""

    def cell_start(self, time: ColumnElement[Any], step: int) -> ColumnElement[int]:
        """Return the start of the cell of `step` seconds that holds a time, in seconds since 1970."""

    def moment(self, seconds: Any) -> ColumnElement[Any]:
        """Return a number of seconds since 1970 as the column would hold it, so that an index on it serves."""

    def is_unreadable(self, time: ColumnElement[Any]) -> ColumnElement[bool] | None:
        """Return the condition for times that have no cell; None if all have one."""


def zoned_time_of_epoch(number: str, per_second: int) -> str:
    """Return SQL for the time of a number since 1970, null if it is not valid: `to_timestamp` would fail."""
    seconds = number if per_second == 1 else f"{number} / {per_second}.0"
    first, end = (f"{bound.timestamp():.0f}" for bound in (FIRST_VALID_TIME, END_OF_VALID_TIMES))
    return f"to_timestamp(CASE WHEN {seconds} >= {first} AND {seconds} < {end} THEN {seconds} END)"


@dataclass(frozen=True)
class Dialect:
    """The behaviour of one kind of database, by default plain SQL.

    Attributes:
        name: The backend's name in an address.
    """

    name: str

    title: ClassVar[str] = "this database"
    """The name in messages."""

    # Connections

    driver_packages: ClassVar[Mapping[str, str]] = {
        "oracledb": "oracledb",
        "pymssql": "pymssql",
        "pyodbc": "pyodbc",
    }
    """The package to install for a driver's module."""

    read_only_options: ClassVar[Mapping[str, Any]] = {}
    """Execution options of a connection that only reads."""

    advice: ClassVar[tuple[tuple[str, str], ...]] = (
        (
            r"password authentication failed|access denied for user",
            "Check the user name and the password in its address",
        ),
        (
            r"refused|resolve|translate host|timed? ?out|no such file|unreachable",
            "Check host and port, and that it is running",
        ),
        (r"disk is full|disk I/O error|no space left|could not extend", "Make room on its disk"),
        (r"permission denied|insufficient privilege", "Grant this user the permission"),
        (r"unique|duplicate key", "A row with the same unique values exists already; try again"),
    )
    """Patterns of drivers' error texts, and what to do about them. The first match counts."""

    wait_pattern: ClassVar[str] = r"the server does not respond"
    """Pattern of error texts of waits that took too long, such as for a lock."""

    def is_wait(self, detail: str) -> bool:
        """Return whether a driver's error is about a wait that took too long, and not about what was read."""
        return re.search(self.wait_pattern, detail) is not None

    away_pattern: ClassVar[str] = ""
    """Pattern of error texts by which a database is away; drivers may have one class for them and wrong statements."""

    def is_away(self, detail: str) -> bool:
        """Return whether an operational error of a driver may pass by itself, and is not about the statement."""
        return re.search(self.away_pattern, detail) is not None

    def with_driver(self, url: URL) -> URL:
        """Return the address with the driver that is used if it names none."""
        return url

    def engine_options(self, url: URL, timeouts: Timeouts) -> dict[str, Any]:  # noqa: ARG002
        """Return the options of `create_engine`, such as timeouts; those in the address take precedence."""
        return {"pool_pre_ping": True}

    def prepare_engine(self, engine: Engine, timeouts: Timeouts) -> None:
        """Set up the connections and transactions of an engine."""

    def allow_long_statements(self, connection: Connection) -> None:  # noqa: ARG002
        """Let each statement of the open transaction take as long as it needs: it rewrites large tables."""
        lift_limit()

    why_read_only: ClassVar[str | None] = None
    """Why nothing is written to this kind of database, and what to do; None if it is written to."""

    reads_rows_lazily: ClassVar[bool] = False
    """Whether a statement goes on while its rows are read."""

    def cancel(self, connection: Any) -> None:
        """Ask the database to end the statement that another thread runs on a connection of the driver."""

    def sever(self, connection: Any) -> None:
        """Cut a connection of the driver that another thread uses, so that its statement fails."""

    def is_in_memory(self, url: URL) -> bool:  # noqa: ARG002
        """Return whether the database exists within this process only."""
        return False

    def file(self, url: URL) -> Path | None:  # noqa: ARG002
        """Return the file that holds the database; None if it is on a server or in memory."""
        return None

    def failure(self, url: URL, detail: str) -> str:
        """Return the sentence for a driver's error: the database, the reason and what to do about it."""
        first_line = without_secrets(detail.strip().split("\n")[0], url)
        reason = " ".join(first_line.split()).rstrip(".")
        advice = next((text for pattern, text in self.advice if re.search(pattern, reason, re.IGNORECASE)), None)
        return f"The database {display_name(url)} refused: {reason}." + (f" {advice}." if advice else "")

    # Description of tables

    has_dynamic_types: ClassVar[bool] = False
    """Whether a column may hold values of any type, such as numbers and times as texts."""

    has_boolean_type: ClassVar[bool] = False
    """Whether a boolean compares with `false` and not with 0."""

    def family(self, declared_type: str) -> Family:
        """Return the family of a declared type.

        >>> [Dialect("any").family(name) for name in ("bigint", "timestamp(3) with time zone", "")]
        ['integer', 'instant', 'unknown']
        """
        return family_of(declared_type)

    unordered_families: ClassVar[Mapping[Family, str]] = {
        "float": "is not exact",
        "boolean": "has two values",
        "enum": "compares in another order than it is sorted by",
        "other": "has no order that new records follow",
    }
    """Families that cannot be part of a key, and why."""

    def table_columns(self, connection: Connection, table: TableClause) -> list[tuple[str, str]]:
        """Return the name and declared type of each column of a table or view."""
        columns = inspect(connection).get_columns(table.name, table.schema)
        return [(column["name"], str(column["type"])) for column in columns]

    def query_columns(self, connection: Connection, query: FromClause) -> list[tuple[str, str]]:
        """Return the name and type of each column of a query; the type is empty if the database reports none."""
        with connection.execute(select(text("*")).select_from(query).limit(0)) as result:
            names = list(result.keys())
        return [(name, "") for name in names]

    def primary_key(self, connection: Connection, table: TableClause) -> tuple[str, ...]:
        """Return the columns of a table's primary key; none if it has no primary key."""
        return tuple(inspect(connection).get_pk_constraint(table.name, table.schema)["constrained_columns"])

    def indexes(self, connection: Connection, table: TableClause) -> tuple[Index, ...] | None:
        """Return the indexes of a table that cover all of its rows; None for a view, which has none of its own."""
        inspector, place = inspect(connection), (table.name, table.schema)
        if table.name in inspector.get_view_names(table.schema):
            return None
        constraints = [item["column_names"] for item in inspector.get_unique_constraints(*place)]
        unique = [tuple(columns) for columns in (self.primary_key(connection, table), *constraints) if columns]
        indexes = [Index(columns, is_unique=True) for columns in unique]
        for item in inspector.get_indexes(*place):
            is_partial = any(option.endswith("_where") for option in item.get("dialect_options", {}))
            if not is_partial:
                indexes.append(Index(tuple(name or "" for name in item["column_names"]), bool(item["unique"])))
        return tuple(indexes)

    def query_of_files(self, name: str) -> str | None:  # noqa: ARG002
        """Return a query of the files that a name stands for if no table has it; None if the database reads none."""
        return None

    quoting_advice: ClassVar[str] = "put a name with capitals or spaces in double quotes"
    """How a condition in the configuration writes a name that is not plain."""

    def index_options(self, types: Mapping[str, str]) -> dict[str, Any]:  # noqa: ARG002
        """Return the options of an index on columns with the given declared types."""
        return {}

    # Reading records

    def open_reader(self, engine: Engine) -> Reader | None:  # noqa: ARG002
        """Return a reader that is faster than SQLAlchemy's rows; None if there is none."""
        return None

    def frame(self, result: CursorResult[Any]) -> "pd.DataFrame | None":  # noqa: ARG002
        """Return the rows of a result faster than SQLAlchemy does, in the same types; None if there is no such way."""
        return None

    def number_to_read(self, column: ColumnElement[Any], family: Family) -> ColumnElement[Any]:  # noqa: ARG002
        """Return a column of numbers in a type that the reader supports."""
        return column

    def exact_number(self, column: ColumnElement[Any], family: Family) -> ColumnElement[Any] | None:  # noqa: ARG002
        """Return a column of numbers as the reader returns it without loss, if `number_to_read` may refuse a value."""
        return None

    def text_to_read(self, column: ColumnElement[Any], family: Family) -> ColumnElement[Any]:  # noqa: ARG002
        """Return a column of categories in a type that the reader supports."""
        return column

    def category_to_read(self, column: ColumnElement[Any], family: Family) -> ColumnElement[Any]:
        """Return a column of categories as texts, in which a number has one form whatever its type."""
        return self.text_to_read(column, family)

    def rows_of_groups(
        self,
        groups: FromClause,
        rows: FromClause,
        is_in_group: ColumnElement[bool],
        columns: Sequence[ColumnElement[Any]],
    ) -> Select[Any]:
        """Select columns of the rows of each group, and the group; an index serves each group by itself.

        OFFSET keeps the planner, which cannot estimate how few rows a group has, from comparing every group with every
        row.
        """
        of_group = select(*columns).select_from(rows).where(is_in_group).offset(0).lateral("plumbline_row")
        return select(*of_group.c, *groups.c).select_from(groups.join(of_group, true()))

    def compares(
        self,
        comparison: Callable[[Any, Any], ColumnElement[bool]],
        columns: Sequence[ColumnElement[Any]],
        values: Sequence[ColumnElement[Any]],
    ) -> ColumnElement[bool]:
        """Return the condition that a key compares with another as a whole, such as by `operator.gt`."""
        return comparison(_row(columns), _row(values))

    def is_same_text(self, left: ColumnElement[Any], right: ColumnElement[Any]) -> ColumnElement[bool]:
        """Return the condition that two texts are equal, character by character."""
        return left == right

    def text_literal(self, text: str) -> str:
        """Return SQL for a text.

        >>> print(Dialect("any").text_literal("it's"))
        'it''s'
        """
        return "'" + text.replace("'", "''") + "'"

    def any_of_group(self, value: str, family: Family) -> str:  # noqa: ARG002
        """Return SQL for the value of a group in which only one is not null."""
        return f"MAX({value})"

    # Times

    midnight: ClassVar[str] = ""
    """The text after the date in a literal that any column of times compares with."""

    def is_valid_time(self, time: ColumnElement[Any]) -> ColumnElement[bool]:
        """Return the condition that a time is within `FIRST_VALID_TIME` and `END_OF_VALID_TIMES`.

        The bounds are written out, so they compare with a column of any type.
        """
        bounds = (FIRST_VALID_TIME, END_OF_VALID_TIMES)
        first, end = (f"'{bound.date().isoformat()}{self.midnight}'" for bound in bounds)
        return and_(time >= literal_column(first, Text()), time < literal_column(end, Text()))

    def is_later(self, time: ColumnElement[Any], moment: datetime, *, is_zoned: bool) -> ColumnElement[bool]:
        """Return the condition that a time is valid and past a moment; columns without a zone hold UTC."""
        bound = moment if is_zoned else moment.astimezone(UTC).replace(tzinfo=None)
        return and_(time > bindparam(None, bound, type_=DateTime(timezone=is_zoned)), self.is_valid_time(time))

    has_grid_of_time: ClassVar[bool] = False
    """Whether `resample` works: some column has `epoch_times`."""

    def epoch_times(
        self,
        connection: Connection,  # noqa: ARG002
        records: FromClause,  # noqa: ARG002
        time: str,  # noqa: ARG002
        family: Family,  # noqa: ARG002
    ) -> EpochTimes | None:
        """Return the times of a column as seconds since 1970; None if the database or the type has no such form."""
        return None

    def time_of_epoch(self, number: str, per_second: int, *, is_whole: bool) -> str | None:  # noqa: ARG002
        """Return SQL for the time of a number since 1970; None if this is unknown.

        Args:
            number: SQL of the number.
            per_second: its units in a second.
            is_whole: whether all numbers are whole.
        """
        return None

    def moment_of_parts(self, date: str, part: str, *, is_hour: bool) -> str | None:  # noqa: ARG002
        """Return SQL for the time of a date and a part of the day; None if this is unknown.

        Args:
            date: SQL of the date, or of the time at which the day begins.
            part: SQL of the time of day as a text such as 06:39, or of the hours since the day began.
            is_hour: whether the part is a number of hours.
        """
        return None

    def is_no_time(self, time: ColumnElement[Any]) -> ColumnElement[bool] | None:  # noqa: ARG002
        """Return the condition for values that are not read as times; None if the type of the column rules them out."""
        return None

    def time_advice(self, value: Any) -> str:  # noqa: ARG002
        """Return what to do about values that are not read as times, for one of them."""
        return "Correct them, or convert the column in a query"

    def is_foreign_time(self, time: ColumnElement[Any]) -> ColumnElement[bool] | None:  # noqa: ARG002
        """Return the condition for times that the database's own functions do not read; None if there are none."""
        return None

    def written_form(self, time: ColumnElement[Any]) -> tuple[ColumnElement[Any], ...] | None:  # noqa: ARG002
        """Return expressions that differ if two times are written in different forms; None if forms do not matter."""
        return None

    # Fingerprints and keys

    def text_to_compare(self, bound: ColumnElement[Any], declared_type: str) -> ColumnElement[Any]:  # noqa: ARG002
        """Return a text as a column of that type compares with it."""
        return bound

    def checksum(self, column: ColumnElement[Any], family: Family) -> ColumnElement[Any] | None:
        """Return an exact integer that changes with the column's value, with near certainty; None if there is none.

        Its sum depends on neither the order of rows nor the session.
        """
        return column % CHECKSUM_PRIME if family == "integer" else None

    def key_text(self, column: ColumnElement[Any], family: Family) -> ColumnElement[str]:  # noqa: ARG002
        """Return one part of a key as `schemas.keys` writes it."""
        return cast(column, String())

    def key_json(self, column: ColumnElement[Any], family: Family) -> ColumnElement[str]:
        """Return one part of a key as JSON, as `schemas.keys` writes it in a key of several parts."""
        if family in {"integer", "text", "enum"}:
            return cast(func.to_json(column), String())
        return literal('"') + self.key_text(column, family) + '"'

    # Writing

    text_key_type: ClassVar[TypeEngine[Any]] = Text()
    """The type of texts in a primary key."""

    numbered_table_options: ClassVar[Mapping[str, Any]] = {}
    """Options of a table whose records the database numbers, so that it never reuses a number."""

    def created_type(self, reported_type: TypeEngine[Any]) -> TypeEngine[Any]:
        """Return the type that a column was created with, for a type that the database reports."""
        return reported_type

    new_table_options: ClassVar[Mapping[str, Any]] = {}
    """Options of a table that is created for records."""

    def max_value_bytes(self, connection: Connection) -> int | None:  # noqa: ARG002
        """Return the size of the largest binary value that a statement can carry; None if there is no limit."""
        return None

    def prepare_tables(self, connection: Connection, names: Sequence[str]) -> None:
        """Adapt the named tables of the store after a migration, if the database needs it."""

    def insert_rows(
        self, connection: Connection, table: Table, names: Sequence[str], rows: Iterable[Sequence[Any]]
    ) -> None:
        """Insert rows of plain Python values, one for each of the named columns."""
        for chunk in _chunks(rows):
            connection.execute(insert(table), [dict(zip(names, row, strict=True)) for row in chunk])

    def insert_batch(self, connection: Connection, table: Table, batch: "pa.RecordBatch") -> None:
        """Insert an Arrow batch, whose columns are named as the table's."""
        for start in range(0, batch.num_rows, _ROWS_PER_INSERT):
            part = batch.slice(start, _ROWS_PER_INSERT)
            rows = zip(*(column.to_pylist() for column in part.columns), strict=True)
            self.insert_rows(connection, table, batch.schema.names, rows)

    def collect_statistics(self, connection: Connection, table: Table) -> None:
        """Let the database choose its plans by the rows that were just inserted, if it would not do so by itself."""

    def blocking_views(self, connection: Connection, table: Table) -> list[tuple[str, str]]:  # noqa: ARG002
        """Return schema and name of each view because of which a table cannot be dropped."""
        return []

    def lock_schema(self, connection: Connection) -> None:
        """Hold the right to migrate until the open transaction ends, one process at a time."""
        self.allow_long_statements(connection)

    def allow_reads_while_writing(self, engine: Engine) -> None:
        """Let readers of the store continue while one process writes."""


def _row(parts: Sequence[ColumnElement[Any]]) -> ColumnElement[Any]:
    return parts[0] if len(parts) == 1 else tuple_(*parts)


def _chunks(rows: Iterable[Sequence[Any]]) -> Iterator[list[Sequence[Any]]]:
    remaining = iter(rows)
    while chunk := list(islice(remaining, _ROWS_PER_INSERT)):
        yield chunk
