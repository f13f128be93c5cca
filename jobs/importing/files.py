"""Reads CSV and Parquet files as typed Arrow batches.

The types of a CSV file are inferred from the whole file before the first record is returned, so a column with a
decimal only in its last line is decimal throughout. Both formats are read in batches; the memory needed does not depend
on the size of the file.
"""

import codecs
import csv
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn, Protocol, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from jobs.importing.cell_forms import (
    BOOLEAN,
    DECIMAL,
    EMPTY,
    INTEGER,
    NAIVE_TIME,
    TEXT,
    TIME,
    ColumnForm,
    ColumnInference,
    decimal_mark_of,
)
from jobs.importing.headers import Header, read_header
from jobs.importing.opening import conversion_command, open_bytes, open_text
from schemas.errors import RecordsError, UsageError
from schemas.texts import counted_noun

Kinds: TypeAlias = dict[str, pa.DataType]

_CSV_ENDINGS = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz", ".zip")
_ENDINGS = (*_CSV_ENDINGS, ".parquet")
_SHEETS, _JSON = (".xlsx", ".xlsm", ".xls", ".ods"), (".json", ".jsonl", ".ndjson")
_BLOCK_BYTES = 4 << 20
_BATCH_ROWS = 10_000
_DURATION = pa.duration("us")


class RecordFile(Protocol):
    """A file of records; the type of each column is one that this module defines."""

    path: Path
    kinds: Kinds
    notes: Mapping[str, tuple[str, ...]]
    """What a person should know about a column, for example that some cells were read as null."""
    remarks: tuple[str, ...]
    """Sentences about the file, for example on lines that were left out."""
    blank: frozenset[str]
    """Columns without a value, which fit a column of any type."""

    def batches(self, targets: Kinds) -> Iterator[pa.RecordBatch]:
        """Yield the records in the file's order, each column converted to its target type."""


def open_records(path: Path, nulls: Sequence[str] = ()) -> RecordFile:
    """Open a CSV or Parquet file, by the ending of its name.

    Args:
        path: of the file.
        nulls: cells of a CSV file that stand for a missing value, in addition to empty ones.

    Raises:
        UsageError: If there is no such file, or its ending is not supported.
        RecordsError: If it is not a table: a ragged line, another encoding than UTF-8, no records.
    """
    name = path.name.lower()
    if not name.endswith(_ENDINGS):
        raise UsageError(_other_ending(path))
    if nulls and not name.endswith(_CSV_ENDINGS):
        raise UsageError(f"{path} is not a CSV file, so that it has no cells to read as null. Leave --null out.")
    try:
        return CsvFile(path, nulls) if name.endswith(_CSV_ENDINGS) else ParquetFile(path)
    except OSError as exc:
        msg = f"{path} cannot be read: {exc.strerror or exc}. Give the path of a CSV or Parquet file."
        raise UsageError(msg) from exc


def _other_ending(path: Path) -> str:
    endings, ending = ", ".join(_ENDINGS), path.suffix.lower()
    msg = f"{path} is not a CSV or Parquet file: its name ends in {path.suffix!r}, expected one of {endings}."
    if ending in _SHEETS:
        return f"{msg} Save the sheet as CSV in UTF-8, and import that."
    if ending in _JSON:
        table = shlex.quote(str(path))
        return f"{msg} Watch it where it is: plumbline init --table {table} --source duckdb:///:memory:"
    return msg


def convert(values: pa.Array, target: pa.DataType) -> pa.Array:
    """Convert values to another type; times are cut to microseconds, decimals rounded, durations are seconds.

    Raises:
        pyarrow.ArrowInvalid: If a value does not fit.
    """
    if values.type == target:
        return values
    if values.null_count == len(values):
        return pa.nulls(len(values), target)
    if pa.types.is_duration(values.type):
        return pc.divide(pc.cast(pc.cast(pc.cast(values, _DURATION), INTEGER), DECIMAL), 1e6)
    return pc.cast(values, target, safe=target not in (DECIMAL, NAIVE_TIME, TIME))


