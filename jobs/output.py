"""What commands print: tables for people, one JSON document for programs, progress on standard error."""

import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from typing import Any

from jobs.interruption import raise_if_interrupted
from jobs.wording import shown, visible

Update = Callable[[int, "int | None", str], None]  # done, of how many if that is known, what else there is to say


class Output:
    """Prints the results of one command.

    Args:
        is_json: for programs, not for people.
    """

    def __init__(self, *, is_json: bool) -> None:
        self.is_json = is_json

    def result(self, value: Any, show: Callable[[], None]) -> None:
        """The command's result: the value as JSON, or whatever `show` prints for people."""
        if self.is_json:
            json.dump(jsonable(value), sys.stdout, indent=2, ensure_ascii=False, allow_nan=False)
            sys.stdout.write("\n")
        else:
            show()

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[Any]], title: str | None = None) -> None:
        """A table for people."""
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
        """Names and values, one a line."""
        width = max(len(name) for name in pairs)
        for name, value in pairs.items():
            self.say(f"{name.ljust(width)}  {visible(shown(value))}")

    def say(self, text: str) -> None:
        """A sentence for people."""
        if not self.is_json:
            sys.stdout.write(visible(text, kept="\n") + "\n")

    @contextmanager
    def progress(self, title: str) -> Iterator[Update]:
        """A bar with the time left on standard error, where that is a terminal and people look at it.

        Whoever reports progress stops there if an interrupt has come.
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
    """A result as JSON can hold it: dataclasses as objects, times in ISO form, what is not finite as null."""
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
