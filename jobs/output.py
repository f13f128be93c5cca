"""The output of commands: tables for people, one JSON document for programs, progress on standard error."""

import json
import math
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass
from datetime import datetime
from typing import Any, Literal, Self

from jobs.interruption import raise_if_interrupted
from jobs.wording import shown, shown_column, visible

LIST_WIDTH = 100  # characters of a line, unless the output is a terminal
_UNBOUNDED = 10_000  # characters: rich neither crops nor wraps a table whose columns have widths
_COLUMN_GAP = 2  # characters
_MIN_TEXT_WIDTH = 6  # characters to which a column of texts may shrink
Update = Callable[[int, "int | None", str], None]  # done, total if known, note


class Output:
    """Prints the results of one command.

    Args:
        is_json: print JSON for programs instead of text for people.
    """

    def __init__(self, *, is_json: bool) -> None:
        self.is_json = is_json

    def result(self, value: Any, show: Callable[[], None]) -> None:
        """Print the command's result: the value as JSON, or whatever `show` prints for people."""
        if self.is_json:
            json.dump(jsonable(value), sys.stdout, indent=2, ensure_ascii=False, allow_nan=False)
            sys.stdout.write("\n")
        else:
            show()

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[Any]], title: str | None = None) -> None:
        """Print a table."""
        from rich import box
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        values = list(zip(*rows, strict=True)) if rows else [()] * len(columns)
        shown_columns = _without_empty([_Column.of(*pair) for pair in zip(columns, values, strict=True)])
        console = Console(width=_UNBOUNDED, highlight=False, markup=False, emoji=False)
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
        line = shutil.get_terminal_size().columns if sys.stdout.isatty() else LIST_WIDTH
        widths = _fitting_widths(shown_columns, line)
        for column, width in zip(shown_columns, widths, strict=True):
            table.add_column(column.header, justify=column.justify, width=width, overflow="fold")
        for row in zip(*(column.texts for column in shown_columns), strict=True):
            table.add_row(*map(Text, row))
        console.print(*([] if title is None else [Text(title)]), "", table, "", sep="\n")

    def facts(self, pairs: Mapping[str, Any]) -> None:
        """Print names and values, one pair per line."""
        width = max(len(name) for name in pairs)
        for name, value in pairs.items():
            self.line(f"{name.ljust(width)}  {visible(shown(value))}")

    def line(self, text: str) -> None:
        """Print a text, unless the output is JSON."""
        if not self.is_json:
            sys.stdout.write(visible(text, kept="\n") + "\n")

    @contextmanager
    def progress(self, title: str) -> Iterator[Update]:
        """Show a progress bar on standard error, if that is a terminal and the output is not JSON.

        The update function raises KeyboardInterrupt if an interrupt was received.
        """
        if self.is_json or not sys.stderr.isatty():
            yield lambda _done, _total, _note: raise_if_interrupted()
            return
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(title, total=None, note="")

            def update(done: int, total: int | None, note: str) -> None:
                bar.update(task, completed=done, total=total, note=note)
                raise_if_interrupted()

            yield update


@dataclass(frozen=True)
class _Column:
    """A column of a table, with its values as texts.

    Attributes:
        header: of the column.
        texts: one for each row.
        justify: the side at which the values are aligned.
        min_width: places of a terminal below which the column is not readable.
        width: places that the values and the longest word of the header take.
    """

    header: str
    texts: Sequence[str]
    justify: Literal["left", "right"]
    min_width: int
    width: int

    @classmethod
    def of(cls, header: str, values: Sequence[Any]) -> Self:
        """Format a column; numbers and times keep their width, and texts may be folded."""
        header, texts = visible(header), [visible(text) for text in shown_column(values)]
        is_number = all(isinstance(value, int | float | None) for value in values)
        is_rigid = is_number or all(isinstance(value, datetime | None) for value in values)
        word = max(map(_places, header.split()), default=0)
        width = max(word, max(map(_places, texts), default=0))
        min_width = width if is_rigid else max(word, min(width, _MIN_TEXT_WIDTH))
        return cls(header, texts, "right" if is_number else "left", min_width, width)


def _places(text: str) -> int:
    """Return how many places of a terminal a text takes: a Chinese character takes two."""
    from rich.cells import cell_len

    return cell_len(text)


def _without_empty(columns: Sequence[_Column]) -> Sequence[_Column]:
    """Leave out the columns that are empty in every row, unless that is all of them."""
    return [column for column in columns if any(column.texts)] or columns


def _fitting_widths(columns: Sequence[_Column], line: int) -> list[int]:
    """Return the width of each column, so that a row fits a line if possible: the widest texts are folded first."""
    widths = [max(column.width, _places(column.header)) for column in columns]
    spare = line - _COLUMN_GAP * (len(columns) - 1)
    if sum(widths) > spare:
        widths = [column.width for column in columns]
    while sum(widths) > spare:
        foldable = [i for i, column in enumerate(columns) if widths[i] > column.min_width]
        if not foldable:
            break
        widths[max(foldable, key=lambda i: widths[i])] -= 1
    return widths


def jsonable(value: Any) -> Any:
    """Convert a result to JSON types; times become ISO 8601, numbers that are not finite become null."""
    if hasattr(value, "to_json"):
        return jsonable(value.to_json())
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: jsonable(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return None if isinstance(value, float) and not math.isfinite(value) else value
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
