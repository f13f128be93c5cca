"""The ledger: batches, from planned to done, each finished once in effect."""

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
    not_,
    or_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from jobs.databases import reading, writing
from jobs.store.alert_rule import IncidentRule
from jobs.store.alerts import AlertTexts
from jobs.store.batch_result import BatchResult
from jobs.store.dependent_batches import reopen_dependent_batches
from jobs.store.entities import learn_rhythms
from jobs.store.events import EventLog
from jobs.store.incident_grouping import refresh_incidents
from jobs.store.locking import lock_monitor
from jobs.store.rows_in_row import count_in_row
from jobs.store.unreadable import count_unreadable, replace_unreadable
from jobs.store.usual_levels import report_usual_levels
from jobs.store.writing import Origin, write_result
from schemas.errors import LostLease, NoChampion, StoreError
from schemas.fingerprint import Fingerprint
from schemas.keys import Key, KeyRange, dump_key, load_key
from schemas.tables import batches, models, monitors

_START = ""  # the after_key of a table's first batch
_MAX_CLAIMS_AT_ONCE = 32  # workers that may hold the first batches at the same moment
_RECOUNTS_PER_AGE = 10  # a batch is recounted when it is older by a tenth of its age


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
    """Number of records of its last scoring; None if it has not been scored."""
    is_overtaken: bool = False
    """Whether it has not been scored and a later batch had been claimed before: that may have read other records of it
    as its past."""


@dataclass(frozen=True)
class Choice:
    """Which batch a worker claims.

    Attributes:
        in_order: the oldest of all; its worker waits for its turn before it decides what to flag.
        exclude: ids of batches not to claim.
        ahead_of: the batch that the worker has; one batch is left for a worker that has none. In order, no batch
            before it is claimed: it would wait for its own worker.
        token: of the claim; a batch that is claimed with it already is claimed again. By default a new one.
    """

    in_order: bool = False
    exclude: Collection[int] = ()
    token: str | None = None
    ahead_of: Batch | None = None


ANY_BATCH = Choice()


