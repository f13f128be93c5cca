"""A results file: one line per measurement, appended at once, so that a run can be interrupted and continued."""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from schemas.errors import UsageError


@dataclass(frozen=True)
class ResultFile:
    """The format of a results file.

    Attributes:
        columns: of a line, in order.
        texts: the columns that are read as text, even if they hold numbers.
        key: the columns that identify a measurement.
    """

    columns: tuple[str, ...]
    texts: tuple[str, ...]
    key: tuple[str, ...]

    def open(self, path: Path) -> set[tuple[Any, ...]]:
        """Return the keys in the file; a missing file is created, an incomplete last line dropped.

        Raises:
            UsageError: If it is not a results file.
        """
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        whole = text[: text.rfind("\n") + 1]
        if not whole:
            path.write_text(",".join(self.columns) + "\n", encoding="utf-8")
            return set()
        results = self.read(path)
        if whole != text:
            path.write_text(whole, encoding="utf-8")
            results = self.read(path)
        return set(zip(*(results[name] for name in self.key), strict=True))

    def read(self, path: Path) -> pd.DataFrame:
        """Return the lines of the file as a frame.

        Raises:
            UsageError: If there is no such file, or it is not a results file.
        """
        if not path.exists():
            raise UsageError(f"There are no results at {path}. Name the file of an earlier run in --out.")
        try:
            results = pd.read_csv(path, dtype=dict.fromkeys(self.texts, str))
        except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as exc:
            raise UsageError(f"{path} holds no results: {exc}. Name another file in --out.") from exc
        if tuple(results.columns) != self.columns:
            received, expected = list(results.columns), list(self.columns)
            raise UsageError(f"{path} has the columns {received}, expected {expected}. Name another file in --out.")
        return results

    def append(self, path: Path, measured: Iterable[Mapping[str, object]]) -> None:
        """Append measurements, given by column."""
        lines = ([_rounded(values[column]) for column in self.columns] for values in measured)
        with path.open("a", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(lines)


def _rounded(value: object) -> object:
    return f"{value:.6g}" if isinstance(value, float) else value
