"""Reads records past a key from one watched table; never writes."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any, Protocol, TypeAlias

import pandas as pd
from sqlalchemy import (
    ColumnElement,
    Connection,
    Double,
    Engine,
    FromClause,
    Integer,
    Numeric,
    Select,
    Text,
    TextClause,
    and_,
    cast,
    func,
    select,
    true,
)

from jobs.databases import reading
from jobs.reading.past import Past
from jobs.reading.records import keys_of, typed
from jobs.reading.sums import checksums
from jobs.reading.watched import Watched, raw_sql, watch
from jobs.store.results import Tally
from schemas.config import MonitorConfig
from schemas.errors import SourceError
from schemas.keys import Key, KeyPart, KeyRange

__all__ = ["Source", "keys_of"]

_Unsettled: TypeAlias = Callable[[FromClause], ColumnElement[bool]]
_KEYS_AT_ONCE = 100
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
        self._watched: Watched | None = None

    def close(self) -> None:
        """Give the reader's connection back."""
        self._reader.close()

    def watched(self) -> Watched:
        """The table as the database describes it, asked once.

        Raises:
            SourceError: where the table or a column does not exist.
        """
        if self._watched is None:
            with reading(self.engine, SourceError) as connection:
                self._watched = watch(connection, self.name, self.monitor)
        return self._watched

    def columns(self) -> dict[str, str]:
        """The type of every column of the table, as the database calls it."""
        return {name: column.type for name, column in self.watched().columns.items()}

    def next_range(self, after: Key | None, limit: int, settled_before: datetime | None) -> KeyRange | None:
        """The next at most `limit` records past a key, up to the first that is not settled; None where there is none.

        Args:
            after: the watermark; None at the start of the table.
            limit: most records in the range.
            settled_before: a record with a later time, and everything past it, waits; one without a time does not.
        """
        watched = self.watched()
        with reading(self.engine, SourceError) as connection:
            if after is None:
                self._refuse_null_keys(connection, watched)
            page = self._page(watched, after, limit)
            upto = _last_settled(connection, watched, page, self._unsettled(watched, settled_before))
        return None if upto is None else KeyRange(after, _checked(upto, self.name))

    def read(self, key_range: KeyRange, *, with_label: bool = False) -> pd.DataFrame:
        """The records of a key range in key order: key, time, entity, features, and on demand the label."""
        watched = self.watched()
        statement = self._select(watched, with_label=with_label)
        return self._frame(statement.where(watched.within(key_range)).order_by(*watched.order()))

    def tally(self, key_range: KeyRange) -> Tally:
        """How many records a key range holds, and a checksum that changes as they come, go or change."""
        watched, updated = self.watched(), self.monitor.updated
        sums = checksums(watched, (*self.monitor.key, *([updated] if updated else [])))
        statement = select(func.count(), *sums).select_from(watched.records).where(watched.within(key_range))
        with reading(self.engine, SourceError) as connection:
            records, *found = connection.execute(statement).one()
        return Tally(records, " ".join(map(str, found)) if found else None)

    def count(self, key_range: KeyRange) -> int:
        """The number of records in a key range."""
        watched = self.watched()
        statement = select(func.count()).select_from(watched.records).where(watched.within(key_range))
        with reading(self.engine, SourceError) as connection:
            return int(connection.scalar(statement) or 0)

    def read_normal(self, limit: int, *, with_label: bool = False) -> pd.DataFrame:
        """The newest `limit` records that may be trained on, in key order."""
        return self._newest(limit, self._normal(), with_label=with_label)

    def read_newest(self, limit: int) -> pd.DataFrame:
        """The newest `limit` records, normal or not, in key order."""
        return self._newest(limit, true(), with_label=False)

    def read_anomalies(self, limit: int) -> pd.DataFrame:
        """The newest `limit` records that the label column calls anomalies, in key order; without that column."""
        if self.monitor.label is None:
            msg = f"Monitor {self.name!r} has no label column. Name one as `label` in config.toml."
            raise SourceError(msg)
        return self._newest(limit, cast(self.watched().records.c[self.monitor.label], Integer()) != 0, with_label=False)

    def read_keys(self, keys: Sequence[Key]) -> pd.DataFrame:
        """The records that have one of these keys, and are still there, in key order within each hundred."""
        watched = self.watched()
        statement = self._select(watched, with_label=False).order_by(*watched.order())
        starts = range(0, max(len(keys), 1), _KEYS_AT_ONCE)
        return _joined([self._frame(statement.where(watched.among(keys[i : i + _KEYS_AT_ONCE]))) for i in starts])

    def read_normal_past(self, after: Key, limit: int) -> pd.DataFrame:
        """The newest `limit` records past a key that may be trained on, in key order."""
        return self._newest(limit, self._normal(), with_label=False, after=after)

    def read_past(self, key: Key, moments: int) -> pd.DataFrame:
        """The past of the record with a key, in order of time: the last record of each of the newest `moments` moments.

        Past are records of its entity that are earlier in time and have a smaller key.
        """
        past, time = self._past(key), str(self.monitor.time)
        statement = past.select.where(past.time < past.time_of(key)).order_by(*past.order(newest_first=True))
        kept, page = None, self._frame(statement.limit(moments))
        while True:
            kept = page if kept is None else _joined([kept, page])
            kept = kept[~kept[time].duplicated()]
            if len(page) < moments or len(kept) >= moments:
                return kept.head(moments).iloc[::-1]
            oldest = keys_of(page.tail(1), self.monitor.key)[0]
            page = self._frame(statement.where(past.time < past.time_of(oldest)).limit(moments))

    def read_between(self, first: Key, last: Key, limit: int) -> pd.DataFrame:
        """At most `limit` of the records of an entity that lie in time between two of it, and came before both."""
        past = self._past(first)
        is_between = and_(past.time > past.time_of(first), past.time < past.time_of(last))
        return self._frame(past.select.where(is_between).order_by(*past.order()).limit(limit))

    def pages(self, after: Key | None, upto: Key | None = None, *, with_label: bool = False) -> Iterator[pd.DataFrame]:
        """The records past a key in frames of at most `batch_size`, in key order."""
        watched, size = self.watched(), self.monitor.batch_size
        statement = self._select(watched, with_label=with_label).order_by(*watched.order()).limit(size)
        while True:
            condition = watched.after(after) if upto is None else watched.within(KeyRange(after, upto))
            page = self._frame(statement.where(condition))
            if len(page):
                yield page
                after = keys_of(page.tail(1), self.monitor.key)[0]
            if len(page) < size or after == upto:
                return

    def _past(self, key: Key) -> Past:
        watched = self.watched()
        return Past.of(watched, self.monitor, key, self._select(watched, with_label=False))

    def _select(self, watched: Watched, *, with_label: bool) -> Select[Any]:
        return select(*_expressions(watched, self.monitor, with_label=with_label))

    def _normal(self) -> ColumnElement[bool] | TextClause:
        normal = self.monitor.normal
        return true() if normal is None else raw_sql(f"({normal}\n)")

    def _newest(
        self, limit: int, condition: ColumnElement[bool] | TextClause, *, with_label: bool, after: Key | None = None
    ) -> pd.DataFrame:
        watched = self.watched()
        statement = self._select(watched, with_label=with_label).order_by(*watched.order(newest_first=True))
        pages: list[pd.DataFrame] = []
        found, older, newer = 0, watched.after(None), watched.after(after)
        while found < limit:
            size = min(self.monitor.batch_size, limit - found)
            page = self._frame(statement.where(condition, older, newer).limit(size))
            pages.append(page.iloc[::-1])
            found += len(page)
            if len(page) < size:
                break
            older = watched.before(keys_of(page.tail(1), self.monitor.key)[0])
        return _joined(pages[::-1])

    def _page(self, watched: Watched, after: Key | None, limit: int) -> FromClause:
        names = dict.fromkeys((*self.monitor.key, self.monitor.time))
        page = select(*(watched.records.c[name] for name in names if name is not None))
        return page.where(watched.after(after)).order_by(*watched.order()).limit(limit).subquery("page")

    def _frame(self, statement: Select[Any]) -> pd.DataFrame:
        try:
            frame = self._reader.fetch(statement)
        except SourceError:
            self._watched = None
            self.watched()  # says it better where the table has changed
            raise
        return typed(frame, self.name, self.monitor)

    def _unsettled(self, watched: Watched, settled_before: datetime | None) -> "_Unsettled | None":
        if settled_before is None or self.monitor.time is None:
            return None
        time = self.monitor.time
        return lambda page: watched.is_later(page.c[time], settled_before)

    def _refuse_null_keys(self, connection: Connection, watched: Watched) -> None:
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
    connection: Connection, watched: Watched, page: FromClause, unsettled: _Unsettled | None
) -> Sequence[Any] | None:
    last = select(*watched.key_columns(page)).order_by(*watched.order(page, newest_first=True)).limit(1)
    if unsettled is not None:
        first = select(*watched.key_columns(page)).where(unsettled(page)).order_by(*watched.order(page)).limit(1)
        waiting = connection.execute(first).first()
        if waiting is not None:
            last = last.where(watched.before(tuple(waiting), page))
    return connection.execute(last).first()


