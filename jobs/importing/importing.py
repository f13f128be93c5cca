"""Imports a CSV or Parquet file into a table, in one transaction."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.types import TypeEngine

from jobs.databases import failure, reading, refuse_writes, writing
from jobs.dialects import Dialect, dialect_of
from jobs.importing import cell_forms, files
from jobs.importing.files import Kinds, RecordFile
from jobs.importing.replacing import replace_table
from jobs.importing.reserved import is_home_of_store, refuse_own_name
from schemas.column_types import BigId, UtcDateTime
from schemas.errors import RecordsError, SourceError, UsageError

Existing: TypeAlias = dict[str, Any]  # what SQLAlchemy's inspector reports, by column

_SQL_TYPES: dict[pa.DataType, TypeEngine[Any]] = {
    cell_forms.INTEGER: sa.BigInteger(),
    cell_forms.DECIMAL: sa.Double(),
    cell_forms.BOOLEAN: sa.Boolean(),
    cell_forms.TIME: UtcDateTime(),
    cell_forms.TEXT: sa.Text(),
    cell_forms.EMPTY: sa.Double(),  # a sensor that was silent throughout: numbers may follow
}
_KEY_KINDS = (cell_forms.INTEGER, cell_forms.TIME, cell_forms.NAIVE_TIME, cell_forms.TEXT)
# Columns of an existing table: their types, the types of a file that fit them, and the type to read these as.
_FAMILIES: tuple[tuple[tuple[type[Any], ...], tuple[pa.DataType, ...], pa.DataType], ...] = (
    ((sa.Boolean,), (cell_forms.BOOLEAN,), cell_forms.BOOLEAN),
    ((sa.Integer,), (cell_forms.INTEGER,), cell_forms.INTEGER),
    ((sa.Numeric, sa.Float), (cell_forms.INTEGER, cell_forms.DECIMAL), cell_forms.DECIMAL),
    ((sa.DateTime,), (cell_forms.TIME,), cell_forms.TIME),
    ((sa.String,), tuple(_SQL_TYPES), cell_forms.TEXT),
)


@dataclass(frozen=True)
class ImportReport:
    """The outcome of an import."""

    table: str
    rows: int
    columns: Mapping[str, str]
    """The SQL type of each column of the file."""
    key: str
    is_key_added: bool
    """Whether the file had no key, so that the database numbered the records."""
    naive_times: tuple[str, ...]
    """Columns whose times had no zone and were taken as UTC."""
    notes: Mapping[str, tuple[str, ...]]
    """What to know about a column, for example that it looks numeric but is text."""
    remarks: tuple[str, ...]
    """What to know about the file, for example that lines were left out."""


@dataclass(frozen=True)
class FileReading:
    """How a file is read.

    Attributes:
        nulls: cells of a CSV file that stand for a missing value, in addition to empty ones.
        progress: called with the number of records written so far; None for no calls.
    """

    nulls: Sequence[str] = ()
    progress: Callable[[int], None] | None = None


def import_file(
    path: Path,
    engine: sa.Engine,
    table: str,
    *,
    key: str = "id",
    if_exists: Literal["fail", "append", "replace"] = "fail",
    how: FileReading = FileReading(),
) -> ImportReport:
    """Write the records of a CSV or Parquet file to a table; a failure leaves the tables as they were.

    Args:
        path: The file. CSV is UTF-8 with a header, delimited by comma, semicolon, tab or bar; it may be compressed.
        engine: The database, from `jobs.databases`. MySQL commits when it creates a table, so a failure leaves an
            empty table there.
        table: Its name; `schema.table` if it is not in the default schema.
        key: The primary key of a new table; if the file lacks that column, the database numbers the records.
        if_exists: What to do if there is such a table.
        how: How to read the file.

    Raises:
        UsageError: If the file does not exist or has another format, or if the table exists, is one of Plumbline's
            own, or has views that prevent its replacement.
        RecordsError: If the records are not a table, do not fit the existing one, or lack or repeat keys.
        SourceError: If the database cannot be written.
    """
    refuse_writes(engine, SourceError)
    existing = _existing_columns(engine, table)
    if existing and if_exists == "fail":
        msg = f"The table {table} exists already. Import under another name, append to it or replace it."
        raise UsageError(msg)
    records = files.open_records(path, how.nulls)
    _check_key(records, key)
    is_new = not existing or if_exists == "replace"
    kinds = _stored_kinds(records) if is_new else _fitted_kinds(records, existing, key)
    target = _table(table, kinds, key, dialect_of(engine))
    with writing(engine, SourceError) as connection, _rejection_explained(connection, path):
        if is_new:
            replace_table(connection, target)
        rows = _write(connection, target, _batches(records, kinds, key), how.progress)
        dialect_of(engine).collect_statistics(connection, target)
    return ImportReport(
        table=table,
        rows=rows,
        columns={name: target.c[name].type.compile(engine.dialect) for name in kinds},
        key=key,
        is_key_added=key not in kinds,
        naive_times=tuple(name for name, kind in records.kinds.items() if kind == cell_forms.NAIVE_TIME),
        notes=records.notes,
        remarks=records.remarks,
    )


def _existing_columns(engine: sa.Engine, table: str) -> Existing:
    """Return the columns of a table; none if there is no such table."""
    file = dialect_of(engine).file(engine.url)
    if file is not None and not file.exists():
        return {}
    schema, name = _split(table)
    with reading(engine, SourceError) as connection:
        if is_home_of_store(connection, schema):
            refuse_own_name(name)
        inspector = sa.inspect(connection)
        if not inspector.has_table(name, schema):
            return {}
        created = dialect_of(engine).created_type
        columns = inspector.get_columns(name, schema)
        return {column["name"]: {**column, "type": created(column["type"])} for column in columns}


def _split(table: str) -> tuple[str | None, str]:
    schema, _, name = table.rpartition(".")
    return schema or None, name


def _check_key(records: RecordFile, key: str) -> None:
    kind = records.kinds.get(key, cell_forms.INTEGER)
    if kind not in _KEY_KINDS:
        description = "empty" if kind == cell_forms.EMPTY else f"of type {kind}"
        msg = (
            f"The key column {key!r} of {records.path} is {description}; expected whole numbers, times or texts. "
            "Name another key column, or one that the file does not have to number the records."
        )
        raise RecordsError(msg)
    similar = next((name for name in records.kinds if name.casefold() == key.casefold() and name != key), None)
    if similar is not None:
        msg = (
            f"The key {key!r} and the column {similar!r} of {records.path} differ in case only. "
            f"Name {similar!r} as the key."
        )
        raise UsageError(msg)


def _stored_kinds(records: RecordFile) -> Kinds:
    return {name: cell_forms.TIME if kind == cell_forms.NAIVE_TIME else kind for name, kind in records.kinds.items()}


def _fitted_kinds(records: RecordFile, existing: Existing, key: str) -> Kinds:
    """Return the type to read each column of a file as, to fit an existing table."""
    stored = _stored_kinds(records)
    unknown = [name for name in stored if name not in existing]
    missing = [name for name, column in existing.items() if name not in stored and _is_needed(column) and name != key]
    if unknown or missing:
        msg = (
            f"The columns of {records.path} do not fit the table: the table lacks {unknown}, the file lacks {missing}. "
            "Rename or drop the columns, or import into a table of its own."
        )
        raise RecordsError(msg)
    kinds = {
        name: _fitted(cell_forms.EMPTY if name in records.blank else kind, existing[name]["type"])
        for name, kind in stored.items()
    }
    for name, kind in kinds.items():
        if kind is None:
            msg = (
                f"Column {name!r} of {records.path} holds {_SQL_TYPES[stored[name]]} values, but the table's is "
                f"{existing[name]['type']}. Convert the column, or import into a table of its own."
            )
            raise RecordsError(msg)
    return {name: kind for name, kind in kinds.items() if kind is not None}


def _is_needed(column: Mapping[str, Any]) -> bool:
    return not column["nullable"] and column.get("default") is None


def _fitted(kind: pa.DataType, sql_type: TypeEngine[Any]) -> pa.DataType | None:
    """Return the type to read a column of type `kind` as for a column of `sql_type`; None if it does not fit."""
    for family, fitting, read_as in _FAMILIES:
        if isinstance(sql_type, family):
            return read_as if kind in (*fitting, cell_forms.EMPTY) else None
    return None


def _table(table: str, kinds: Kinds, key: str, dialect: Dialect) -> sa.Table:
    schema, name = _split(table)
    columns = [
        sa.Column(column, _key_type(kind, dialect), primary_key=True, autoincrement=False)
        if column == key
        else sa.Column(column, _SQL_TYPES[kind])
        for column, kind in kinds.items()
    ]
    if key in kinds:
        return sa.Table(name, sa.MetaData(), *columns, schema=schema, **dialect.new_table_options)
    number = sa.Column(key, BigId, primary_key=True)
    options = {**dialect.new_table_options, **dialect.numbered_table_options}
    return sa.Table(name, sa.MetaData(), number, *columns, schema=schema, **options)


def _key_type(kind: pa.DataType, dialect: Dialect) -> TypeEngine[Any]:
    key_types: dict[pa.DataType, TypeEngine[Any]] = {
        cell_forms.INTEGER: BigId,
        cell_forms.TIME: UtcDateTime(),
        cell_forms.TEXT: dialect.text_key_type,
    }
    return key_types[kind]


def _batches(records: RecordFile, kinds: Kinds, key: str) -> Iterator[pa.RecordBatch]:
    """Yield the records in the types that they are stored in; every record has a key."""
    rows = 0
    for stored in records.batches(kinds):
        if key in kinds and stored[key].null_count:
            record = rows + stored[key].is_null().index(True).as_py() + 1
            msg = (
                f"Record {record} of {records.path} has no value for the key {key!r}. "
                "Fill it in, or name a key column that the file does not have to number the records."
            )
            raise RecordsError(msg)
        rows += stored.num_rows
        yield stored


def _write(
    connection: sa.Connection,
    target: sa.Table,
    batches: Iterator[pa.RecordBatch],
    progress: Callable[[int], None] | None,
) -> int:
    dialect = dialect_of(connection)
    rows = 0
    for batch in batches:
        dialect.insert_batch(connection, target, batch)
        rows += batch.num_rows
        if progress is not None:
            progress(rows)
    return rows


@contextmanager
def _rejection_explained(connection: sa.Connection, path: Path) -> Iterator[None]:
    """Translate errors of the driver, whether they come through SQLAlchemy or from the driver itself."""
    driver: Any = connection.dialect.loaded_dbapi
    try:
        yield
    except (sa.exc.DBAPIError, driver.Error) as exc:
        cause = exc.orig if isinstance(exc, sa.exc.DBAPIError) else exc
        if not isinstance(cause, driver.IntegrityError | driver.DataError):
            raise SourceError(failure(connection.engine.url, str(cause))) from exc
        reason = " ".join(str(cause).split("CONTEXT:")[0].split()).rstrip(".")
        msg = (
            f"The database rejected records of {path}: {reason}. Nothing was imported. If a key is repeated, "
            "name another key column, or one that the file does not have to number the records."
        )
        raise RecordsError(msg) from exc
