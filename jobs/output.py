"""The output of commands: tables for people, one JSON document for programs, progress on standard error."""

import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from typing import Any

from jobs.interruption import raise_if_interrupted
from jobs.wording import shown, visible

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

        headers = (visible(name) for name in columns)
        table = Table(*headers, title=title, title_justify="left", box=box.SIMPLE_HEAD)
        for column, values in zip(table.columns, zip(*rows, strict=True), strict=False):
            column.justify = "right" if all(isinstance(v, int | float | None) for v in values) else "left"
        for row in rows:
            table.add_row(*(Text(visible(shown(value))) for value in row))
        width = None if sys.stdout.isatty() else 200
        Console(width=width, highlight=False, markup=False, emoji=False).print(table)

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
