"""Recounts of finished batches: a changed batch is reopened, or reported if that is too late."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, Engine, RowMapping, Select, and_, or_, select, update

from jobs.databases import reading, writing
from jobs.store.dependent_batches import REOPENED
from jobs.store.events import EventLog, NewEvent
from jobs.store.ledger import key_range_of, next_recount
from jobs.store.locking import lock_monitor
from jobs.wording import counted_noun
from schemas.fingerprint import Fingerprint
from schemas.keys import KeyRange
from schemas.tables import batch_hours, batches, monitors

_HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class DoneBatch:
    """A finished batch, as of its last scoring or recount."""

    id: int
    key_range: KeyRange
    attempts: int
    planned_at: datetime
    recounted_at: datetime
    fingerprint: Fingerprint


@dataclass(frozen=True)
class Recount:
    """The fingerprint of a batch now."""

    batch: DoneBatch
    fingerprint: Fingerprint
    is_watched: bool
    """Whether its last recount was within `late_after`; if not, a change is too late to be scored."""

    @property
    def is_changed(self) -> bool:
        """Whether records came, vanished or were corrected since the last recount."""
        return self.fingerprint.differs_from(self.batch.fingerprint)

    @property
    def is_reopened(self) -> bool:
        """Whether the batch is rescored."""
        return self.is_watched and self.is_changed

    @property
    def growth(self) -> int:
        """The number of records that came since the last recount."""
        return max(0, self.fingerprint.records - self.batch.fingerprint.records)


@dataclass(frozen=True)
class LateRecords:
    """The outcome of recounts."""

    reopened: int = 0
    """Number of reopened batches."""
    late_records: int = 0
    """Number of records that came into them."""
    too_late_records: int = 0
    """Number of records that came into batches which are no longer watched; they are not scored."""

    def __add__(self, other: "LateRecords") -> "LateRecords":
        return LateRecords(
            self.reopened + other.reopened,
            self.late_records + other.late_records,
            self.too_late_records + other.too_late_records,
        )


class Recounting:
    """The recounts of every monitor's finished batches.

    Args:
        engine: of the store's database.
        event_log: writes events.
    """

    def __init__(self, engine: Engine, event_log: EventLog) -> None:
        self.engine = engine
        self._event_log = event_log

    def due(self, monitor: str, due_at: datetime, at: datetime, limit: int) -> list[DoneBatch]:
        """Return the batches whose recount is due, the longest due first.

        Args:
            monitor: the name of the monitor.
            due_at: recounts that fell due before this time.
            at: the time now. A batch that was recounted later than that is due as well: the clock was ahead then, so
                its next recount may be years away.
            limit: the maximum number of batches.
        """
        c = batches.c
        is_due = and_(c.monitor == monitor, or_(c.recount_at < due_at, c.recounted_at > at), c.state == "done")
        with reading(self.engine) as connection:
            rows = connection.execute(select(batches).where(is_due).order_by(c.recount_at, c.id).limit(limit))
            return [_done_batch(row, at) for row in rows.mappings()]

    def record(
        self, monitor: str, recounts: Sequence[Recount], at: datetime, channels: Iterable[str] = ()
    ) -> LateRecords:
        """Reopen the changed batches, and record events of late and too late records; alert channels of the latter.

        A batch that another worker has reopened meanwhile is left to it.
        """
        with writing(self.engine) as connection:
            lock_monitor(connection, monitor)
            recorded = [recount for recount in recounts if _record_one(connection, recount, at)]
            late = LateRecords(
                reopened=sum(recount.is_reopened for recount in recorded),
                late_records=sum(recount.growth for recount in recorded if recount.is_reopened),
                too_late_records=sum(recount.growth for recount in recorded if not recount.is_reopened),
            )
            if late.reopened:
                self._event_log.write(connection, _late_event(monitor, late), at)
            if any(recount.is_changed and not recount.is_reopened for recount in recorded):
                _count_too_late(connection, monitor, late.too_late_records)
                self._event_log.write(connection, _too_late_event(monitor, late), at, channels)
        return late

    def reopen_window(self, monitor: str, since: datetime, until: datetime) -> int:
        """Reopen every finished batch that holds a record of a time window, and return their number.

        A record belongs to its hour, and a record without time to the hour in which its batch was planned.
        """
        c = batches.c
        is_inside = and_(c.monitor == monitor, c.state == "done", c.id.in_(_within(monitor, since, until)))
        with writing(self.engine) as connection:
            lock_monitor(connection, monitor)
            return connection.execute(update(batches).where(is_inside).values(REOPENED)).rowcount


def _done_batch(row: RowMapping, at: datetime) -> DoneBatch:
    """Return the batch, with no time later than now, in case the clock was ahead."""
    return DoneBatch(
        id=row["id"],
        key_range=key_range_of(row),
        attempts=row["attempts"],
        planned_at=min(row["planned_at"], at),
        recounted_at=min(row["recounted_at"], at),
        fingerprint=Fingerprint(row["counted"], row["checksum"]),
    )


def _record_one(connection: Connection, recount: Recount, at: datetime) -> bool:
    """Update the row of a recounted batch; return False if it was claimed since it was read."""
    c, batch = batches.c, recount.batch
    counted = {
        "counted": recount.fingerprint.records,
        "checksum": recount.fingerprint.checksum,
        "planned_at": batch.planned_at,
        "recounted_at": at,
        "recount_at": next_recount(batch.planned_at, at),
    }
    is_same = and_(c.id == batch.id, c.state == "done", c.attempts == batch.attempts)  # each claim is an attempt
    if recount.is_changed:
        counted["has_changed"] = True  # a later scoring has to detect the change, though the fingerprint is replaced
    change = update(batches).where(is_same).values(REOPENED if recount.is_reopened else counted)
    return connection.execute(change).rowcount == 1


def _within(monitor: str, since: datetime, until: datetime) -> Select[tuple[int]]:
    c = batch_hours.c
    return select(c.batch_id).where(c.monitor == monitor, c.hour > since - _HOUR, c.hour < until)


def _count_too_late(connection: Connection, monitor: str, records: int) -> None:
    c = monitors.c
    change = update(monitors).where(c.monitor == monitor).values(too_late_records=c.too_late_records + records)
    connection.execute(change)


def _late_event(monitor: str, late: LateRecords) -> NewEvent:
    cause = f"{counted_noun(late.late_records, 'record')} came late" if late.late_records else "Records changed"
    reopened = f"{counted_noun(late.reopened, 'batch', 'batches')} of monitor {monitor!r}"
    counts = {"batches": late.reopened, "records": late.late_records}
    return NewEvent("late", f"{cause}; {reopened} will be rescored.", monitor, counts=counts)


def _too_late_event(monitor: str, late: LateRecords) -> NewEvent:
    count = late.too_late_records
    cause = (
        f"{counted_noun(count, 'record')} of monitor {monitor!r} came" if count else f"Records of {monitor!r} changed"
    )
    message = (
        f"{cause} later than `late_after`, so they are not scored. Rescore their time with: "
        f"plumbline rescore {monitor} --from TIME --to TIME; or raise `late_after` in config.toml."
    )
    return NewEvent("too_late", message, monitor, counts={"records": count})
