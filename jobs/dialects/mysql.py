"""MySQL and MariaDB: sessions in UTC that refuse what they cannot hold, and texts compared byte by byte.

Without these settings a server shows a TIMESTAMP in its own time zone, and may cut a value to the length of its column.
"""

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from sqlalchemy import (
    URL,
    Boolean,
    ColumnElement,
    Connection,
    DateTime,
    Engine,
    FromClause,
    Integer,
    LargeBinary,
    Select,
    String,
    TableClause,
    and_,
    cast,
    collate,
    column,
    event,
    func,
    literal,
    literal_column,
    or_,
    select,
    table,
    text,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.types import TypeEngine

from jobs.dialects import mysql_waits
from jobs.dialects.base import CHECKSUM_PRIME, Dialect, EpochTimes
from jobs.dialects.families import TIMES, Family
from jobs.dialects.mysql_store import exact_tables
from schemas.errors import StoreError
from schemas.service import Timeouts

_DRIVER = "pymysql"
_SESSION = "SET time_zone = '+00:00', sql_mode = CONCAT(@@sql_mode, ',STRICT_TRANS_TABLES')"
_READ_ONLY = "plumbline_read_only"
_HAS_MIGRATION_LOCK = "plumbline_has_migration_lock"
_MIGRATION_LOCK = "CONCAT('plumbline ', MD5(DATABASE()))"
_MIGRATION_SECONDS = 600
_INDEXED_CHARACTERS = 191  # of four bytes, so that two such columns fit into an index
_MICROSECONDS = 1_000_000
_PRODUCT = 8  # the precedence of SQLAlchemy for products
_PACKET_OVERHEAD_BYTES = 65_536  # of the statement around a value
_MAX_VALUE_BYTES = 16 * 2**20

# The numbers by which the protocol names the types of a result; bytes share those of texts.
_TYPES_BY_NUMBER = {
    **dict.fromkeys((1, 2, 3, 8, 9), "bigint"),
    **dict.fromkeys((4, 5), "double"),
    **dict.fromkeys((0, 246), "decimal"),
    **dict.fromkeys((7, 12), "datetime"),
    **dict.fromkeys((10, 14), "date"),
    **dict.fromkeys((15, 253, 254), "varchar"),
    **dict.fromkeys((249, 250, 251, 252), "text"),
    11: "time",
    13: "year",
    16: "bit",
    245: "json",
    255: "geometry",
}


@dataclass(frozen=True)
class MySQL(Dialect):
    """MySQL and MariaDB."""

    title = "MySQL"
    driver_packages: ClassVar[Mapping[str, str]] = {
        "MySQLdb": "mysqlclient",
        "pymysql": "'plumbline[mysql]'",
        **Dialect.driver_packages,
    }
    read_only_options: ClassVar[Mapping[str, Any]] = {_READ_ONLY: True}
    advice = (
        (
            r"max_allowed_packet|gone away|lost connection",
            (
                "Check that the server is running. If a value is larger than max_allowed_packet, raise the limit: "
                "SET GLOBAL max_allowed_packet = 268435456, and the same under [mysqld] in the server's configuration"
            ),
        ),
        (r"deadlock|lock wait timeout", "Another program held the same rows; try again"),
        (r"max_statement_time|maximum statement execution", "Add an index, or raise `timeouts.statement`"),
        (r"command denied", "Grant this user the permission"),
        *Dialect.advice,
    )
    wait_pattern = r"Lock wait timeout exceeded|max_statement_time exceeded|maximum statement execution|Lost connection"
    # Lost or refused connections, too many of them, deadlocks and shutdowns; the client's own errors begin with 2.
    away_pattern = r"^\(?(0|104[02-59]|1053|11(29|30|5\d|60|61|84)|12(03|05|13|26)|1317|1698|1927|2\d{3}|4031)\b"
    quoting_advice = "put a name with spaces, or one that is a word of SQL, in backticks"
    has_grid_of_time = True
    text_key_type: ClassVar[TypeEngine[Any]] = mysql.VARCHAR(255, charset="utf8mb4", collation="utf8mb4_bin")
    new_table_options: ClassVar[Mapping[str, Any]] = {"mysql_charset": "utf8mb4", "mariadb_charset": "utf8mb4"}

    # Connections

    def with_driver(self, url: URL) -> URL:
        """Return the address with PyMySQL if it names no driver."""
        return url.set(drivername=f"{url.drivername}+{_DRIVER}") if "+" not in url.drivername else url

    def engine_options(self, url: URL, timeouts: Timeouts) -> dict[str, Any]:
        """Return timeouts, and the isolation of PostgreSQL: a read after a wait for a lock is new."""
        arguments = mysql_waits.connect_arguments(url, timeouts)
        return {"pool_pre_ping": True, "connect_args": arguments, "isolation_level": "READ COMMITTED"}

    def cancel(self, connection: Any) -> None:
        """Cut the connection: the server rolls back, as it does for every client that is gone."""
        mysql_waits.sever(connection)

    def sever(self, connection: Any) -> None:
        """Cut the connection."""
        mysql_waits.sever(connection)

    def allow_long_statements(self, connection: Connection) -> None:
        """Lift the limits of the session, until the lock of the migration is released."""
        super().allow_long_statements(connection)
        mysql_waits.lift_limits(connection, _MIGRATION_SECONDS)

    def prepare_engine(self, engine: Engine, timeouts: Timeouts) -> None:
        """Set up each session, begin transactions that only read as such, and release the lock of a migration."""
        # A connection holds one unread result only, and a refresh of incidents reads several side by side.
        engine.dialect.supports_server_side_cursors = False

        @event.listens_for(engine, "connect")
        def prepare(connection: Any, _record: Any) -> None:
            with connection.cursor() as cursor:
                cursor.execute(_SESSION)
            mysql_waits.limit_session(connection, timeouts)

        @event.listens_for(engine, "begin")
        def begin(connection: Connection) -> None:
            if connection.get_execution_options().get(_READ_ONLY, False):
                connection.exec_driver_sql("START TRANSACTION READ ONLY")

        @event.listens_for(engine, "checkin")
        def release(connection: Any, record: Any) -> None:
            if record.info.pop(_HAS_MIGRATION_LOCK, False) and connection is not None:
                with connection.cursor() as cursor:
                    cursor.execute(f"DO RELEASE_LOCK({_MIGRATION_LOCK})")
                mysql_waits.limit_session(connection, timeouts)

    # Description of tables

    def family(self, declared_type: str) -> Family:
        """Return the family of a declared type; the values of an enum do not count as its name.

        >>> [MySQL("mysql").family(name) for name in ("enum('int')", "tinyint(1)", "year(4)", "bit(1)", "time")]
        ['text', 'boolean', 'integer', 'boolean', 'other']
        """
        declared = declared_type.lower()
        if declared in {"tinyint(1)", "bit(1)"}:
            return "boolean"
        kind = re.sub(r"\(.*", "", declared)
        families: dict[str, Family] = {"enum": "text", "set": "text", "year": "integer", "bit": "other"}
        return families[kind] if kind in families else super().family(kind)

    def table_columns(self, connection: Connection, table: TableClause) -> list[tuple[str, str]]:
        """Return names and types as declared, with their lengths: a boolean is a tinyint(1)."""
        c = _COLUMNS.c
        schema = literal(table.schema) if table.schema else func.database()
        declared = select(c.column_name, c.column_type).where(c.table_schema == schema, c.table_name == table.name)
        return [(name, str(type_)) for name, type_ in connection.execute(declared.order_by(c.ordinal_position))]

    def query_columns(self, connection: Connection, query: FromClause) -> list[tuple[str, str]]:
        """Return names and types of an empty result, in which the driver reports types as numbers."""
        with connection.execute(select(text("*")).select_from(query).limit(0)) as result:
            numbers: list[Any] = [entry[1] for entry in result.cursor.description] if result.cursor is not None else []
            names = list(result.keys())
        return [(name, _TYPES_BY_NUMBER.get(number, "")) for name, number in zip(names, numbers, strict=True)]

    def index_options(self, types: Mapping[str, str]) -> dict[str, Any]:
        """Return the lengths of texts without a limit, of which an index holds only the first characters."""
        lengths = {name: _INDEXED_CHARACTERS for name, type_ in types.items() if type_.endswith("text")}
        return {"mysql_length": lengths, "mariadb_length": lengths} if lengths else {}

    # Reading records

    def number_to_read(self, column: ColumnElement[Any], family: Family) -> ColumnElement[Any]:
        """Return a float with all its digits, a decimal as one, and a bit as a number."""
        if family in {"float", "decimal"}:
            return (column + literal_column("0e0")).label(column.key)
        return cast(column, Integer).label(column.key) if family == "boolean" else column

    def rows_of_groups(
        self,
        groups: FromClause,
        rows: FromClause,
        is_in_group: ColumnElement[bool],
        columns: Sequence[ColumnElement[Any]],
    ) -> Select[Any]:
        """Select by a join in the order of its tables; MariaDB has no LATERAL."""
        joined = select(*columns, *groups.c).select_from(groups.join(rows, is_in_group))
        return joined.prefix_with("STRAIGHT_JOIN")

    def compares(
        self,
        comparison: Callable[[Any, Any], ColumnElement[bool]],
        columns: Sequence[ColumnElement[Any]],
        values: Sequence[ColumnElement[Any]],
    ) -> ColumnElement[bool]:
        """Compare part by part: no index serves a comparison of rows."""
        first, value = columns[0], values[0]
        if len(columns) == 1:
            return comparison(first, value)
        rest = and_(first == value, self.compares(comparison, columns[1:], values[1:]))
        if comparison in {operator.gt, operator.ge}:
            return and_(first >= value, or_(first > value, rest))
        return and_(first <= value, or_(first < value, rest))

    def is_same_text(self, left: ColumnElement[Any], right: ColumnElement[Any]) -> ColumnElement[bool]:
        """Compare by the collation, so that an index serves, and by the bytes: 'a' is not 'A', nor 'a '."""
        return and_(left == right, cast(left, LargeBinary) == cast(right, LargeBinary))

    def text_literal(self, text: str) -> str:
        r"""Return SQL for a text, in which a backslash escapes the next character.

        >>> print(MySQL("mysql").text_literal("it\\"))
        'it\\'
        """
        return super().text_literal(text.replace("\\", r"\\"))

    # Times

    def time_of_epoch(self, number: str, per_second: int, *, is_whole: bool) -> str | None:  # noqa: ARG002
        """Return a time in UTC, which FROM_UNIXTIME would not."""
        # Decimals have no overflow; a quotient of whole numbers has only four of them.
        scale = f"* {1_000_000 // per_second}.0" if per_second <= 1_000_000 else f"/ {per_second // 1_000_000}"
        return f"TIMESTAMPADD(MICROSECOND, ROUND({number} {scale}), TIMESTAMP'1970-01-01 00:00:00')"

    def moment_of_parts(self, date: str, part: str, *, is_hour: bool) -> str | None:
        """Return a time without a zone; null if a part is not valid."""
        return f"TIMESTAMPADD(HOUR, {part}, DATE({date}))" if is_hour else f"TIMESTAMP(DATE({date}), {part})"

    def epoch_times(self, connection: Connection, records: FromClause, time: str, family: Family) -> EpochTimes | None:  # noqa: ARG002
        """Return the times of a datetime or timestamp, which are UTC."""
        return UtcTimes() if family == "timestamp" else None

    # Fingerprints and keys

    def checksum(self, column: ColumnElement[Any], family: Family) -> ColumnElement[Any] | None:
        """Return microseconds of a time, and of other values a CRC."""
        if family == "integer":
            return column % CHECKSUM_PRIME
        return _microseconds(column) if family in TIMES else func.crc32(column)

    def key_text(self, column: ColumnElement[Any], family: Family) -> ColumnElement[str]:
        """Write a time as Python does, and every text in the character set and collation of the store."""
        written: ColumnElement[Any] = cast(column, String)
        if family == "timestamp":
            form = func.date_format(column, "%Y-%m-%dT%H:%i:%s.%f")
            written = func.replace(form, ".000000", "", type_=String())
        return collate(func.convert(written.op("USING")(literal_column("utf8mb4"))), "utf8mb4_bin")

    def key_json(self, column: ColumnElement[Any], family: Family) -> ColumnElement[str]:
        """Return one part of a key as JSON."""
        written = self.key_text(column, family)
        return written if family == "integer" else func.json_quote(written, type_=String())

    # Writing

    def created_type(self, reported_type: TypeEngine[Any]) -> TypeEngine[Any]:
        """Return a boolean for a tinyint(1)."""
        is_boolean = isinstance(reported_type, mysql.TINYINT) and reported_type.display_width == 1
        return Boolean() if is_boolean else reported_type

    def max_value_bytes(self, connection: Connection) -> int | None:
        """Return what a statement surely carries: a driver may write each byte as two."""
        packet_bytes = int(connection.scalar(select(literal_column("@@max_allowed_packet"))) or 0)
        return min((packet_bytes - _PACKET_OVERHEAD_BYTES) // 2, _MAX_VALUE_BYTES)

    def lock_schema(self, connection: Connection) -> None:
        """Take a lock of the session, which it releases when it returns to the pool: changes of tables commit.

        Raises:
            StoreError: If the server is too old, or another process migrates for too long.
        """
        super().lock_schema(connection)
        _refuse_old_server(connection)
        _refuse_unlogged_triggers(connection)
        lock = text(f"SELECT GET_LOCK({_MIGRATION_LOCK}, {_MIGRATION_SECONDS})")
        if connection.scalar(lock) != 1:
            raise StoreError(
                f"Another process has migrated the store for more than {_MIGRATION_SECONDS} s. "
                "Wait for it, or end it; then try again."
            )
        connection.info[_HAS_MIGRATION_LOCK] = True

    def prepare_tables(self, connection: Connection, names: Sequence[str]) -> None:
        """Let tables of the store hold every text and microseconds, whatever the server's defaults."""
        exact_tables(connection, names)


@dataclass(frozen=True)
class UtcTimes:
    """Times of a datetime or a timestamp, in UTC."""

    required_form: str = "`resample` needs a time that exists; MySQL's 0000-00-00 is none"

    def cell_start(self, time: ColumnElement[Any], step: int) -> ColumnElement[int]:
        """Return the start of a cell, in whole numbers: a quotient of MySQL has four decimals."""
        width = step * _MICROSECONDS
        instant = _microseconds(time)
        start = instant - func.mod(func.mod(instant, width) + width, width)
        return start.op("DIV", precedence=_PRODUCT)(_MICROSECONDS)

    def moment(self, seconds: Any) -> ColumnElement[Any]:
        """Return a number of seconds since 1970 as a datetime."""
        return func.timestampadd(literal_column("SECOND"), seconds, _epoch(), type_=DateTime())

    def is_unreadable(self, time: ColumnElement[Any]) -> ColumnElement[bool] | None:
        """Return the condition for times that do not exist."""
        return and_(time.is_not(None), _microseconds(time).is_(None))


_COLUMNS = table(
    "columns",
    *(column(name) for name in ("table_schema", "table_name", "column_name", "column_type", "ordinal_position")),
    schema="information_schema",
)


def _refuse_old_server(connection: Connection) -> None:
    """Raise an error if the server cannot skip locked rows."""
    dialect: Any = connection.dialect
    title, oldest = ("MariaDB", (10, 6)) if dialect.is_mariadb else ("MySQL", (8, 0, 17))
    version = tuple(part for part in dialect.server_version_info if isinstance(part, int))
    if version < oldest:
        shown, needed = (".".join(map(str, parts[:3])) for parts in (version, oldest))
        raise StoreError(f"The server is {title} {shown}, and a store needs {needed}. Upgrade it, or name another.")


def _refuse_unlogged_triggers(connection: Connection) -> None:
    """Raise an error if the server keeps a binary log and would refuse our trigger, before anything is changed."""
    variables = connection.execute(text("SELECT @@log_bin, @@log_bin_trust_function_creators")).one()
    if not variables[0] or variables[1]:
        return
    grants = " ".join(connection.scalars(text("SHOW GRANTS")))
    if "SUPER" not in grants and "ALL PRIVILEGES ON *.*" not in grants:
        raise StoreError(
            "The server keeps a binary log and refuses triggers of users without the right SUPER. Have an "
            "administrator run: SET GLOBAL log_bin_trust_function_creators = 1"
        )


def _epoch() -> ColumnElement[Any]:
    return literal_column("CAST('1970-01-01' AS DATETIME(6))", DateTime())


def _microseconds(time: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return the microseconds since 1970; null for a time that does not exist."""
    return func.timestampdiff(literal_column("MICROSECOND"), _epoch(), time, type_=Integer())
