"""The records of one monitor, read from its watched table."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import pandas as pd
from sqlalchemy import Connection, Engine, FromClause, Select, select

from jobs.databases import reading
from jobs.dialects import Reader, dialect_of
from jobs.reading.cells import Cells
from jobs.reading.grid import Grid
from jobs.reading.joint_cells import JointCells
from jobs.reading.joint_pasts import JointPasts
from jobs.reading.rows import Rows
from jobs.reading.table import WatchedTable, describe_table
from jobs.reading.tolerant import LeftOut
from jobs.reading.typed_columns import keys_of, refuse_long_key
from jobs.reading.windows import Window
from schemas.config import MonitorConfig
from schemas.errors import SourceError, SourceTimeout
from schemas.fingerprint import Fingerprint
from schemas.frames import Features
from schemas.keys import Key, KeyPart, KeyRange, keys_of_labels

__all__ = ["Source", "keys_of"]

_KEY_ADVICE = "Choose a key that is unique, never null, and grows."


class CoreReader:
    """Reads through SQLAlchemy Core: any database, any type.

    Args:
        engine: The source's.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def fetch(self, statement: Select[Any]) -> pd.DataFrame:
        """Return the rows of a select, each column holding the driver's objects unless the dialect has a faster way."""
        with reading(self._engine, SourceError) as connection:
            result = connection.execute(statement)
            frame = dialect_of(connection).frame(result)
            if frame is not None:
                return frame
            names, rows = list(result.keys()), result.all()
        columns = zip(*rows, strict=True) if rows else [()] * len(names)
        return pd.DataFrame({name: pd.Series(list(c), dtype="object") for name, c in zip(names, columns, strict=True)})

    def close(self) -> None:
        """Do nothing: the engine's pool has every connection."""


