"""SQLite: values have types, columns do not, and times are texts.

SQLite is not read through ADBC, which brings an SQLite of its own: two copies in one process break each other's POSIX
locks if both open the same file, and with them the file.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from zlib import crc32

from sqlalchemy import (
    URL,
    ColumnElement,
    Connection,
    CursorResult,
    Engine,
    FromClause,
    Integer,
    Select,
    String,
    TableClause,
    and_,
    case,
    cast,
    event,
    func,
    or_,
    select,
)

from jobs.dialects.base import CHECKSUM_PRIME, END_OF_VALID_TIMES, Dialect, EpochTimes
from jobs.dialects.families import Family
from jobs.dialects.time_texts import julian_day
from schemas.service import Timeouts

if TYPE_CHECKING:
    import pandas as pd

_TEXT_CHECKSUM = "plumbline_text_sum"  # a function that Plumbline adds to each connection
_JULIAN_DAY = "plumbline_julian_day"  # another: of texts that SQLite does not read
_READ_ONLY = "plumbline_read_only"
_UNIX_EPOCH = 2440587.5  # as a Julian day
_MILLISECONDS_PER_DAY = 86_400_000
_SECONDS_LENGTH = len("2026-03-01 12:30:00")
_TIME_OF_DAY_POSITION = len("2026-01-31T")  # of the separator before it
_MAX_EPOCH_SECONDS = 32_503_680_000  # the year 3000; larger numbers are milliseconds
_DATE_FIRST = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]*"
_ZONES = ("Z", "+00:00")


@dataclass(frozen=True)
class SQLite(Dialect):
    """SQLite, in a file or in memory."""

    title = "SQLite"
    read_only_options: ClassVar[Mapping[str, Any]] = {_READ_ONLY: True}
    advice = (
        (r"database is locked", "Another program holds the file; let it finish, then try again"),
        (r"interrupted", "The statement took longer than `timeouts.statement` of config.toml"),
        (r"readonly database|read-only file", "The file or its folder is read-only; change its permissions or move it"),
        (r"unable to open database", "Its folder must exist, and be writable for this user"),
        (r"not a database|malformed", "The address must name an SQLite file that is whole"),
        *Dialect.advice,
    )
    wait_pattern = r"^interrupted$|^database( table)? is locked"
    away_pattern = r"unable to open|disk|locked|interrupted|not a database|malformed|out of memory"
    has_dynamic_types = True
    has_grid_of_time = True
    # Without AUTOINCREMENT the number of a deleted last record is used again: keys would not grow.
    numbered_table_options: ClassVar[Mapping[str, Any]] = {"sqlite_autoincrement": True}

    def engine_options(self, url: URL, timeouts: Timeouts) -> dict[str, Any]:
        """Return a timeout for locks; statements have none of their own, so they are interrupted."""
        arguments = {} if "timeout" in url.query else {"timeout": timeouts.lock.total_seconds()}
        return {"connect_args": arguments}

    reads_rows_lazily = True

    def cancel(self, connection: Any) -> None:
        """Interrupt the statement."""
        connection.interrupt()

    def is_in_memory(self, url: URL) -> bool:
        """Return whether the database has no file."""
        return self.file(url) is None

    def prepare_engine(self, engine: Engine, timeouts: Timeouts) -> None:  # noqa: ARG002
        """Make every transaction begin as a reader or as a writer; the driver's own would lock at the first write.

        Two readers that both become writers cannot wait for each other, so SQLite fails one of them at once;
        BEGIN IMMEDIATE makes a writer wait at the start instead.
        """

        @event.listens_for(engine, "connect")
        def prepare(connection: Any, _record: Any) -> None:
            connection.isolation_level = None
            connection.execute("PRAGMA foreign_keys = ON")
            connection.create_function(_TEXT_CHECKSUM, 1, _text_checksum, deterministic=True)
            connection.create_function(_JULIAN_DAY, 1, julian_day, deterministic=True)

        @event.listens_for(engine, "begin")
        def begin(connection: Connection) -> None:
            is_read_only = connection.get_execution_options().get(_READ_ONLY, False)
            connection.exec_driver_sql(f"PRAGMA query_only = {int(is_read_only)}")
            connection.exec_driver_sql("BEGIN DEFERRED" if is_read_only else "BEGIN IMMEDIATE")

    def file(self, url: URL) -> Path | None:
        """Return the database's file; None for a database in memory."""
        is_file = bool(url.database) and not str(url.database).startswith((":memory:", "file:"))
        return Path(str(url.database)) if is_file else None

    def table_columns(self, connection: Connection, table: TableClause) -> list[tuple[str, str]]:
        """Return names and types as declared; SQLAlchemy's inspector rounds a type to one of its own."""
        arguments = (table.name, table.schema) if table.schema else (table.name,)
        declared = func.pragma_table_xinfo(*arguments).table_valued("name", "type", "hidden")
        columns = connection.execute(select(declared.c.name, declared.c.type).where(declared.c.hidden != 1))
        return [(name, str(type_ or "")) for name, type_ in columns]

    def frame(self, result: CursorResult[Any]) -> "pd.DataFrame | None":
        """Return the rows as the driver has them, unless SQLAlchemy converts values."""
        from jobs.dialects.sqlite_frames import frame_of

        return frame_of(result)

    def rows_of_groups(
        self,
        groups: FromClause,
        rows: FromClause,
        is_in_group: ColumnElement[bool],
        columns: Sequence[ColumnElement[Any]],
    ) -> Select[Any]:
        """Select by an outer join, whose right side SQLite looks up for each row of the left."""
        return select(*columns, *groups.c).select_from(groups.outerjoin(rows, is_in_group))

    def is_later(self, time: ColumnElement[Any], moment: datetime, *, is_zoned: bool) -> ColumnElement[bool]:  # noqa: ARG002
        """Compare Julian days, as the texts may be in more than one form."""
        day = _julian_day(time)
        return and_(day > julian_day(moment.isoformat()), day < julian_day(END_OF_VALID_TIMES.isoformat()))

    def is_no_time(self, time: ColumnElement[Any]) -> ColumnElement[bool] | None:
        """Return the condition for numbers, and for texts in a form that is not read."""
        return and_(time.is_not(None), getattr(func, _JULIAN_DAY)(time).is_(None))

    def time_advice(self, value: Any) -> str:
        """Return the conversion of a number of seconds or milliseconds since 1970, or the form that times need."""
        if not isinstance(value, int | float) and not re.fullmatch(r"\d{9,}(\.\d+)?", str(value)):
            return "Write times like '2026-01-31 08:00:00', in UTC"
        divisor = " / 1000.0" if float(value) > _MAX_EPOCH_SECONDS else ""
        return f"Convert numbers in a `query`: datetime(column{divisor}, 'unixepoch')"

    def is_foreign_time(self, time: ColumnElement[Any]) -> ColumnElement[bool] | None:
        """Return the condition for texts that are read, but not by SQLite's own functions."""
        return and_(_own_julian_day(time).is_(None), _julian_day(time).is_not(None))

    def time_of_epoch(self, number: str, per_second: int, *, is_whole: bool) -> str | None:
        """Return a text, in UTC and cut to milliseconds."""
        if per_second == 1 and is_whole:
            return f"datetime({number}, 'unixepoch')"
        return f"strftime('%Y-%m-%d %H:%M:%f', {number} / {per_second}.0, 'unixepoch')"

    def moment_of_parts(self, date: str, part: str, *, is_hour: bool) -> str | None:
        """Return a text; null if a part is not valid."""
        return f"datetime(date({date}), {part} || ' hours')" if is_hour else f"datetime(date({date}) || ' ' || {part})"

    def epoch_times(self, connection: Connection, records: FromClause, time: str, family: Family) -> EpochTimes | None:  # noqa: ARG002
        """Return times as texts with the separator that the first of them has."""
        column = records.c[time]
        first = connection.scalar(select(func.substr(column, 11, 1)).where(column.is_not(None)).limit(1))
        return TextTimes("T" if first == "T" else " ")

    def written_form(self, time: ColumnElement[Any]) -> tuple[ColumnElement[Any], ...] | None:
        """Return type, length, separator and zone: SQLite compares times as the texts or numbers that they are."""
        text, kind = cast(time, String), func.typeof(time)
        time_of_day = func.substr(text, _TIME_OF_DAY_POSITION)
        separator = func.substr(time_of_day, 1, 1)
        length = case((kind == "text", func.length(text)))
        return (kind, length, separator, func.substr(text, -1) == "Z", _utc_offset(time_of_day))

    def checksum(self, column: ColumnElement[Any], family: Family) -> ColumnElement[Any] | None:
        """Return milliseconds of a time, and of another value that is no integer a CRC."""
        if family == "integer":
            return column % CHECKSUM_PRIME
        time = cast(func.round((_own_julian_day(column) - _UNIX_EPOCH) * _MILLISECONDS_PER_DAY), Integer)
        kind = func.typeof(column)
        text = case((kind == "blob", func.hex(column)), else_=cast(column, String))
        return case(
            (kind == "integer", column % CHECKSUM_PRIME),
            (time.is_not(None), time),
            (kind != "null", getattr(func, _TEXT_CHECKSUM)(text)),
        )

    def key_json(self, column: ColumnElement[Any], family: Family) -> ColumnElement[str]:  # noqa: ARG002
        """Return the value as JSON; times are texts already."""
        return func.json_quote(column, type_=String())

    def allow_reads_while_writing(self, engine: Engine) -> None:
        """Use a write-ahead log; the file remembers it."""
        if self.file(engine.url) is None:
            return
        raw: Any = engine.raw_connection()
        try:
            raw.execute("PRAGMA journal_mode = WAL")
        finally:
            raw.close()