class Ledger:
    """The batches of every monitor.

    Args:
        engine: of the store's database.
        texts: write the texts of alerts.
    """

    def __init__(self, engine: Engine, texts: AlertTexts) -> None:
        self.engine = engine
        self._texts = texts
        self._event_log = EventLog(texts)

    def fix_key(self, monitor: str, key: Sequence[str]) -> None:
        """Record the key columns of a monitor, or check that they are the recorded ones: batches are ranges of them.

        Raises:
            StoreError: If other key columns are recorded.
        """
        recorded_key = select(monitors.c.key_columns).where(monitors.c.monitor == monitor)
        with reading(self.engine) as connection:
            recorded = connection.scalar(recorded_key)
        if recorded is None:
            with writing(self.engine) as connection:
                lock_monitor(connection, monitor)
                connection.execute(update(monitors).where(monitors.c.monitor == monitor).values(key_columns=[*key]))
        elif recorded != [*key]:
            raise StoreError(_other_key(monitor, recorded, key))

    def watermark(self, monitor: str) -> Key | None:
        """Return the key up to which batches are planned, or None before the first."""
        newest = select(batches.c.upto_key).where(batches.c.monitor == monitor).order_by(batches.c.id.desc()).limit(1)
        with reading(self.engine) as connection:
            upto = connection.scalar(newest)
        return None if upto is None else load_key(upto)

    def last_range(self, monitor: str) -> KeyRange | None:
        """Return the key range of the newest batch, or None before the first."""
        c = batches.c
        newest = select(c.after_key, c.upto_key).where(c.monitor == monitor).order_by(c.id.desc()).limit(1)
        with reading(self.engine) as connection:
            row = connection.execute(newest).mappings().first()
        return None if row is None else key_range_of(row)

    def plan(self, monitor: str, key_range: KeyRange, at: datetime, model_id: int | None = None) -> bool:
        """Add a pending batch; return False if another planner was first.

        Args:
            monitor: the name of the monitor.
            key_range: of the batch.
            at: the time now.
            model_id: a model of the monitor, to detect that the monitor was renamed or deleted since it was read.

        Raises:
            NoChampion: If the model is not one of the monitor any longer.
        """
        row = {
            "monitor": monitor,
            "after_key": _START if key_range.after is None else dump_key(key_range.after),
            "upto_key": dump_key(key_range.upto),
            "state": "pending",
            "planned_at": at,
        }
        with writing(self.engine) as connection:
            if model_id is not None:
                _refuse_other_monitor(connection, monitor, model_id)
            try:
                with connection.begin_nested():
                    connection.execute(insert(batches).values(row))
            except IntegrityError:
                return False
        return True

    def claim(
        self, monitor: str, model_id: int, at: datetime, lease: timedelta, choice: Choice = ANY_BATCH
    ) -> Batch | None:
        """Claim the oldest batch, among the least tried, that is pending or whose lease has expired.

        Args:
            monitor: the name of the monitor.
            model_id: the model that will score the batch.
            at: the time now.
            lease: the duration of the lease.
            choice: which batch is claimed.

        Returns:
            The batch, or None if no batch can be claimed.
        """
        token = choice.token or str(uuid4())
        with writing(self.engine) as connection:
            row = _held_by(connection, monitor, choice.token)
            left = int(choice.ahead_of is not None)
            row = row or _lock_first(connection, _claimable(monitor, at, choice), at, left)
            if row is None:
                return None
            attempts = row["attempts"] + 1
            has_turn = row["has_turn"] and row["token"] == token  # which a killed process may have taken
            change = {"state": "running", "token": token, "lease_until": at + lease, "has_turn": has_turn}
            change |= {"model_id": model_id, "attempts": attempts, "error": None}
            connection.execute(update(batches).where(batches.c.id == row["id"]).values(change))
            is_overtaken = row["records"] is None and _has_later(connection, monitor, row["id"])
        return Batch(
            id=row["id"],
            monitor=monitor,
            key_range=key_range_of(row),
            model_id=model_id,
            token=token,
            attempts=attempts,
            planned_at=row["planned_at"],
            scored_before=row["records"],
            is_overtaken=is_overtaken,
        )

    def count_pending(self, monitor: str) -> int:
        """Return the number of pending batches."""
        c = batches.c
        count = select(func.count()).where(c.monitor == monitor, c.state == "pending")
        with reading(self.engine) as connection:
            return int(connection.scalar(count) or 0)

    def has_claimable(self, monitor: str, at: datetime, exclude: Collection[int] = ()) -> bool:
        """Return whether a batch can be claimed, other than the excluded ones."""
        c = batches.c
        claimable = select(c.id).where(c.monitor == monitor, is_free(at), c.id.not_in(exclude)).limit(1)
        with reading(self.engine) as connection:
            return connection.scalar(claimable) is not None

    def scored_until(self, monitor: str) -> datetime | None:
        """Return the newest record time scored, or None if no record with a time was scored."""
        with reading(self.engine) as connection:
            return connection.scalar(select(monitors.c.scored_until).where(monitors.c.monitor == monitor))

    def renew(self, batch: Batch, at: datetime, lease: timedelta) -> None:
        """Renew the lease of a claimed batch.

        Raises:
            LostLease: If another worker has claimed it.
        """
        with writing(self.engine) as connection:
            change_claimed(connection, batch, lease_until=at + lease)

    def finish(
        self,
        batch: Batch,
        result: BatchResult,
        at: datetime,
        rule: IncidentRule | None = None,
        *,
        context_rows: int = 0,
    ) -> None:
        """Write the result of a batch and its ledger row in one transaction.

        If the records of a series changed since the last scoring of the batch, the later batches that have them in
        their past are reopened.

        Args:
            batch: the claimed batch.
            result: replaces the result of an earlier scoring of the batch.
            at: the time now.
            rule: groups anomalies into incidents; None for no incidents.
            context_rows: the number of past records that a record of a series is scored with.

        Raises:
            LostLease: If another worker has claimed it; nothing is written then.
        """
        origin = Origin(batch.monitor, batch.model_id, batch.id, at)
        with writing(self.engine) as connection:
            lock_monitor(connection, batch.monitor)
            changed_entities = _changed_entities(connection, batch, result)
            found_before = count_unreadable(connection, batch.monitor, batch.id)
            change_claimed(connection, batch, **_finished(batch, result, at, found_before))
            replace_unreadable(connection, batch.monitor, batch.id, result.unreadable, self._event_log, at)
            changed_times = write_result(connection, result, origin)
            if batch.scored_before is None:
                channels = () if rule is None else rule.alerts.channels
                changes = result.threshold_changes
                report_usual_levels(connection, batch.monitor, changes, self._event_log, channels, at)
            if rule is not None:
                changed_times = count_in_row(connection, origin, result.entity_counts, changed_times, rule)
                refresh_incidents(connection, batch.monitor, changed_times, rule, self._texts, at)
            if result.rhythms is not None and batch.scored_before is None:
                learn_rhythms(connection, batch.monitor, result.rhythms, result.records, at)
            if result.newest_time is not None:  # a clock that runs ahead must not hide that a source stops sending
                _advance(connection, batch.monitor, min(result.newest_time, at))
            if changed_entities:
                reopen_dependent_batches(connection, batch.monitor, batch.id, changed_entities, context_rows)

    def release(self, batch: Batch, error: str | None = None) -> None:
        """Return a claimed batch to the ledger unfinished, with the error that stopped it.

        Raises:
            LostLease: If another worker has claimed it.
        """
        with writing(self.engine) as connection:
            change_claimed(connection, batch, state="pending", token=None, lease_until=None, error=error)

    def give_back(self, batch: Batch) -> None:
        """Return a claimed batch of which nothing was scored; the claim does not count as an attempt.

        Raises:
            LostLease: If another worker has claimed it.
        """
        change = {"state": "pending", "token": None, "lease_until": None, "attempts": batches.c.attempts - 1}
        with writing(self.engine) as connection:
            change_claimed(connection, batch, **change)