class Source:
    """The records of one monitor, read only; several threads may use it, but only one of them may call `watch`.

    Args:
        name: The monitor's.
        monitor: Its configuration.
        engine: The engine of the database that holds the records.
    """

    def __init__(self, name: str, monitor: MonitorConfig, engine: Engine) -> None:
        self.name, self.monitor, self.engine = name, monitor, engine
        self._reader: Reader = dialect_of(engine).open_reader(engine) or CoreReader(engine)
        self._described: Rows | Cells | None = None

    def close(self) -> None:
        """Close the reader's connection."""
        self._reader.close()

    @property
    def serves_threads(self) -> bool:
        """Whether threads may read side by side; a database in memory belongs to the thread that opened it."""
        return not dialect_of(self.engine).is_in_memory(self.engine.url)

    def watch(self, features: Features) -> None:
        """Read these features from now on, in place of those that the monitor lists."""
        monitor = self.monitor.model_copy(update=features.by_type())
        if monitor != self.monitor:
            self.monitor, self._described = monitor, None

    def table(self) -> WatchedTable:
        """Return the watched table as the database described it at the first call.

        Raises:
            SourceError: If the table or a column does not exist.
        """
        return self._records().table

    def columns(self) -> dict[str, str]:
        """Return the type of every column of the table, as the database names it."""
        return {name: column.type for name, column in self.table().columns.items()}

    def next_range(self, after: Key | None, limit: int, settled_before: datetime | None) -> KeyRange | None:
        """Return the range of the next rows past a key, up to the first that is not settled; None if it is empty.

        Args:
            after: The watermark; None at the start of the table.
            limit: Maximum number of rows in the range.
            settled_before: A row with a later time, and everything past it, waits; one without a time does not.
        """
        records = self._records()
        with reading(self.engine, SourceError) as connection:
            if after is None:
                self._refuse_null_keys(connection, records.table)
            page = self._page(records.table, after, limit)
            upto = _last_settled(connection, records, page, settled_before)
        return None if upto is None else KeyRange(after, _checked(upto, self.name))

    def largest_key(self) -> Key | None:
        """Return the largest key; None if the table is empty."""
        table = self.table()
        keys = select(*table.key_columns()).where(table.after(None)).order_by(*table.order(newest_first=True)).limit(1)
        with reading(self.engine, SourceError) as connection:
            row = connection.execute(keys).first()
        return None if row is None else _checked(row, self.name)

    def newest_part(self, key_range: KeyRange, limit: int) -> KeyRange:
        """Return the part of a key range that holds its newest `limit` rows; the whole range if it holds no more."""
        table = self.table()
        keys = select(*table.key_columns()).where(table.within(key_range)).order_by(*table.order(newest_first=True))
        with reading(self.engine, SourceError) as connection:
            row = connection.execute(keys.offset(limit).limit(1)).first()
        return key_range if row is None else KeyRange(_checked(row, self.name), key_range.upto)

    def read(self, key_range: KeyRange, *, with_label: bool = False, left_out: LeftOut = None) -> pd.DataFrame:
        """Return the records of a key range in key order: key, time, entity, features, and on demand the label.

        Here and in the methods below, `left_out` gets the records that cannot be read; without it, one is an error.
        """
        return self._records().read(key_range, with_label=with_label, left_out=left_out)

    def fingerprint(self, key_range: KeyRange) -> Fingerprint:
        """Return the number of records in a key range, with a checksum that differs if they came, went or changed."""
        with reading(self.engine, SourceError) as connection:
            records, *sums = connection.execute(self._records().fingerprint(key_range)).one()
        return Fingerprint(records, " ".join(map(str, sums)) if sums else None)

    def count(self, key_range: KeyRange) -> int:
        """Return the number of records in a key range."""
        return self.fingerprint(key_range).records

    def read_normal(self, limit: int, *, with_label: bool = False, left_out: LeftOut = None) -> pd.DataFrame:
        """Return the newest `limit` records that may be trained on, in key order."""
        return self._records().newest_normal(limit, with_label=with_label, left_out=left_out)

    def read_newest(self, limit: int, left_out: LeftOut = None) -> pd.DataFrame:
        """Return the newest `limit` records, normal or not, in key order."""
        return self._records().newest(limit, left_out=left_out)

    def read_window(self, window: Window, limit: int, *, with_label: bool = False) -> pd.DataFrame:
        """Return at most `limit` readable records of a window, in key order."""
        return self._records().window(window, limit, with_label=with_label)

    def read_anomalies(self, limit: int, left_out: LeftOut = None) -> pd.DataFrame:
        """Return the newest `limit` records that the label marks as anomalies, in key order and without the label."""
        if self.monitor.label is None:
            msg = f"Monitor {self.name!r} has no label column. Name one as `label` in config.toml."
            raise SourceError(msg)
        return self._records().newest_anomalies(limit, left_out)

    def read_keys(self, keys: Sequence[Key], left_out: LeftOut = None) -> pd.DataFrame:
        """Return the records that have one of the keys and still exist, in key order within each hundred."""
        return self._records().among(keys, left_out)

    def read_row(self, label: str) -> dict[str, Any] | None:
        """Return every column of the row whose key has a label, in the driver's types; None if there is none."""
        table, keys = self.table(), self.labelled_keys([label])
        rows = CoreReader(self.engine).fetch(select(*table.records.c).where(table.among(keys)).limit(1))
        return {str(name): value for name, value in rows.iloc[0].items()} if len(rows) else None

    def labelled_keys(self, labels: Sequence[str]) -> list[Key]:
        """Return the keys that `key_label` wrote as labels, but for those of another type than the keys of the table.

        An empty table has none.
        """
        newest = self.read_newest(1, [])
        return list(keys_of_labels(labels, keys_of(newest, self.monitor.key)[0])) if len(newest) else []

    def read_normal_past(self, after: Key, limit: int, left_out: LeftOut = None) -> pd.DataFrame:
        """Return the newest `limit` records past a key that may be trained on, in key order."""
        return self._records().newest_normal(limit, after, left_out=left_out)

    def read_past(self, key: Key, moments: int) -> pd.DataFrame:
        """Return the last record of each of the newest `moments` moments in the past of a key, in order of time.

        The past of a record are the records of its entity that are earlier in time and have a smaller key.
        """
        return self._records().past(key, moments)

    def joint_pasts(self) -> JointPasts | JointCells:
        """Return a reader of the pasts of several records at once, each of another entity."""
        return self._records().joint_pasts()

    def read_between(self, first: Key, last: Key, limit: int) -> pd.DataFrame | None:
        """Return the past of two records of an entity that lies in time between them.

        None if it holds more records than the limit.
        """
        return self._records().between(first, last, limit)

    def is_one_past(self, keys: Sequence[Key], since: datetime | None, *, is_page: bool = True) -> bool:
        """Return whether what is past for one of several records of an entity is past, unchanged, for the later ones.

        Args:
            keys: The records' keys, each later in time and larger than the one before.
            since: The start of the past that counts.
            is_page: Whether the records are on one page, which leaves out no record between them.
        """
        return self._records().is_one_past(keys, since, is_page=is_page)

    def pages(
        self, after: Key | None, upto: Key | None = None, *, with_label: bool = False, left_out: LeftOut = None
    ) -> Iterator[pd.DataFrame]:
        """Return the records past a key in frames of at most `batch_size`, in key order."""
        return self._records().pages(after, upto, with_label=with_label, left_out=left_out)

    def _records(self) -> Rows | Cells:
        described = self._described
        if described is None:
            with reading(self.engine, SourceError) as connection:
                self._described = described = self._describe(connection)
        return described

    def _describe(self, connection: Connection) -> Rows | Cells:
        table, step = describe_table(connection, self.name, self.monitor), self.monitor.resample
        if step is None:
            return Rows(self.name, self.monitor, table, self._fetch)
        grid = Grid.of(connection, table, str(self.monitor.time), step)
        return Cells(self.name, self.monitor, table, grid, self._fetch, self._first_row)

    def _fetch(self, statement: Select[Any]) -> pd.DataFrame:
        try:
            return self._reader.fetch(statement)
        except SourceTimeout:
            raise
        except SourceError:
            self._described = None
            self._records()  # raises a clearer error if the table has changed
            raise

    def _first_row(self, statement: Select[Any]) -> Sequence[Any] | None:
        with reading(self.engine, SourceError) as connection:
            return connection.execute(statement).first()

    def _page(self, table: WatchedTable, after: Key | None, limit: int) -> FromClause:
        names = dict.fromkeys((*self.monitor.key, self.monitor.time))
        page = select(*(table.records.c[name] for name in names if name is not None))
        return page.where(table.after(after)).order_by(*table.order()).limit(limit).subquery("page")

    def _refuse_null_keys(self, connection: Connection, table: WatchedTable) -> None:
        for column in table.key_columns():
            if connection.execute(select(column).where(column.is_(None)).limit(1)).first() is not None:
                msg = f"Column {column.key!r} in the key of monitor {self.name!r} is null in a record. " + _KEY_ADVICE
                raise SourceError(msg)


def _last_settled(
    connection: Connection, records: Rows | Cells, page: FromClause, settled_before: datetime | None
) -> Sequence[Any] | None:
    """Return the largest key of a page before the first row that waits; None if there is none."""
    table = records.table
    last = select(*table.key_columns(page)).order_by(*table.order(page, newest_first=True)).limit(1)
    if settled_before is not None and records.monitor.time is not None:
        waiting = select(*table.key_columns(page)).where(records.waits(page, settled_before))
        first = connection.execute(waiting.order_by(*table.order(page)).limit(1)).first()
        if first is not None:
            last = last.where(table.before(tuple(first), page))
    return connection.execute(last).first()


def _checked(upto: Sequence[Any], name: str) -> Key:
    for part in upto:
        if not isinstance(part, KeyPart) or isinstance(part, bool):
            msg = f"A key of monitor {name!r} holds {part!r}, not an integer, text, time or UUID. " + _KEY_ADVICE
            raise SourceError(msg)
    refuse_long_key(tuple(upto), name)
    return tuple(upto)
