"""DuckDB: an embedded engine over its own files and over folders of Parquet and CSV files; read only.

A process that writes to a file of DuckDB locks out all others, readers too. So a connection is opened for each
transaction and closed after it, read only, and waits for a writer as long as for any other lock.
"""

import re
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from sqlalchemy import (
    URL,
    ColumnElement,
    Connection,
    CursorResult,
    Engine,
    FromClause,
    NullPool,
    QueuePool,
    String,
    TableClause,
    case,
    cast,
    event,
    func,
    select,
    text,
)

from jobs.dialects import name_lengths
from jobs.dialects.base import CHECKSUM_PRIME, Dialect, EpochTimes, Index, zoned_time_of_epoch
from jobs.dialects.duckdb_frames import frame_of
from jobs.dialects.families import TIMES, Family
from jobs.dialects.postgresql import TypedTimes
from schemas.service import Timeouts

if TYPE_CHECKING:
    import pandas as pd

_RETRY_SECONDS = 0.1
_ARROW_COPIES = "Arrow output on a DB-API result"  # a copy of one batch, still in a tenth of the time of rows
_LOCKED = "Could not set lock on file"
_FILE = re.compile(r"\.(parquet|csv|tsv|json|jsonl|ndjson)(\.(gz|zst))?$", re.IGNORECASE)
_NESTED = re.compile(r"^(struct|map|union)\b|\[\d*\]$", re.IGNORECASE)
_WHOLE_NUMBER = re.compile(r"^(u?(tiny|small|big|huge)?int|uinteger)$", re.IGNORECASE)
_CONSTRAINTS = """
SELECT constraint_type, constraint_column_names FROM duckdb_constraints()
WHERE table_name = :name AND schema_name = coalesce(:schema, current_schema())
AND database_name = current_database() AND constraint_type IN ('PRIMARY KEY', 'UNIQUE')
"""


