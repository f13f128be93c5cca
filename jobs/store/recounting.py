"""Batches that are done, counted again: what changed is scored again, or reported where that is too late."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, Engine, RowMapping, Select, and_, or_, select, update

from jobs.databases import reading, writing
from jobs.store.batch_result import Fingerprint
from jobs.store.dependent_batches import REOPENED
from jobs.store.events import NewEvent, write_event
from jobs.store.ledger import key_range_of, next_recount
from jobs.store.locking import lock_monitor
from jobs.wording import counted_noun
from schemas.keys import KeyRange
from schemas.tables import batch_hours, batches, monitors

_HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class DoneBatch:
    """A batch that is done, as it was when it was last scored or counted."""

    id: int
    key_range: KeyRange
    attempts: int
    planned_at: datetime
    recounted_at: datetime
    tally: Fingerprint


@dataclass(frozen=True)
class Recount:
    """What counting a batch again found."""

    batch: DoneBatch
    tally: Fingerprint
    is_watched: bool
    """Whether it was still watched when it was counted before; where it was not, what changed is too late."""

    @property
    def is_changed(self) -> bool:
        """Whether records came, vanished or were corrected since it was last counted."""
        return self.tally.differs_from(self.batch.tally)

    @property
    def is_reopened(self) -> bool:
        """Whether it is to be scored again."""
        return self.is_watched and self.is_changed

    @property
    def growth(self) -> int:
        """Records that came since it was last counted."""
        return max(0, self.tally.records - self.batch.tally.records)


@dataclass(frozen=True)
class LateRecords:
    """What counting batches again led to."""

    reopened: int = 0
    """Batches that are to be scored again."""
    late_records: int = 0
    """Records that came into those."""
    too_late_records: int = 0
    """Records that came into batches which are no longer watched; they are not scored."""

    def __add__(self, other: "LateRecords") -> "LateRecords":
        return LateRecords(
            self.reopened + other.reopened,
            self.late_records + other.late_records,
            self.too_late_records + other.too_late_records,
        )


class Recounts:
    """The second look at what is done.

    Args:
        engine: the store's.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def due(self, monitor: str, due_at: datetime, at: datetime, limit: int) -> list[DoneBatch]:
        """The batches whose next count is due, longest due first.

        Args:
            monitor: whose.
            due_at: until when a count has to have fallen due.
            at: the time now. A batch that was counted later than that is due as well: the clock was ahead then, and
                so the next count may be years away.
            limit: most batches.
        """
        c = batches.c
        is_due = and_(c.monitor == monitor, or_(c.recount_at < due_at, c.recounted_at > at), c.state == "done")
        with reading(self.engine) as connection:
            found = connection.execute(select(batches).where(is_due).order_by(c.recount_at, c.id).limit(limit))
            return [_done_batch(row, at) for row in found.mappings()]

    def record(self, monitor: str, recounts: Sequence[Recount], at: datetime, tell: Iterable[str] = ()) -> LateRecords:
        """Reopen what changed, count what came too late, and say so in events; the latter are told to channels.

        A batch that another worker has reopened meanwhile is left to it.
        """
        with writing(self.engine) as connection:
            lock_monitor(connection, monitor)
            noted = [item for item in recounts if _note(connection, item, at)]
            found = LateRecords(
                reopened=sum(item.is_reopened for item in noted),
                late_records=sum(item.growth for item in noted if item.is_reopened),
                too_late_records=sum(item.growth for item in noted if not item.is_reopened),
            )
            if found.reopened:
                write_event(connection, _late_event(monitor, found), at)
            if any(item.is_changed and not item.is_reopened for item in noted):
                _count_too_late(connection, monitor, found.too_late_records)
                write_event(connection, _too_late_event(monitor, found), at, tell)
        return found

    def reopen_window(self, monitor: str, since: datetime, until: datetime) -> int:
        """Have every batch that is done and holds a record of this time scored again; how many those are.

        A record belongs to its hour, and one without a time to the hour in which its batch was planned.
        """
        c = batches.c
        is_wanted = and_(c.monitor == monitor, c.state == "done", c.id.in_(_within(monitor, since, until)))
        with writing(self.engine) as connection:
            lock_monitor(connection, monitor)
            return connection.execute(update(batches).where(is_wanted).values(REOPENED)).rowcount

    def too_late_records(self, monitor: str) -> int:
        """How many records came so late that they were not scored."""
        wanted = select(monitors.c.too_late_records).where(monitors.c.monitor == monitor)
        with reading(self.engine) as connection:
            return connection.scalar(wanted) or 0

    def scored_until(self, monitor: str) -> datetime | None:
        """The newest record time scored; None where no record with a time was."""
        with reading(self.engine) as connection:
            return connection.scalar(select(monitors.c.scored_until).where(monitors.c.monitor == monitor))


def _done_batch(row: RowMapping, at: datetime) -> DoneBatch:
    """The batch, none of whose times is later than now, wherever the clock was."""
    return DoneBatch(
        id=row["id"],
        key_range=key_range_of(row),
        attempts=row["attempts"],
        planned_at=min(row["planned_at"], at),
        recounted_at=min(row["recounted_at"], at),
        tally=Fingerprint(row["counted"], row["checksum"]),
    )


def _note(connection: Connection, recount: Recount, at: datetime) -> bool:
    """Change the row of a batch that was counted; False where it is no longer what it was."""
    c, batch = batches.c, recount.batch
    counted = {
        "counted": recount.tally.records,
        "checksum": recount.tally.checksum,
        "planned_at": batch.planned_at,
        "recounted_at": at,
        "recount_at": next_recount(batch.planned_at, at),
    }
    # The number of claims tells whether it was scored again since it was read.
    is_same = and_(c.id == batch.id, c.state == "done", c.attempts == batch.attempts)
    if recount.is_changed:
        counted["has_changed"] = True  # a later scoring still has to know, though what was counted is noted anew
    change = update(batches).where(is_same).values(REOPENED if recount.is_reopened else counted)
    return connection.execute(change).rowcount == 1


def _within(monitor: str, since: datetime, until: datetime) -> Select[tuple[int]]:
    c = batch_hours.c
    return select(c.batch_id).where(c.monitor == monitor, c.hour > since - _HOUR, c.hour < until)


def _count_too_late(connection: Connection, monitor: str, records: int) -> None:
    c = monitors.c
    grown = update(monitors).where(c.monitor == monitor).values(too_late_records=c.too_late_records + records)
    connection.execute(grown)


def _late_event(monitor: str, found: LateRecords) -> NewEvent:
    what = f"{counted_noun(found.late_records, 'record')} came late" if found.late_records else "Records changed"
    again = f"{counted_noun(found.reopened, 'batch', 'batches')} of monitor {monitor!r}"
    counts = {"batches": found.reopened, "records": found.late_records}
    return NewEvent("late", f"{what}; {again} will be scored again.", monitor, counts=counts)


def _too_late_event(monitor: str, found: LateRecords) -> NewEvent:
    count = found.too_late_records
    what = (
        f"{counted_noun(count, 'record')} of monitor {monitor!r} came" if count else f"Records of {monitor!r} changed"
    )
    message = (
        f"{what} later than `late_after`, and that is not scored. Score their time again with: "
        f"plumbline rescore {monitor} --from TIME --to TIME; or raise `late_after` in config.toml."
    )
    return NewEvent("too_late", message, monitor, counts={"records": count})
