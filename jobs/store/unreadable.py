"""Records that cannot be read: kept with their batch until they are corrected."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Engine, delete, func, insert, select, update

from jobs.databases import reading, writing
from jobs.store.chunks import chunks
from jobs.store.dependent_batches import REOPENED
from jobs.store.events import EventLog, NewEvent
from jobs.store.locking import lock_monitor
from jobs.store.unions import rows_of_each
from jobs.wording import counted_noun
from schemas.keys import Key, dump_key, key_label, load_key
from schemas.tables import batches, unreadable_records
from schemas.unreadable import UnreadableRecord

MAX_EVENTS = 100  # of one batch: the others are in one more event
_ROWS_PER_STATEMENT = 1_000


@dataclass(frozen=True)
class WaitingRecord:
    """A record that could not be read at its last scoring or check."""

    id: int
    batch_id: int
    key: Key


class UnreadableRecords:
    """The unreadable records of every monitor.

    Args:
        engine: of the store's database.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def waiting(self, monitor: str, limit: int) -> list[WaitingRecord]:
        """Return the unreadable records of finished batches, those first that were checked longest ago."""
        c = unreadable_records.c
        is_done = batches.c.state == "done"
        statement = select(c.id, c.batch_id, c.record_key).join(batches, c.batch_id == batches.c.id)
        ordered = statement.where(c.monitor == monitor, is_done).order_by(c.checked_at, c.id).limit(limit)
        with reading(self.engine) as connection:
            return [
                WaitingRecord(row.id, row.batch_id, load_key(row.record_key)) for row in connection.execute(ordered)
            ]

    def record_check(
        self, monitor: str, checked: Sequence[WaitingRecord], corrected: Iterable[WaitingRecord], at: datetime
    ) -> int:
        """Reopen the batches of corrected records, and return their number."""
        batch_ids = sorted({item.batch_id for item in corrected})
        with writing(self.engine) as connection:
            lock_monitor(connection, monitor)
            for ids in chunks([item.id for item in checked]):
                change = update(unreadable_records).where(unreadable_records.c.id.in_(ids))
                connection.execute(change.values(checked_at=at))
            reopened = 0
            for ids in chunks(batch_ids):
                is_done = (batches.c.id.in_(ids)) & (batches.c.state == "done")
                # Records that have the corrected ones in their past are rescored too.
                change = update(batches).where(is_done).values(**REOPENED, has_changed=True)
                reopened += connection.execute(change).rowcount
        return reopened


def replace_unreadable(
    connection: Connection,
    monitor: str,
    batch_id: int,
    records: Sequence[UnreadableRecord],
    event_log: EventLog,
    at: datetime,
) -> None:
    """Write the unreadable records of a batch in place of those of its earlier scoring, with an event for each new one.

    Args:
        connection: in a transaction.
        monitor: the name of the monitor.
        batch_id: the batch.
        records: its unreadable records.
        event_log: writes events.
        at: the time now.
    """
    c = unreadable_records.c
    earlier = select(c.record_key, c.column_name, c.reason).where(c.batch_id == batch_id)
    reported = {tuple(row) for row in connection.execute(earlier)}
    rows = {
        dump_key(item.key): {
            "monitor": monitor,
            "batch_id": batch_id,
            "record_key": dump_key(item.key),
            "column_name": item.column,
            "reason": item.reason,
            "found_at": at,
            "checked_at": at,
        }
        for item in records
    }
    if not rows and not reported:
        return
    connection.execute(delete(unreadable_records).where(c.batch_id == batch_id))
    for chunk in chunks(list(rows.values()), _ROWS_PER_STATEMENT):
        connection.execute(insert(unreadable_records), chunk)
    new = [item for item in records if (dump_key(item.key), item.column, item.reason) not in reported]
    for event in _events(monitor, new):
        event_log.write(connection, event, at)


def count_unreadable(connection: Connection, monitor: str, batch_id: int | None = None) -> int:
    """Return the number of unreadable records of a monitor, or of one of its batches."""
    c = unreadable_records.c
    count = select(func.count()).where(c.monitor == monitor)
    return connection.scalar(count if batch_id is None else count.where(c.batch_id == batch_id)) or 0


def newest_unreadable_of(
    connection: Connection, monitors: Collection[str], limit: int
) -> dict[str, tuple[int, list[str]]]:
    """Return the number of unreadable records, and key, column and reason of the newest few, of each monitor.

    Args:
        connection: in a transaction.
        monitors: the names of the monitors.
        limit: the maximum number of records to list for each.
    """
    c = unreadable_records.c
    counted = select(c.monitor, func.count()).where(c.monitor.in_(monitors)).group_by(c.monitor)
    counts = {name: int(number) for name, number in connection.execute(counted)}
    columns = (c.id, c.monitor, c.record_key, c.column_name, c.reason)
    newest = [select(*columns).where(c.monitor == name).order_by(c.id.desc()).limit(limit) for name in counts]
    listed: dict[str, list[str]] = defaultdict(list)
    for row in sorted(rows_of_each(connection, newest), key=lambda row: -row["id"]):
        key = key_label(load_key(row["record_key"]))
        listed[row["monitor"]].append(f"{key} ({row['column_name']} {row['reason']})")
    return {name: (counts.get(name, 0), listed[name]) for name in monitors}


def _events(monitor: str, records: Sequence[UnreadableRecord]) -> list[NewEvent]:
    events = [_event(monitor, item) for item in records[:MAX_EVENTS]]
    more = len(records) - len(events)
    if more:
        message = (
            f"{counted_noun(more, 'more record')} of the same batch of monitor {monitor!r} cannot be read and "
            f"{'is' if more == 1 else 'are'} not scored: see the table unreadable_records."
        )
        events.append(NewEvent("unreadable", message, monitor, counts={"records": more}))
    return events


def _event(monitor: str, item: UnreadableRecord) -> NewEvent:
    key = key_label(item.key)
    message = (
        f"The record with key {key} of monitor {monitor!r} cannot be read and is not scored: column {item.column!r} "
        f"{item.reason}. It is scored once it is corrected."
    )
    return NewEvent("unreadable", message, monitor, counts={"key": key, "column": item.column, "reason": item.reason})