class CsvFile:
    """A CSV file in UTF-8 with a header; a line such as ``sep=;`` names the delimiter, or the header shows it.

    Args:
        path: of the file.
        nulls: cells that stand for a missing value, in addition to empty ones.
    """

    def __init__(self, path: Path, nulls: Sequence[str] = ()) -> None:
        self.path = path
        self._nulls = tuple(nulls)
        self._header = _read_header(path)
        self._rows = self._repeated = 0
        self._footer = ""
        self._forms = self._infer()
        self.kinds: Kinds = {name: column.form.kind for name, column in self._forms.items()}
        self.notes: Mapping[str, tuple[str, ...]] = {
            name: notes for name, column in self._forms.items() if (notes := (*self._naming(name), *column.notes))
        }
        self.remarks = tuple(self._remarks())
        self.blank = frozenset(name for name, column in self._forms.items() if column.is_blank)

    def batches(self, targets: Kinds) -> Iterator[pa.RecordBatch]:
        """Yield the records, each column converted to its target type; a text keeps its cells as they are."""
        for batch in self._records():
            yield pa.record_batch({name: self._converted(batch[name], name, kind) for name, kind in targets.items()})

    def _converted(self, cells: pa.Array, name: str, target: pa.DataType) -> pa.Array:
        return cells if target == TEXT else _without_nan(convert(self._forms[name].form.read(cells), target))

    def _records(self) -> Iterator[pa.RecordBatch]:
        """Yield the lines that are records."""
        left = self._rows
        for batch in self._lines():
            yield batch.slice(0, left)
            left -= min(left, batch.num_rows)

    def _lines(self) -> Iterator[pa.RecordBatch]:
        """Yield the lines below the header, without those that repeat it, as in files that were joined."""
        self._repeated = 0
        for batch in self._texts():
            is_repeated = self._repeats_header(batch)
            repeated = pc.sum(is_repeated).as_py() or 0
            self._repeated += repeated
            yield batch.filter(pc.invert(is_repeated)) if repeated else batch

    def _repeats_header(self, batch: pa.RecordBatch) -> pa.Array:
        is_repeated = pa.repeat(len(self._header.names) > 1, batch.num_rows)
        for column, cell in zip(batch.columns, self._header.cells, strict=True):
            is_repeated = pc.and_(is_repeated, pc.fill_null(pc.equal(column, cell), not cell))
            if not pc.any(is_repeated).as_py():
                break
        return is_repeated

    def _texts(self) -> Iterator[pa.RecordBatch]:
        header = self._header
        everything_text = pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(header.names, TEXT), strings_can_be_null=True, null_values=["", *self._nulls]
        )
        with self._errors_explained(), open_bytes(self.path) as stream:
            yield from pyarrow.csv.open_csv(
                stream,
                # The header was read already: an error of pyarrow does not name its wrong columns.
                pyarrow.csv.ReadOptions(
                    column_names=header.names, skip_rows=header.lines, block_size=_BLOCK_BYTES, use_threads=False
                ),
                pyarrow.csv.ParseOptions(delimiter=header.delimiter, newlines_in_values=True),
                everything_text,
            )

    def _infer(self) -> dict[str, ColumnForm]:
        """Return the form of each column; the last line is left out if it is a total."""
        columns = self._inferred(self._lines())
        self._footer = next((column.footer for column in columns.values() if column.footer), "")
        if self._footer:
            self._rows -= 1
            columns = self._inferred(self._records())
        mark = decimal_mark_of(columns.values(), self._header.delimiter)
        return {name: column.outcome(mark) for name, column in columns.items()}

    def _inferred(self, batches: Iterator[pa.RecordBatch]) -> dict[str, ColumnInference]:
        """Return the inference of each column, and count the records."""
        columns = {name: ColumnInference(self._header.delimiter) for name in self._header.names}
        rows = 0
        for batch in batches:
            rows += batch.num_rows
            for name, column in columns.items():
                column.add(batch[name])
        _check_not_empty(self.path, rows)
        self._rows = rows
        return columns

    def _naming(self, name: str) -> tuple[str, ...]:
        return ("no name in the file",) if name in self._header.unnamed else ()

    def _remarks(self) -> Iterator[str]:
        if self._header.titles:
            yield self._header.remark
        if self._repeated:
            again = counted_noun(self._repeated, "line that repeats", "lines that repeat")
            yield f"Left out: {again} the header."
        if self._footer:
            yield f"Left out: the last line, with {self._footer!r}, since it is no record."

    @contextmanager
    def _errors_explained(self) -> Iterator[None]:
        try:
            yield
        except pa.ArrowInvalid as exc:
            # pyarrow names neither the line nor the byte; a second, slow pass does.
            _check_encoding(self.path)
            _check_ragged(self.path, self._header)
            msg = f"{self.path} is not valid CSV: {exc}. Check that every quote is closed."
            raise RecordsError(msg) from exc


