"""Reads records past a key from one watched table; never writes."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Protocol

import pandas as pd
from sqlalchemy import Connection, Engine, FromClause, Select, select

from jobs.databases import reading
from jobs.reading.cells import Cells
from jobs.reading.grid import Grid
from jobs.reading.records import keys_of, refuse_long_key
from jobs.reading.rows import Rows
from jobs.reading.table import WatchedTable, watch
from schemas.config import MonitorConfig
from schemas.errors import SourceError
from schemas.fingerprint import Fingerprint
from schemas.keys import Key, KeyPart, KeyRange

__all__ = ["Source", "keys_of"]

_KEY_ADVICE = "Choose a key that is unique, never null, and grows."


class Reader(Protocol):
    """Runs a select and returns its rows as a frame, in the driver's types."""

    def fetch(self, statement: Select[Any]) -> pd.DataFrame:
        """The rows of a select."""

    def close(self) -> None:
        """Give connections back."""


class CoreReader:
    """Reads through SQLAlchemy Core: any database, any type.

    Args:
        engine: the source's.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def fetch(self, statement: Select[Any]) -> pd.DataFrame:
        """The rows of a select, each column holding the driver's objects."""
        with reading(self._engine, SourceError) as connection:
            result = connection.execute(statement)
            names, rows = list(result.keys()), result.all()
        columns = zip(*rows, strict=True) if rows else [()] * len(names)
        return pd.DataFrame({name: pd.Series(list(c), dtype="object") for name, c in zip(names, columns, strict=True)})

    def close(self) -> None:
        """Nothing to give back: the engine's pool has every connection."""


