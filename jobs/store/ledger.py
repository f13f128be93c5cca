"""The ledger: batches from planned to done, each finished once in effect."""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    RowMapping,
    Select,
    Update,
    and_,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from jobs.databases import reading, writing
from jobs.store.batch_result import BatchResult, Fingerprint
from jobs.store.dependent_batches import reopen_dependent_batches
from jobs.store.incident_grouping import IncidentRule, refresh_incidents
from jobs.store.locking import lock_monitor
from jobs.store.writing import Origin, write_result
from schemas.errors import LostLease, StoreError
from schemas.keys import Key, KeyRange, dump_key, load_key
from schemas.tables import batches, monitors

_START = ""  # the after_key of a table's first batch
_COUNTS_PER_AGE = 10  # a batch is counted again when it is older by a tenth of its age


@dataclass(frozen=True)
class Batch:
    """A batch that this worker has claimed."""

    id: int
    monitor: str
    key_range: KeyRange
    model_id: int
    token: str
    attempts: int
    planned_at: datetime
    scored_before: int | None = None
    """Records of its last scoring; None where this is its first."""


class Ledger:
    """The batches of every monitor.

    Args:
        engine: the store's.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def hold_key(self, monitor: str, key: Sequence[str]) -> None:
        """Note the columns of a monitor's key, of whose values batches are ranges.

        Raises:
            StoreError: where batches are ranges of other columns.
        """
        wanted = select(monitors.c.key_columns).where(monitors.c.monitor == monitor)
        with reading(self.engine) as connection:
            held = connection.scalar(wanted)
        if held is None:
            with writing(self.engine) as connection:
                lock_monitor(connection, monitor)
                connection.execute(update(monitors).where(monitors.c.monitor == monitor).values(key_columns=[*key]))
        elif held != [*key]:
            raise StoreError(_other_key(monitor, held, key))

    def watermark(self, monitor: str) -> Key | None:
        """The key up to which batches are planned; None before the first."""
        newest = select(batches.c.upto_key).where(batches.c.monitor == monitor).order_by(batches.c.id.desc()).limit(1)
        with reading(self.engine) as connection:
            upto = connection.scalar(newest)
        return None if upto is None else load_key(upto)

    def plan(self, monitor: str, key_range: KeyRange, at: datetime) -> bool:
        """Add a pending batch; False where another planner was first."""
        row = {
            "monitor": monitor,
            "after_key": _START if key_range.after is None else dump_key(key_range.after),
            "upto_key": dump_key(key_range.upto),
            "state": "pending",
            "planned_at": at,
        }
        with writing(self.engine) as connection:
            try:
                with connection.begin_nested():
                    connection.execute(insert(batches).values(row))
            except IntegrityError:
                return False
        return True

    def claim(
        self,
        monitor: str,
        model_id: int,
        at: datetime,
        lease: timedelta,
        *,
        in_order: bool = False,
        besides: Collection[int] = (),
    ) -> Batch | None:
        """Take a batch that is pending or whose lease ran out: of those tried least often the oldest.

        Args:
            monitor: whose.
            model_id: that will score it.
            at: the time now.
            lease: how long it is ours.
            in_order: take the oldest, and only while no worker has another batch of the monitor.
            besides: batches that are not taken.

        Returns:
            The batch; None where there is none to take.
        """
        token = str(uuid4())
        with writing(self.engine) as connection:
            if in_order:
                lock_monitor(connection, monitor)
                if connection.scalar(_held(monitor, at)) is not None:
                    return None
            wanted = _claimable(monitor, at, in_order=in_order).where(batches.c.id.not_in(besides))
            row = connection.execute(wanted).mappings().first()
            if row is None:
                return None
            attempts = row["attempts"] + 1
            change = {"state": "running", "token": token, "lease_until": at + lease, "model_id": model_id}
            connection.execute(
                update(batches).where(batches.c.id == row["id"]).values(**change, attempts=attempts, error=None)
            )
        return Batch(
            id=row["id"],
            monitor=monitor,
            key_range=key_range_of(row),
            model_id=model_id,
            token=token,
            attempts=attempts,
            planned_at=row["planned_at"],
            scored_before=row["records"],
        )

    def pending(self, monitor: str) -> int:
        """How many batches wait to be claimed."""
        c = batches.c
        wanted = select(func.count()).where(c.monitor == monitor, c.state == "pending")
        with reading(self.engine) as connection:
            return int(connection.scalar(wanted) or 0)

    def has_work(self, monitor: str, at: datetime, *, in_order: bool = False) -> bool:
        """Whether `claim_batch` would take one."""
        c = batches.c
        with reading(self.engine) as connection:
            if in_order and connection.scalar(_held(monitor, at)) is not None:
                return False
            return connection.scalar(select(c.id).where(c.monitor == monitor, _is_free(at)).limit(1)) is not None

    def renew(self, batch: Batch, at: datetime, lease: timedelta) -> None:
        """Hold a claimed batch for longer.

        Raises:
            LostLease: where another worker has taken it over.
        """
        with writing(self.engine) as connection:
            _change(connection, batch, lease_until=at + lease)

    def finish(
        self,
        batch: Batch,
        result: BatchResult,
        at: datetime,
        rule: IncidentRule | None = None,
        *,
        context_rows: int = 0,
    ) -> None:
        """Write everything a batch found, and its ledger row, together.

        Where the records of a series changed since the batch was scored before, batches that have them in their
        past go back to be scored again.

        Args:
            batch: as claimed.
            result: replaces what an earlier scoring of the batch had found.
            at: the time now.
            rule: how anomalies make incidents, and who is told; without it there are none.
            context_rows: for how many later records of a series each is past.

        Raises:
            LostLease: where another worker has taken it over; nothing is written then.
        """
        origin = Origin(batch.monitor, batch.model_id, batch.id, at)
        with writing(self.engine) as connection:
            lock_monitor(connection, batch.monitor)
            changed = _changed_entities(connection, batch, result)
            _change(connection, batch, **_finished(batch, result, at))
            touched = write_result(connection, result, origin)
            if rule is not None:
                refresh_incidents(connection, batch.monitor, touched, rule, at)
            if result.newest_time is not None:  # a clock that runs ahead must not hide that a source stops sending
                _advance(connection, batch.monitor, min(result.newest_time, at))
            if changed:
                reopen_dependent_batches(connection, batch.monitor, batch.id, changed, context_rows)

    def release(self, batch: Batch, error: str | None = None) -> None:
        """Give a claimed batch back unfinished, with the reason.

        Raises:
            LostLease: where another worker has taken it over.
        """
        with writing(self.engine) as connection:
            _change(connection, batch, state="pending", token=None, lease_until=None, error=error)


def next_recount(planned_at: datetime, at: datetime) -> datetime:
    """When a batch that is read or counted now has to be counted again.

    The time in between is a tenth of the batch's age at its end. So a record that comes late by some time is
    found when little more than that has passed, and the number of counts grows with the logarithm of the age.
    """
    return at + max(at - planned_at, timedelta(0)) / (_COUNTS_PER_AGE - 1)


def key_range_of(row: RowMapping) -> KeyRange:
    """The key range of a row of the ledger."""
    after = row["after_key"]
    return KeyRange(None if after == _START else load_key(after), load_key(row["upto_key"]))


def _other_key(monitor: str, held: Sequence[str], key: Sequence[str]) -> str:
    return (
        f"The batches of monitor {monitor!r} are ranges of {', '.join(held)}, and config.toml now has the key "
        f"{', '.join(key)}: what was scored cannot be told from what is new. Take the change back, or watch the table "
        "under another name. Where the column was only renamed, say so in the store: "
        f"UPDATE monitors SET key_columns = '{json.dumps([*key])}' WHERE monitor = '{monitor}'"
    )


def _is_free(at: datetime) -> ColumnElement[bool]:
    c = batches.c
    return or_(c.state == "pending", and_(c.state == "running", c.lease_until < at))


def _held(monitor: str, at: datetime) -> Select[Any]:
    """A batch that a worker has."""
    c = batches.c
    return select(c.id).where(c.monitor == monitor, c.state == "running", c.lease_until >= at).limit(1)


def _claimable(monitor: str, at: datetime, *, in_order: bool) -> Select[Any]:
    c = batches.c
    # New records come before those that are scored again. Where rows can be locked a second worker skips
    # this one; SQLite admits one writer at a time anyway.
    by_need = (c.finished_at.is_not(None), *([] if in_order else [c.attempts]), c.id)
    wanted = select(batches).where(c.monitor == monitor, _is_free(at)).order_by(*by_need).limit(1)
    return wanted.with_for_update(skip_locked=True)


def _changed_entities(connection: Connection, batch: Batch, result: BatchResult) -> set[str]:
    """The entities of a batch whose records are not those of its last scoring; none where no record changed."""
    if batch.scored_before is None or result.entities is None or result.tally is None:
        return set()
    c = batches.c
    wanted = select(c.entities, c.counted, c.checksum, c.has_changed)
    before = connection.execute(wanted.where(c.id == batch.id)).one()
    is_changed = before.has_changed or result.tally.differs_from(Fingerprint(before.counted, before.checksum))
    is_known = before.entities is not None  # else it was scored before the ledger kept them
    return {*before.entities, *result.entities} if is_known and is_changed else set()


def _finished(batch: Batch, result: BatchResult, at: datetime) -> dict[str, Any]:
    """The row of a batch once its result is written."""
    tally = result.tally or Fingerprint(result.records)
    is_again = batch.scored_before is not None
    return {
        "state": "done",
        "finished_at": at,
        "records": result.records,
        "anomalies": len(result.anomalies),
        "lease_until": None,
        "counted": tally.records,
        "checksum": tally.checksum,
        "recounted_at": at,
        "recount_at": next_recount(batch.planned_at, at),
        "rescorings": batches.c.rescorings + int(is_again),
        "entities": result.entities,
        "has_changed": False,
        "late_records": batches.c.late_records + max(0, result.records - (batch.scored_before or 0)) * is_again,
    }


def _advance(connection: Connection, monitor: str, newest: datetime) -> None:
    """Note the newest record time scored; it never goes back."""
    c = monitors.c
    is_newer = or_(c.scored_until.is_(None), c.scored_until < newest)
    connection.execute(update(monitors).where(c.monitor == monitor, is_newer).values(scored_until=newest))


def _change(connection: Connection, batch: Batch, **values: Any) -> None:
    """Change the row of a claimed batch, whose token says that it is still ours."""
    is_ours = and_(batches.c.id == batch.id, batches.c.token == batch.token, batches.c.state == "running")
    change: Update = update(batches).where(is_ours).values(**values)
    if connection.execute(change).rowcount != 1:
        raise LostLease(batch.id)