class ParquetFile:
    """A Parquet file, read by row group; columns of lists, structures and bytes are left out."""

    blank: frozenset[str] = frozenset()

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            file = pyarrow.parquet.ParquetFile(path)
        except pa.ArrowInvalid as exc:
            msg = f"{path} is not a valid Parquet file: {exc}"
            raise RecordsError(msg) from exc
        with file:
            _check_names(path, file.schema_arrow.names)
            kinds = {field.name: _plain_type(field) for field in file.schema_arrow}
            self.kinds: Kinds = {name: kind for name, kind in kinds.items() if kind is not None}
            self.notes: Mapping[str, tuple[str, ...]] = {
                field.name: ("seconds",) for field in file.schema_arrow if pa.types.is_duration(field.type)
            }
            self.remarks = tuple(_left_out(path, [field for field in file.schema_arrow if not kinds[field.name]]))
            if not self.kinds:
                raise RecordsError(f"{path} holds no column to import. {self.remarks[0]} Convert one of them.")
            _check_not_empty(path, file.metadata.num_rows)

    def batches(self, targets: Kinds) -> Iterator[pa.RecordBatch]:
        """Yield the records, each column in the type of `kinds`, then converted to its target type."""
        try:
            with pyarrow.parquet.ParquetFile(self.path) as file:
                read = 0
                for batch in file.iter_batches(_BATCH_ROWS):
                    plain = {name: self._converted(batch, name, read) for name in self.kinds}
                    yield pa.record_batch({name: convert(plain[name], kind) for name, kind in targets.items()})
                    read += batch.num_rows
        except (pa.ArrowInvalid, OSError) as exc:
            msg = f"{self.path} holds values that cannot be read: {exc}. Convert the column, or write the file again."
            raise RecordsError(msg) from exc

    def _converted(self, batch: pa.RecordBatch, name: str, read: int) -> pa.Array:
        """Return a column in the type of `kinds`.

        Raises:
            RecordsError: If a value does not fit; names the first one, its record and its column.
        """
        kind, values = self.kinds[name], batch[name]
        try:
            converted = _without_nan(convert(values, kind))
        except pa.ArrowInvalid:
            position = next(i for i in range(len(values)) if not _fits_alone(values[i : i + 1], kind))
            raise RecordsError(self._unfit(batch, name, position, read, f"a value of type {kind}")) from None
        if kind in (TIME, NAIVE_TIME):
            is_outside = pc.invert(
                pc.is_in(pc.year(converted), pa.array(range(1, 10_000), pa.int64()), skip_nulls=True)
            )
            outside = pc.indices_nonzero(pc.and_(is_outside, pc.is_valid(converted)))
            if len(outside):
                raise RecordsError(self._unfit(batch, name, outside[0].as_py(), read, "a time of the years 1 to 9999"))
        return converted

    def _unfit(self, batch: pa.RecordBatch, name: str, position: int, read: int, expected: str) -> str:
        first = batch.schema.names[0]
        return (
            f"Column {name!r} of {self.path} should hold {expected}, but record {read + position + 1:,} "
            f"({first} = {_text_of(batch[first][position])}) holds {_text_of(batch[name][position])}. Correct the "
            "record, or leave the column out."
        )