def _checked(upto: Sequence[Any], name: str) -> Key:
    for part in upto:
        if not isinstance(part, KeyPart) or isinstance(part, bool):
            msg = f"Monitor {name!r} found {part!r} in a key, which is no integer, text, time or UUID. " + _KEY_ADVICE
            raise SourceError(msg)
    return tuple(upto)


def _expressions(watched: Watched, monitor: MonitorConfig, *, with_label: bool) -> list[ColumnElement[Any]]:
    names = (*monitor.key, monitor.time, monitor.entity, *monitor.features.names, monitor.label if with_label else None)
    return [_expression(watched, monitor, name) for name in dict.fromkeys(names) if name is not None]


def _expression(watched: Watched, monitor: MonitorConfig, name: str) -> ColumnElement[Any]:
    """A column to read; PostgreSQL casts those whose binary form Arrow has no type for."""
    column, family = watched.records.c[name], watched.columns[name].family
    if watched.dialect != "postgresql" or name in monitor.key:
        return column
    if name in {*monitor.features.numeric, *monitor.features.boolean} and family == "decimal":
        return cast(cast(column, Numeric()), Double()).label(name)  # money casts to numeric alone
    if name in {monitor.entity, *monitor.features.categorical} and family != "text":
        return cast(column, Text()).label(name)
    return column


def _joined(pages: list[pd.DataFrame]) -> pd.DataFrame:
    """One frame of several; a column of integers stays one where a page of it is all missing."""
    frame = pd.concat(pages, ignore_index=pages[0].index.nlevels == 1 and pages[0].index.names == [None])
    nullable = [name for name in frame if frame[name].dtype == "Float64"]
    return frame.astype(dict.fromkeys(nullable, "float64"))