class Source:
    """The records of one monitor, read only; it serves one thread at a time.

    Args:
        name: the monitor's.
        monitor: what it watches.
        engine: of the database that holds the records.
    """

    def __init__(self, name: str, monitor: MonitorConfig, engine: Engine) -> None:
        self.name, self.monitor, self.engine = name, monitor, engine
        self._reader = _reader(engine)
        self._found: Rows | Cells | None = None

    def close(self) -> None:
        """Give the reader's connection back."""
        self._reader.close()

    def watched(self) -> WatchedTable:
        """The table as the database describes it, asked once.

        Raises:
            SourceError: where the table or a column does not exist.
        """
        return self._records().watched

    def columns(self) -> dict[str, str]:
        """The type of every column of the table, as the database calls it."""
        return {name: column.type for name, column in self.watched().columns.items()}

    def next_range(self, after: Key | None, limit: int, settled_before: datetime | None) -> KeyRange | None:
        """The next at most `limit` rows past a key, up to the first that is not settled; None where there is none.

        Args:
            after: the watermark; None at the start of the table.
            limit: most rows in the range.
            settled_before: a row with a later time, and everything past it, waits; one without a time does not.
        """
        records = self._records()
        with reading(self.engine, SourceError) as connection:
            if after is None:
                self._refuse_null_keys(connection, records.watched)
            page = self._page(records.watched, after, limit)
            upto = _last_settled(connection, records, page, settled_before)
        return None if upto is None else KeyRange(after, _checked(upto, self.name))

    def read(self, key_range: KeyRange, *, with_label: bool = False) -> pd.DataFrame:
        """The records of a key range in key order: key, time, entity, features, and on demand the label."""
        return self._records().read(key_range, with_label=with_label)

    def tally(self, key_range: KeyRange) -> Fingerprint:
        """How many records a key range holds, and a checksum that changes as they come, go or change."""
        with reading(self.engine, SourceError) as connection:
            records, *sums = connection.execute(self._records().tally(key_range)).one()
        return Fingerprint(records, " ".join(map(str, sums)) if sums else None)

    def count(self, key_range: KeyRange) -> int:
        """The number of records in a key range."""
        return self.tally(key_range).records

    def read_normal(self, limit: int, *, with_label: bool = False) -> pd.DataFrame:
        """The newest `limit` records that may be trained on, in key order."""
        return self._records().newest_normal(limit, with_label=with_label)

    def read_newest(self, limit: int) -> pd.DataFrame:
        """The newest `limit` records, normal or not, in key order."""
        return self._records().newest(limit)

    def read_anomalies(self, limit: int) -> pd.DataFrame:
        """The newest `limit` records that the label column calls anomalies, in key order; without that column."""
        if self.monitor.label is None:
            msg = f"Monitor {self.name!r} has no label column. Name one as `label` in config.toml."
            raise SourceError(msg)
        return self._records().newest_anomalies(limit)

    def read_keys(self, keys: Sequence[Key]) -> pd.DataFrame:
        """The records that have one of these keys, and are still there, in key order within each hundred."""
        return self._records().among(keys)

    def read_normal_past(self, after: Key, limit: int) -> pd.DataFrame:
        """The newest `limit` records past a key that may be trained on, in key order."""
        return self._records().newest_normal(limit, after)

    def read_past(self, key: Key, moments: int) -> pd.DataFrame:
        """The past of the record with a key, in order of time: the last record of each of the newest `moments` moments.

        Past are records of its entity that are earlier in time and have a smaller key.
        """
        return self._records().past(key, moments)

    def read_between(self, first: Key, last: Key, limit: int) -> pd.DataFrame | None:
        """The records of an entity that lie in time between two of it, and came before both.

        None where they are more than the limit.
        """
        return self._records().between(first, last, limit)

    def is_one_past(self, keys: Sequence[Key], since: datetime | None) -> bool:
        """Whether what is past for one of several records of an entity is past, as it is then, for those after it.

        Args:
            keys: of the records, each later in time and of a larger key than the one before.
            since: what is earlier does not count.
        """
        return self._records().is_one_past(keys, since)

    def pages(self, after: Key | None, upto: Key | None = None, *, with_label: bool = False) -> Iterator[pd.DataFrame]:
        """The records past a key in frames of at most `batch_size`, in key order."""
        return self._records().pages(after, upto, with_label=with_label)

    def _records(self) -> Rows | Cells:
        if self._found is None:
            with reading(self.engine, SourceError) as connection:
                self._found = self._described(connection)
        return self._found

    def _described(self, connection: Connection) -> Rows | Cells:
        watched, step = watch(connection, self.name, self.monitor), self.monitor.resample
        if step is None:
            return Rows(self.name, self.monitor, watched, self._fetch)
        grid = Grid.of(connection, watched, str(self.monitor.time), step)
        return Cells(self.name, self.monitor, watched, grid, self._fetch, self._ask)

    def _fetch(self, statement: Select[Any]) -> pd.DataFrame:
        try:
            return self._reader.fetch(statement)
        except SourceError:
            self._found = None
            self._records()  # says it better where the table has changed
            raise

    def _ask(self, statement: Select[Any]) -> Sequence[Any] | None:
        with reading(self.engine, SourceError) as connection:
            return connection.execute(statement).first()

    def _page(self, watched: WatchedTable, after: Key | None, limit: int) -> FromClause:
        names = dict.fromkeys((*self.monitor.key, self.monitor.time))
        page = select(*(watched.records.c[name] for name in names if name is not None))
        return page.where(watched.after(after)).order_by(*watched.order()).limit(limit).subquery("page")

    def _refuse_null_keys(self, connection: Connection, watched: WatchedTable) -> None:
        for column in watched.key_columns():
            if connection.execute(select(column).where(column.is_(None)).limit(1)).first() is not None:
                msg = f"Column {column.key!r} in the key of monitor {self.name!r} is null in a record. " + _KEY_ADVICE
                raise SourceError(msg)


def _reader(engine: Engine) -> Reader:
    if engine.dialect.name != "postgresql":
        return CoreReader(engine)
    from jobs.reading.arrow_reader import ArrowReader

    return ArrowReader(engine.url)


def _last_settled(
    connection: Connection, records: Rows | Cells, page: FromClause, settled_before: datetime | None
) -> Sequence[Any] | None:
    watched = records.watched
    last = select(*watched.key_columns(page)).order_by(*watched.order(page, newest_first=True)).limit(1)
    if settled_before is not None and records.monitor.time is not None:
        waiting = select(*watched.key_columns(page)).where(records.waits(page, settled_before))
        first = connection.execute(waiting.order_by(*watched.order(page)).limit(1)).first()
        if first is not None:
            last = last.where(watched.before(tuple(first), page))
    return connection.execute(last).first()


def _checked(upto: Sequence[Any], name: str) -> Key:
    for part in upto:
        if not isinstance(part, KeyPart) or isinstance(part, bool):
            msg = f"Monitor {name!r} found {part!r} in a key, which is no integer, text, time or UUID. " + _KEY_ADVICE
            raise SourceError(msg)
    refuse_long_key(tuple(upto), name)
    return tuple(upto)