def _fits_alone(values: pa.Array, kind: pa.DataType) -> bool:
    try:
        convert(values, kind)
    except pa.ArrowInvalid:
        return False
    return True


def _text_of(value: pa.Scalar) -> str:
    """Return a value as text, even if Python has no such time."""
    try:
        return str(value.as_py())
    except (ValueError, OverflowError):
        return pc.cast(value, pa.string()).as_py() or "null"


def _read_header(path: Path) -> Header:
    try:
        header = read_header(path)
    except UnicodeDecodeError:
        _check_encoding(path)
        raise
    _check_names(path, header.names)
    return header


def _plain_type(field: pa.Field) -> pa.DataType | None:
    """Return the type of this module that holds a Parquet column; None if there is none."""
    kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    plain: tuple[tuple[Any, pa.DataType], ...] = (
        (pa.types.is_integer, INTEGER),
        (pa.types.is_floating, DECIMAL),
        (pa.types.is_decimal, DECIMAL),
        (pa.types.is_boolean, BOOLEAN),
        (pa.types.is_duration, DECIMAL),
        (pa.types.is_time, TEXT),
        (pa.types.is_date, NAIVE_TIME),
        (pa.types.is_timestamp, NAIVE_TIME if getattr(kind, "tz", None) is None else TIME),
        (pa.types.is_string, TEXT),
        (pa.types.is_large_string, TEXT),
        (pa.types.is_null, EMPTY),
    )
    return next((target for is_kind, target in plain if is_kind(kind)), None)


def _left_out(path: Path, fields: Sequence[pa.Field]) -> Iterator[str]:
    if fields:
        named = ", ".join(f"{field.name!r} of type {field.type}" for field in fields)
        yield f"Left out of {path.name}: {named}, since a table holds numbers, booleans, texts or times."


def _without_nan(values: pa.Array) -> pa.Array:
    return pc.if_else(pc.is_nan(values), None, values) if values.type == DECIMAL else values


def _check_names(path: Path, names: list[str]) -> None:
    if not names:
        msg = f"{path} is empty. Expected a header and records."
        raise RecordsError(msg)
    if "" in names:
        msg = f"Column {names.index('') + 1} of {path} has no name. Name it, or leave it out."
        raise RecordsError(msg)
    folded = [name.casefold() for name in names]
    repeated = sorted({name for name, fold in zip(names, folded, strict=True) if folded.count(fold) > 1})
    if repeated:
        msg = f"{path} has columns of the same name, case aside: {repeated}. Give every column a name of its own."
        raise RecordsError(msg)


def _check_not_empty(path: Path, rows: int) -> None:
    if not rows:
        msg = f"{path} names its columns but holds no records. Export it again, with rows."
        raise RecordsError(msg)


def _check_encoding(path: Path) -> None:
    with open_bytes(path) as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as exc:
                _refuse_encoding(path, number, exc)


def _refuse_encoding(path: Path, line: int, exc: UnicodeDecodeError) -> NoReturn:
    is_wide = line == 1 and exc.object.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    command = conversion_command(path, "utf-16" if is_wide else "windows-1252")
    msg = (
        f"Line {line} of {path} is not UTF-8: byte {exc.object[exc.start]:#04x} in column {exc.start + 1}. "
        f"Save it as UTF-8, for example: {command} > utf8.csv"
    )
    raise RecordsError(msg) from exc


def _check_ragged(path: Path, header: Header) -> None:
    with open_text(path) as file, suppress(csv.Error):
        reader = csv.reader(file, delimiter=header.delimiter)
        for row in reader:
            if row and reader.line_num > header.lines and len(row) != len(header.names):
                msg = (
                    f"Line {reader.line_num} of {path} has {len(row)} cells, expected {len(header.names)} as in "
                    f"its header. Correct the line, or quote cells that hold {header.delimiter!r}."
                )
                raise RecordsError(msg)
