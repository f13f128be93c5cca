"""Reads the rows of a statement without those that cannot be read."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeAlias

import pandas as pd
from sqlalchemy import Select

from jobs.reading.isolation import Isolation
from jobs.reading.table import WatchedTable
from jobs.reading.typed_columns import FEW_RECORDS, keys_of, typed
from schemas.config import MonitorConfig
from schemas.errors import SourceError, SourceTimeout
from schemas.keys import Key
from schemas.unreadable import UnreadableRecord

LeftOut: TypeAlias = "list[UnreadableRecord] | None"
"""Gets the records that are left out because they cannot be read; None if such a record is an error."""


_FEW_TRAINING_RECORDS = 10
_FEW_TRAINING_SHARE = 0.1


def are_few(left_out: Sequence[UnreadableRecord], readable: int) -> bool:
    """Return whether so few records cannot be read that a model can be trained without them."""
    share = _FEW_TRAINING_SHARE * (readable + len(left_out))
    return readable > 0 and len(left_out) <= max(_FEW_TRAINING_RECORDS, share)


@dataclass(frozen=True)
class ReadRows:
    """The rows of a statement.

    Attributes:
        rows: the readable rows in the driver's types.
        records: the same rows with documented types.
        count: number of rows, unreadable ones included.
        last: the key of the last of them; None if there are none.
    """

    rows: pd.DataFrame
    records: pd.DataFrame
    count: int
    last: Key | None


@dataclass(frozen=True)
class TolerantReader:
    """Reads rows of a watched table, and leaves out those that cannot be read.

    Attributes:
        name: the monitor's.
        monitor: its configuration.
        table: the watched table.
        fetch: returns the rows of a select, in the driver's types.
    """

    name: str
    monitor: MonitorConfig
    table: WatchedTable
    fetch: Callable[[Select[Any]], pd.DataFrame]

    def read(self, statement: Select[Any], left_out: LeftOut) -> ReadRows:
        """Return the rows of a statement that selects the key, in its order.

        Raises:
            SourceError: If the statement fails for another reason than its records; or if a record cannot be read and
                none is left out, or more than half of many records would be.
        """
        found: list[UnreadableRecord] = []
        rows, keys = self._fetched(statement, found)
        if found and (left_out is None or (len(found) > FEW_RECORDS and 2 * len(found) > len(keys))):
            raise SourceError(found[0].sentence(self.name))
        last = keys[-1:] or (keys_of(rows.tail(1), self.monitor.key) if len(rows) else [])
        count = len(keys) or len(rows)
        records = typed(rows, self.name, self.monitor, None if left_out is None else found)
        if left_out is not None:
            left_out += found
        if len(records) < len(rows):
            rows = rows.loc[self._kept(rows, found)].reset_index(drop=True)
        if not isinstance(records.index, pd.MultiIndex):
            records = records.reset_index(drop=True)
        return ReadRows(rows, records, count, last[0] if last else None)

    def _fetched(self, statement: Select[Any], found: list[UnreadableRecord]) -> tuple[pd.DataFrame, list[Key]]:
        """Return the rows that the database can read; and if they are not all, the keys of all."""
        try:
            return self.fetch(statement), []
        except SourceTimeout:
            raise
        except SourceError as exc:
            failure, exact = exc, self._exact(statement)
        if exact is not None:
            with suppress(SourceError):
                return self.fetch(exact), []
        return Isolation(self.table, self.fetch, statement if exact is None else exact, failure).read(found)

    def _exact(self, statement: Select[Any]) -> Select[Any] | None:
        """Return the statement with numbers as the database holds them; None if it reads them so already."""
        if self.table.records not in statement.get_final_froms():
            return None
        columns, numbers = [], {self.monitor.label, *self.monitor.features.holding("number", "truth")}
        for column in statement.selected_columns:
            name = str(column.key)
            watched = self.table.columns[name] if name in numbers and name not in self.monitor.key else None
            exact = (
                None if watched is None else self.table.dialect.exact_number(self.table.records.c[name], watched.family)
            )
            columns.append(column if exact is None else exact)
        return statement.with_only_columns(*columns)

    def _kept(self, rows: pd.DataFrame, found: list[UnreadableRecord]) -> list[bool]:
        unreadable = {item.key for item in found}
        return [key not in unreadable for key in keys_of(rows, self.monitor.key)]
