"""Reads the header of a CSV file: the first line that names columns."""

import csv
import re
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeAlias

from jobs.importing.opening import open_text
from schemas.errors import RecordsError
from schemas.texts import counted_noun

Row: TypeAlias = tuple[int, list[str]]  # the number of its last line, and its cells

_DELIMITERS = ",;\t|"
_NAMED_DELIMITER = re.compile(rf"sep=([{_DELIMITERS}])", re.IGNORECASE)  # a first line for spreadsheets
_ROWS_READ = 40
_MAX_TITLES = 20
_NUMBER = re.compile(r"[+-]?(\d[\d.,]*|[.,]\d+)([eE][+-]?\d+)?\s?[%€$£]?")
_TIME_OF_DAY = re.compile(r"\d{1,2}:\d{2}(:\d{2}([.,]\d+)?)?")
_TIME = re.compile(r"(\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{4})([T ]\d{1,2}:\d{2}.*)?")


@dataclass(frozen=True)
class Header:
    """The line of a CSV file that names its columns.

    Attributes:
        names: of the columns; one without a name is called `column_1`, by its position.
        cells: of the line, as they are.
        delimiter: between cells.
        lines: of the file up to and with the header.
        titles: lines above it that were left out.
    """

    names: list[str]
    cells: list[str]
    delimiter: str
    lines: int
    titles: int

    @property
    def unnamed(self) -> list[str]:
        """The names of columns that have none in the file."""
        return [name for name, cell in zip(self.names, self.cells, strict=True) if not cell.strip()]

    @property
    def remark(self) -> str:
        """What a person should know about the lines above the header; empty if there are none."""
        return f"The header is line {self.lines}: {counted_noun(self.titles, 'line')} above it left out."


def read_header(path: Path) -> Header:
    """Return the header of a CSV file.

    Raises:
        RecordsError: If the first line holds values, or is too long for the module csv.
        UnicodeDecodeError: If the file is not UTF-8.
    """
    with open_text(path) as file:
        start = next((line for line in file if line.strip()), "")
    named = _NAMED_DELIMITER.fullmatch(start.strip(" \r\n"))
    try:
        delimiter = named[1] if named else _likely_delimiter(start)
    except csv.Error as exc:
        msg = f"{path} is not valid CSV: {exc} in its first line. Check that it names the columns."
        raise RecordsError(msg) from exc
    rows = _rows(path, delimiter)
    if named:
        header = _header(rows[1:], delimiter, 0)
    else:
        header = (None if _fits_below(rows) else _below_titles(path)) or _header(rows, delimiter, 0)
    _refuse_values(path, header)
    return header


def _fits_below(rows: Sequence[Row]) -> bool:
    """Return whether the first row has as many cells as most rows, and more than one."""
    return not rows or (len(rows[0][1]) == _usual_width(rows) > 1 and not _is_title(rows[0][1], len(rows[0][1])))


def _rows(path: Path, delimiter: str) -> list[Row]:
    """Return the first rows of a file that are not blank, up to one that is too long for the module csv."""
    rows: list[Row] = []
    with open_text(path) as file, suppress(csv.Error):
        reader = csv.reader(file, delimiter=delimiter)
        for row in islice((row for row in reader if any(cell.strip() for cell in row)), _ROWS_READ):
            rows.append((reader.line_num, row))  # noqa: PERF401 - those before an error are kept
    return rows


def _header(rows: Sequence[Row], delimiter: str, titles: int) -> Header:
    line, cells = rows[0] if rows else (0, [])
    given = {cell.strip().casefold() for cell in cells}
    names = [cell.strip() or _free_name(f"column_{number}", given) for number, cell in enumerate(cells, 1)]
    return Header(names, cells, delimiter, line, titles)


def _free_name(name: str, given: set[str]) -> str:
    while name in given:
        name += "_"
    return name


def _below_titles(path: Path) -> Header | None:
    """Return the header below lines with titles, which have fewer cells than the table; None if there are none."""
    delimiter, rows, width = _widest_table(path)
    if width < 3 or not _is_title(rows[0][1], width):  # of two cells, a title may have as many
        return None
    titles = next((number for number, (_, row) in enumerate(rows) if not _is_title(row, width)), 0)
    if not 0 < titles <= _MAX_TITLES or len(rows[titles][1]) != width or any(map(_is_value, rows[titles][1])):
        return None
    return _header(rows[titles:], delimiter, titles)


def _widest_table(path: Path) -> tuple[str, list[Row], int]:
    """Return the delimiter by which most of the first rows have most cells, these rows, and their number of cells."""
    tables = [(delimiter, _rows(path, delimiter)) for delimiter in _DELIMITERS]
    delimiter, rows = max(tables, key=lambda table: _usual_width(table[1]))
    return delimiter, rows, _usual_width(rows)


def _usual_width(rows: Sequence[Row]) -> int:
    return Counter(len(row) for _, row in rows).most_common(1)[0][0]


def _is_title(row: Sequence[str], width: int) -> bool:
    """Return whether a row may be a title: it has too few cells, or empty ones next to a value, as in `Station;7;;`."""
    filled = [cell for cell in row if cell.strip()]
    return len(filled) < width / 2 or (len(filled) < width and (len(row) < width or any(map(_is_value, filled))))


def _likely_delimiter(line: str) -> str:
    return max(_DELIMITERS, key=lambda mark: len(next(csv.reader([line], delimiter=mark), [])))


def _is_value(cell: str) -> bool:
    """Return whether a cell is a number or a time."""
    if any(form.fullmatch(cell.strip()) for form in (_TIME, _TIME_OF_DAY, _NUMBER)):
        return True
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _refuse_values(path: Path, header: Header) -> None:
    """Refuse a header that holds nothing but numbers and times, or a date with a time of day."""
    cells = [cell.strip() for cell in header.cells if cell.strip()]
    moment = next((cell for cell in cells if (match := _TIME.fullmatch(cell)) and match[2]), None)
    if cells and (moment is not None or all(map(_is_value, cells))):
        msg = (
            f"{path} has no header: its first line holds values such as {moment or cells[0]!r}. "
            "Add a first line that names the columns."
        )
        raise RecordsError(msg)