def next_recount(planned_at: datetime, at: datetime) -> datetime:
    """Return when to recount a batch that is read or counted now.

    The wait is a tenth of the batch's age at its end. So a record that comes late by some time is found little more
    than that time later, and the number of recounts grows with the logarithm of the age.
    """
    return at + max(at - planned_at, timedelta(0)) / (_RECOUNTS_PER_AGE - 1)


def key_range_of(row: RowMapping) -> KeyRange:
    """Return the key range of a row of the ledger."""
    after = row["after_key"]
    return KeyRange(None if after == _START else load_key(after), load_key(row["upto_key"]))


def _other_key(monitor: str, recorded: Sequence[str], key: Sequence[str]) -> str:
    return (
        f"The batches of monitor {monitor!r} are ranges of {', '.join(recorded)}, and config.toml now has the key "
        f"{', '.join(key)}, so new records cannot be recognised. Undo the change, or watch the table "
        "under another name. If the column was only renamed, correct its name in the store: "
        f"UPDATE monitors SET key_columns = '{json.dumps([*key])}' WHERE monitor = '{monitor}'"
    )


def _refuse_other_monitor(connection: Connection, monitor: str, model_id: int) -> None:
    """Lock the row of a model, so that its monitor is not renamed before the transaction ends.

    Raises:
        NoChampion: If the model is not one of the monitor.
    """
    of_model = select(models.c.monitor).where(models.c.id == model_id).with_for_update(read=True)
    if connection.scalar(of_model) != monitor:
        raise NoChampion(monitor)


def is_free(at: datetime) -> ColumnElement[bool]:
    """Return the condition of a batch that can be claimed."""
    c = batches.c
    return or_(c.state == "pending", and_(c.state == "running", c.lease_until < at))


def precedes(batch: Batch) -> ColumnElement[bool]:
    """Return the condition of the batches that are claimed before a batch if batches go in order."""
    c = batches.c
    is_new = c.finished_at.is_(None)
    return and_(is_new, c.id < batch.id) if batch.scored_before is None else or_(is_new, c.id < batch.id)


def _held_by(connection: Connection, monitor: str, token: str | None) -> RowMapping | None:
    """Lock the batch that is claimed with a token, and return its row; None if there is none."""
    if token is None:
        return None
    c = batches.c
    held = select(batches).where(c.monitor == monitor, c.state == "running", c.token == token)
    return connection.execute(held.with_for_update()).mappings().first()


