"""The store's tables in MySQL and MariaDB, made exact: migrations create them with the defaults of the server.

By default texts are compared without case, hold the characters of one language only, and end at 64 KiB; times have no
fractions, and the time of a new row is written in the zone of whoever inserts it.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, bindparam, text

_TABLES = text("SELECT table_name, table_collation FROM information_schema.tables WHERE table_schema = DATABASE()")
_COLUMNS = text(
    "SELECT table_name, column_name, data_type, is_nullable, column_default FROM information_schema.columns "
    "WHERE table_schema = DATABASE() AND table_name IN :names "
    "AND (data_type = 'text' OR (data_type = 'mediumtext' AND collation_name <> :exact) "
    "OR (data_type = 'datetime' AND datetime_precision < 6)) ORDER BY 1, ordinal_position"
).bindparams(bindparam("names", expanding=True))
_COLLATIONS = text("SELECT collation_name FROM information_schema.collations WHERE character_set_name = 'utf8mb4'")

# The first that the server has; the last compares 'a' and 'a ' as equal.
_EXACT = ("utf8mb4_nopad_bin", "utf8mb4_0900_bin", "utf8mb4_bin")


def exact_tables(connection: Connection, names: Sequence[str]) -> None:
    """Change the named tables that exist: exact comparison of texts, long texts, and times with microseconds in UTC."""
    collations = {name: collation for name, collation in connection.execute(_TABLES) if name in names}
    exact, changes = _exact_collation(connection), defaultdict[str, list[str]](list)
    for column in connection.execute(_COLUMNS, {"names": [*collations, ""], "exact": exact}):
        changes[column[0]].append(_exact_column(column, exact))
    for name, collation in collations.items():
        if collation != exact:
            changes[name].append(f"CONVERT TO CHARACTER SET utf8mb4 COLLATE {exact}")
    for name in sorted(changes):
        connection.exec_driver_sql(f"ALTER TABLE {name} {', '.join(changes[name])}")


def _exact_collation(connection: Connection) -> str:
    present = set(connection.scalars(_COLLATIONS))
    return next(name for name in _EXACT if name in present)


def _exact_column(column: Row[Any], collation: str) -> str:
    """Return the change of a table that makes a column exact; a default that is the present time becomes UTC."""
    _, name, kind, is_nullable, default = tuple(column)
    exact_type = "DATETIME(6)" if kind == "datetime" else f"MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE {collation}"
    null = "NULL" if is_nullable == "YES" else "NOT NULL"
    is_default_now = default is not None and default != "NULL"
    return f"MODIFY {name} {exact_type} {null}" + (" DEFAULT (UTC_TIMESTAMP(6))" if is_default_now else "")