@dataclass(frozen=True)
class TextTimes:
    """Times as texts in UTC.

    Attributes:
        separator: Between date and time.
    """

    separator: str

    @property
    def required_form(self) -> str:
        """The form, with an example."""
        example = f"2026-03-01{self.separator}12:30:00"
        return f"In SQLite, `resample` needs times as texts in UTC, all written like '{example}'"

    def cell_start(self, time: ColumnElement[Any], step: int) -> ColumnElement[int]:
        """Return the start of a cell; a remainder may be negative in SQLite."""
        seconds = cast(func.strftime("%s", func.substr(time, 1, _SECONDS_LENGTH)), Integer)
        return seconds - (seconds % step + step) % step

    def moment(self, seconds: Any) -> ColumnElement[Any]:
        """Return the text of a number of seconds since 1970."""
        return func.strftime(self._form, seconds, "unixepoch")

    def is_unreadable(self, time: ColumnElement[Any]) -> ColumnElement[bool] | None:
        """Return the condition for texts in another form or in another zone than UTC."""
        seconds = func.substr(time, 1, _SECONDS_LENGTH)
        rest = func.substr(time, _SECONDS_LENGTH + 1)
        for zone in _ZONES:
            rest = func.replace(rest, zone, "")
        # Without a modifier some versions return a day that does not exist unchanged.
        is_other = func.strftime(self._form, seconds, "+0 days").is_distinct_from(seconds)
        return and_(time.is_not(None), or_(is_other, rest.op("GLOB")("*[^0-9.]*")))

    @property
    def _form(self) -> str:
        """The format of a time in whole seconds."""
        return f"%Y-%m-%d{self.separator}%H:%M:%S"


def _own_julian_day(time: ColumnElement[Any]) -> ColumnElement[float]:
    """Return a date, with or without a time of day, as SQLite reads it: of other texts it takes numbers and names."""
    is_date = and_(func.typeof(time) == "text", time.op("GLOB")(_DATE_FIRST))
    return case((is_date, func.julianday(time)))


def _julian_day(time: ColumnElement[Any]) -> ColumnElement[float]:
    """Return a time as the reader of records reads it; null for a value that it does not read."""
    return func.coalesce(_own_julian_day(time), getattr(func, _JULIAN_DAY)(time))


def _text_checksum(text: str) -> int:
    return crc32(text.encode(errors="surrogateescape"))


def _utc_offset(time_of_day: ColumnElement[str]) -> ColumnElement[str]:
    """Return the offset from UTC at the end of a time of day, such as ``+02:00``; empty if there is none."""
    positions = [func.instr(time_of_day, sign) for sign in "+-"]
    return case(*((position > 0, func.substr(time_of_day, position)) for position in positions), else_="")
