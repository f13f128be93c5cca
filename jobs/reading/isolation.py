"""Finds the records because of which a statement fails, so that all others can be read.

A database refuses a whole statement because of one value: a decimal beyond the largest double, bytes that are no text,
a division by zero in a view. If the statement works without records, and their keys can be read, then the failure is
one of records: they are found by bisection of the keys.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from sqlalchemy import Select, Text, cast, false, select

from jobs.reading.table import WatchedTable
from jobs.reading.typed_columns import abridged, keys_of
from schemas.errors import SourceError, SourceTimeout
from schemas.keys import Key
from schemas.unreadable import UnreadableRecord

MAX_FAILURES = 2_000  # statements that may fail for one page, about two for each unreadable record
_UNKNOWN = "another value"
_ADVICE = "leave the column out in config.toml, or convert it in a query"


@dataclass
class Isolation:
    """Reads the rows of one statement that failed, except for those that cannot be read.

    Attributes:
        table: the watched table.
        fetch: returns the rows of a select, in the driver's types.
        statement: the select; its columns include the key.
        failure: the error of the statement.
    """

    table: WatchedTable
    fetch: Callable[[Select[Any]], pd.DataFrame]
    statement: Select[Any]
    failure: SourceError
    failures: int = 0
    last_column: str = ""

    def read(self, unreadable: list[UnreadableRecord]) -> tuple[pd.DataFrame, list[Key]]:
        """Return the readable rows in the statement's order, and the keys of all rows; the others are appended.

        Raises:
            SourceError: The error of the statement, if it is not one of records, or of too many of them.
        """
        self._refuse_other_failures()
        order = self._keys(self.statement.with_only_columns(*self._key_columns()))
        keys = self._sorted(order)
        frames = [self.fetch(self.statement.where(false())), *self._readable(keys, unreadable)]
        rows = pd.concat([frame for frame in frames if len(frame)] or frames[:1], ignore_index=True)
        position = {key: number for number, key in enumerate(order)}
        places = pd.Series([position.get(key, -1) for key in keys_of(rows, self.table.key)], dtype="int64")
        kept = places[places >= 0].sort_values()
        return rows.loc[kept.index].reset_index(drop=True), order

    def _refuse_other_failures(self) -> None:
        try:
            self.fetch(self.statement.where(false()))
        except SourceError:
            raise self.failure from None

    def _key_columns(self) -> list[Any]:
        return [self.statement.selected_columns[name] for name in self.table.key]

    def _keys(self, statement: Select[Any]) -> list[Key]:
        try:
            return keys_of(self.fetch(statement), self.table.key)
        except SourceError:
            raise self.failure from None

    def _sorted(self, keys: list[Key]) -> list[Key]:
        """Return the keys in the order of the database."""
        if not keys:
            raise self.failure
        rows = self.statement.with_only_columns(*self._key_columns()).subquery("plumbline_keys")
        return self._keys(select(*rows.c).order_by(*self.table.order(rows)))

    def _readable(self, keys: Sequence[Key], unreadable: list[UnreadableRecord]) -> Iterator[pd.DataFrame]:
        """Yield the readable rows of consecutive keys."""
        waiting = [keys]
        while waiting:
            part = waiting.pop()
            try:
                yield self.fetch(self.statement.where(self._is_within(part)))
            except SourceTimeout:
                raise
            except SourceError as exc:
                self.failures += 1
                if self.failures > MAX_FAILURES:
                    raise self.failure from None
                if len(part) > 1:
                    middle = len(part) // 2
                    waiting += [part[middle:], part[:middle]]
                else:
                    unreadable.append(self._described(part[0], exc))

    def _is_within(self, keys: Sequence[Key]) -> Any:
        return self.table.between(self._key_columns(), keys[0], keys[-1])

    def _described(self, key: Key, failure: SourceError) -> UnreadableRecord:
        """Return the record with a column that cannot be read by itself; the last such column is tried first."""
        names = [str(column.key) for column in self.statement.selected_columns if column.key not in self.table.key]
        for name in sorted(names, key=lambda name: name != self.last_column):
            column = self.statement.selected_columns[name]
            try:
                self.fetch(self.statement.with_only_columns(column).where(self._is_within([key])))
            except SourceTimeout:
                raise
            except SourceError as exc:
                self.last_column = name
                return UnreadableRecord(key, name, _expectation(exc), self._value(name, key), _ADVICE)
        return UnreadableRecord(key, ", ".join(self.table.key), _expectation(failure), _UNKNOWN, _ADVICE)

    def _value(self, name: str, key: Key) -> str:
        """Return the value as the database writes it, if it can."""
        if name not in self.table.columns:
            return _UNKNOWN
        text = cast(self.table.records.c[name], Text()).label("value")
        try:
            values = self.fetch(select(text).where(self.table.among([key])))["value"]
        except SourceError:
            return _UNKNOWN
        return abridged(repr(values.iloc[0])) if len(values) else _UNKNOWN


def _expectation(failure: SourceError) -> str:
    """Return what the database expects of a value, with its own reason."""
    cause = failure.__cause__
    detail = str(getattr(cause, "orig", cause) or failure).strip().split("\n")[0]
    reason = detail.rpartition("ERROR:")[2].strip()
    return f"a value that the database can read ({abridged(reason)})"