def _claimable(monitor: str, at: datetime, choice: Choice) -> Select[tuple[int]]:
    """Return the select of the ids of batches that can be claimed; new records come before those to rescore."""
    c = batches.c
    order = (c.finished_at.is_not(None), *([] if choice.in_order else [c.attempts]), c.id)
    ids = select(c.id).where(c.monitor == monitor, is_free(at), c.id.not_in(choice.exclude))
    if choice.in_order and choice.ahead_of is not None:
        ids = ids.where(not_(precedes(choice.ahead_of)))
    return ids.order_by(*order).limit(_MAX_CLAIMS_AT_ONCE)


def _lock_first(connection: Connection, ids: Select[tuple[int]], at: datetime, left: int) -> RowMapping | None:
    """Lock the first batch that no other worker is claiming, and return its row; None if no more than `left` are free.

    One by one, as some databases lock every row that they sort. SQLite admits one writer at a time anyway.
    """
    free = connection.scalars(ids).all()
    for batch_id in free if len(free) > left else ():
        is_claimable = and_(batches.c.id == batch_id, is_free(at))
        statement = select(batches).where(is_claimable).with_for_update(skip_locked=True)
        row = connection.execute(statement).mappings().first()
        if row is not None:
            return row
    return None


def _has_later(connection: Connection, monitor: str, batch_id: int) -> bool:
    """Return whether a later batch is being scored, or was."""
    c = batches.c
    later = select(c.id).where(c.monitor == monitor, c.id > batch_id, c.state.in_(("running", "done"))).limit(1)
    return connection.scalar(later) is not None


def _changed_entities(connection: Connection, batch: Batch, result: BatchResult) -> set[str]:
    """Return the entities of a batch if its records changed since its last scoring; otherwise none.

    Of a batch that has not been scored, later ones may have read its records before they changed.
    """
    if result.entities is None or result.fingerprint is None:
        return set()
    if batch.scored_before is None:
        return {*result.entities} if batch.is_overtaken else set()
    c = batches.c
    statement = select(c.entities, c.counted, c.checksum, c.has_changed).where(c.id == batch.id)
    before = connection.execute(statement).one()
    if before.entities is None:  # it was scored before the ledger kept them
        return set()
    is_changed = before.has_changed or result.fingerprint.differs_from(Fingerprint(before.counted, before.checksum))
    return {*before.entities, *result.entities} if is_changed else set()


def _finished(batch: Batch, result: BatchResult, at: datetime, found_before: int) -> dict[str, Any]:
    """Return the new values of a finished batch, which had some unreadable records at its earlier scoring."""
    fingerprint = result.fingerprint or Fingerprint(result.records)
    came = result.records + len(result.unreadable) - (batch.scored_before or 0) - found_before
    is_rescored = batch.scored_before is not None
    return {
        "state": "done",
        "finished_at": at,
        "records": result.records,
        "anomalies": len(result.anomalies),
        "lease_until": None,
        "counted": fingerprint.records,
        "checksum": fingerprint.checksum,
        "recounted_at": at,
        "recount_at": next_recount(batch.planned_at, at),
        "rescorings": batches.c.rescorings + int(is_rescored),
        "entities": result.entities,
        "has_changed": False,
        "late_records": batches.c.late_records + max(0, came) * is_rescored,
    }


def _advance(connection: Connection, monitor: str, newest: datetime) -> None:
    """Record the newest record time scored; it never goes back."""
    c = monitors.c
    is_newer = or_(c.scored_until.is_(None), c.scored_until < newest)
    connection.execute(update(monitors).where(c.monitor == monitor, is_newer).values(scored_until=newest))


def change_claimed(connection: Connection, batch: Batch, **values: Any) -> None:
    """Change the row of a claimed batch, if its token shows that it is still ours.

    Raises:
        LostLease: If another worker has claimed it.
    """
    is_ours = and_(batches.c.id == batch.id, batches.c.token == batch.token, batches.c.state == "running")
    change: Update = update(batches).where(is_ours).values(**values)
    if connection.execute(change).rowcount != 1:
        raise LostLease(batch.id)
