"""Finds keys that do not grow: newer records whose keys sort below those of older records.

Records are scored past the watermark, the largest key that has been scored. A newer record with a smaller key comes
late, and is never scored once `late_after` is over.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Connection, distinct, func, select

from jobs.dialects.families import TIMES
from jobs.reading.table import WatchedTable
from schemas.config import MonitorConfig

NEWEST_RECORDS = 1_000  # that are compared with the largest key of the older ones
NEWEST_SHARE = 0.2  # of the records of a small table
MIN_NEWEST_RECORDS = 10
MAX_LATE_SHARE = 0.1  # of the newest records: as many may come late by their place in a transaction


@dataclass(frozen=True)
class LateKeys:
    """The newest records by a column, and how many of them sort below older records.

    Attributes:
        column: by which records are new.
        newest: number of the newest records.
        late: number of these records with a key below that of an older record.
        proposal: a key that grows.
    """

    column: str
    newest: int
    late: int
    proposal: tuple[str, ...]


def late_keys(connection: Connection, monitor: MonitorConfig, watched: WatchedTable) -> LateKeys | None:
    """Return how many of the newest records come late by their key; None if the key grows, or nothing shows it."""
    for column, proposal in _orders(connection, monitor, watched):
        counts = _counted(connection, watched, column)
        if counts is not None:
            newest, late = counts
            return LateKeys(column, newest, late, proposal) if late > MAX_LATE_SHARE * newest else None
    return None


def _orders(
    connection: Connection, monitor: MonitorConfig, watched: WatchedTable
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the columns by which records are new, the most certain first, each with a key that grows with it."""
    times = [monitor.time, *(name for name in monitor.key if watched.columns[name].family in TIMES)]
    for name in dict.fromkeys(name for name in times if name is not None):
        if monitor.key[0] == name:
            return
        yield name, (name, *(part for part in monitor.key if part != name))
    for name in monitor.key[1:]:
        if watched.columns[name].family == "integer" and _is_unique(connection, watched, name):
            yield name, (name,)


def _is_unique(connection: Connection, watched: WatchedTable, name: str) -> bool:
    """Return whether the largest values of a column occur once each."""
    column = watched.records.c[name]
    largest = select(column).order_by(column.desc()).limit(NEWEST_RECORDS).subquery("largest")
    records, values = connection.execute(select(func.count(), func.count(distinct(largest.c[0])))).one()
    return bool(records == values and records >= MIN_NEWEST_RECORDS)


def _counted(connection: Connection, watched: WatchedTable, name: str) -> tuple[int, int] | None:
    """Return the number of the newest records by a column, and of those below the largest key of the older ones."""
    column = watched.records.c[name]
    total = connection.scalar(select(func.count()).select_from(watched.records).where(column.is_not(None))) or 0
    size = min(NEWEST_RECORDS, int(NEWEST_SHARE * total))
    if size < MIN_NEWEST_RECORDS:
        return None
    boundary = connection.scalar(
        select(column).where(column.is_not(None)).order_by(column.desc()).offset(size).limit(1)
    )
    older = select(*watched.key_columns()).where(column <= boundary, watched.after(None))
    watermark = connection.execute(older.order_by(*watched.order(newest_first=True)).limit(1)).first()
    if watermark is None:
        return None
    is_late = watched.before(tuple(watermark))
    newest = connection.scalar(select(func.count()).select_from(watched.records).where(column > boundary)) or 0
    if newest < MIN_NEWEST_RECORDS:  # most of them share the boundary with older records
        return None
    late = select(func.count()).select_from(watched.records).where(column > boundary, is_late)
    return newest, connection.scalar(late) or 0