@dataclass(frozen=True)
class DuckDB(Dialect):
    """DuckDB, in a file or in memory."""

    title = "DuckDB"
    driver_packages: ClassVar[Mapping[str, str]] = {
        "duckdb": "'plumbline[duckdb]'",
        "duckdb_engine": "'plumbline[duckdb]'",
        **Dialect.driver_packages,
    }
    advice = (
        (
            _LOCKED,
            (
                "Another program writes to the file, and DuckDB lets nobody read meanwhile. Have it close the "
                "file after each write, or write Parquet files, which are not locked; or raise `timeouts.lock`"
            ),
        ),
        (r"interrupted", "The statement took longer than `timeouts.statement` of config.toml"),
        (r"no files found", "Check the path; a relative one begins at the folder of the database's file"),
        (r"required extension|download extension", "Run INSTALL of the extension in DuckDB once, with network"),
        *Dialect.advice,
    )
    wait_pattern = rf"{_LOCKED}|INTERRUPT Error"
    why_read_only = (
        "DuckDB is a source and is only read: one process at a time could write to its file. For the store and for "
        "imports, name a database in SQLite, PostgreSQL or MariaDB."
    )
    has_boolean_type = True
    has_grid_of_time = True
    reads_rows_lazily = True
    midnight = " 00:00:00+00:00"

    # Connections

    def engine_options(self, url: URL, timeouts: Timeouts) -> dict[str, Any]:  # noqa: ARG002
        """Open a file to read only, for one transaction; relative paths in its views begin at its folder.

        Without a file, each connection has an empty database of its own: the driver's pool would give one to a thread,
        in which a transaction could not be opened within another.
        """
        file = self.file(url)
        if file is None:
            return {"poolclass": QueuePool, **name_lengths.DUCKDB}
        paths = {"file_search_path": str(file.absolute().parent)}
        return {**name_lengths.DUCKDB, "poolclass": NullPool, "connect_args": {"read_only": True, "config": paths}}

    def file(self, url: URL) -> Path | None:
        """Return the database's file; None for a database in memory."""
        return Path(url.database) if url.database and url.database != ":memory:" else None

    def prepare_engine(self, engine: Engine, timeouts: Timeouts) -> None:
        """Wait for a writer to close the file, and show times in UTC."""
        warnings.filterwarnings("ignore", _ARROW_COPIES)

        @event.listens_for(engine, "do_connect")
        def connect(dialect: Any, _record: Any, arguments: Any, options: Any) -> Any:
            deadline = time.monotonic() + timeouts.lock.total_seconds()
            while True:
                try:
                    return dialect.connect(*arguments, **options)
                except dialect.loaded_dbapi.Error as exc:
                    if _LOCKED not in str(exc) or time.monotonic() > deadline:
                        raise
                time.sleep(_RETRY_SECONDS)

        @event.listens_for(engine, "connect")
        def show_utc(connection: Any, _record: Any) -> None:
            connection.cursor().execute("SET TimeZone = 'UTC'")

    def cancel(self, connection: Any) -> None:
        """Interrupt the statement."""
        connection.interrupt()

    # Description of tables

    def family(self, declared_type: str) -> Family:
        """Return the family of a declared type; unsigned and very large integers are integers.

        >>> [DuckDB("duckdb").family(name) for name in ("UBIGINT", "HUGEINT", "STRUCT(a INTEGER)", "INTERVAL")]
        ['integer', 'integer', 'other', 'other']
        """
        if _NESTED.search(declared_type):
            return "other"
        return "integer" if _WHOLE_NUMBER.match(declared_type) else super().family(declared_type)

    def table_columns(self, connection: Connection, table: TableClause) -> list[tuple[str, str]]:
        """Return names and types of an empty result, as for a query; the driver's reflection fails."""
        return self.query_columns(connection, table)

    def query_columns(self, connection: Connection, query: FromClause) -> list[tuple[str, str]]:
        """Return names and types of an empty result."""
        with connection.execute(select(text("*")).select_from(query).limit(0)) as result:
            description: Any = result.cursor.description if result.cursor is not None else []
        return [(str(entry[0]), str(entry[1])) for entry in description]

    def primary_key(self, connection: Connection, table: TableClause) -> tuple[str, ...]:
        """Return the columns of a table's primary key."""
        keys = [columns for kind, columns in _constraints(connection, table) if kind == "PRIMARY KEY"]
        return keys[0] if keys else ()

    def indexes(self, connection: Connection, table: TableClause) -> tuple[Index, ...] | None:
        """Return the unique constraints; None without any, since ranges are found by the minimum of each row group."""
        indexes = tuple(Index(columns, is_unique=True) for _, columns in _constraints(connection, table))
        return indexes or None

    def query_of_files(self, name: str) -> str | None:
        """Return a query of the files that a path or pattern names; None for a name of another form."""
        return "SELECT * FROM '{}'".format(name.replace("'", "''")) if _FILE.search(name) else None

    # Reading records

    def frame(self, result: CursorResult[Any]) -> "pd.DataFrame | None":
        """Return the rows of a result through Arrow, if that changes no value."""
        return None if result.cursor is None else frame_of(result.cursor)

    # Times, fingerprints and keys

    def time_of_epoch(self, number: str, per_second: int, *, is_whole: bool) -> str | None:  # noqa: ARG002
        """Return a time with a time zone; null if it is not valid."""
        return zoned_time_of_epoch(number, per_second)

    def moment_of_parts(self, date: str, part: str, *, is_hour: bool) -> str | None:
        """Return a time without a zone; null if a part is not valid."""
        time_of_day = f"{part} * INTERVAL 1 HOUR" if is_hour else f"TRY_CAST({part} AS TIME)"
        return f"CAST({date} AS DATE) + {time_of_day}"

    def epoch_times(self, connection: Connection, records: FromClause, time: str, family: Family) -> EpochTimes | None:  # noqa: ARG002
        """Return the times of a timestamp with or without a zone."""
        return TypedTimes(is_zoned=family == "instant") if family in {"instant", "timestamp"} else None

    def checksum(self, column: ColumnElement[Any], family: Family) -> ColumnElement[Any] | None:
        """Return microseconds of a time, and of other values a part of the MD5, which is the same in any version."""
        if family == "integer":
            return column % CHECKSUM_PRIME
        if family in TIMES:
            return case((func.isfinite(column), func.epoch_us(column)))
        return func.md5_number_lower(cast(column, String)) % CHECKSUM_PRIME


def _constraints(connection: Connection, table: TableClause) -> list[tuple[str, tuple[str, ...]]]:
    """Return kind and columns of each unique constraint."""
    rows = connection.execute(text(_CONSTRAINTS), {"name": str(table.name), "schema": table.schema})
    return [(kind, tuple(columns)) for kind, columns in rows]
