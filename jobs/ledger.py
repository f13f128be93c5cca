"""The ledger: batches from planned to done, each finished once in effect."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, Engine, RowMapping, Update, and_, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from jobs.databases import reading, writing
from jobs.results import BatchResult, Origin, write_result
from schemas.errors import LostLease
from schemas.keys import Key, KeyRange, dump_key, load_key
from schemas.tables import batches

_START = ""  # the after_key of a table's first batch


@dataclass(frozen=True)
class Batch:
    """A batch that this worker has claimed."""

    id: int
    monitor: str
    key_range: KeyRange
    model_id: int
    token: str
    attempts: int


class Ledger:
    """The batches of every monitor.

    Args:
        engine: the store's.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def watermark(self, monitor: str) -> Key | None:
        """The key up to which batches are planned; None before the first."""
        newest = select(batches.c.upto_key).where(batches.c.monitor == monitor).order_by(batches.c.id.desc()).limit(1)
        with reading(self.engine) as connection:
            upto = connection.scalar(newest)
        return None if upto is None else load_key(upto)

    def plan_batch(self, monitor: str, key_range: KeyRange, at: datetime) -> bool:
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

    def claim_batch(self, monitor: str, model_id: int, at: datetime, lease: timedelta) -> Batch | None:
        """Take the oldest batch that is pending or whose lease ran out; None where there is none."""
        token = str(uuid4())
        with writing(self.engine) as connection:
            row = connection.execute(_claimable(monitor, at)).mappings().first()
            if row is None:
                return None
            attempts = row["attempts"] + 1
            change = {"state": "running", "token": token, "lease_until": at + lease, "model_id": model_id}
            connection.execute(
                update(batches).where(batches.c.id == row["id"]).values(**change, attempts=attempts, error=None)
            )
        return Batch(row["id"], monitor, _key_range(row), model_id, token, attempts)

    def renew_lease(self, batch: Batch, at: datetime, lease: timedelta) -> None:
        """Hold a claimed batch for longer.

        Raises:
            LostLease: where another worker has taken it over.
        """
        with writing(self.engine) as connection:
            _change(connection, batch, lease_until=at + lease)

    def finish_batch(self, batch: Batch, result: BatchResult, at: datetime) -> None:
        """Write everything a batch found, and its ledger row, together.

        Raises:
            LostLease: where another worker has taken it over; nothing is written then.
        """
        with writing(self.engine) as connection:
            _change(
                connection,
                batch,
                state="done",
                finished_at=at,
                records=result.records,
                anomalies=len(result.anomalies),
                lease_until=None,
            )
            write_result(connection, result, Origin(batch.monitor, batch.model_id, batch.id, at))

    def release_batch(self, batch: Batch, error: str | None = None) -> None:
        """Give a claimed batch back unfinished, with the reason.

        Raises:
            LostLease: where another worker has taken it over.
        """
        with writing(self.engine) as connection:
            _change(connection, batch, state="pending", token=None, lease_until=None, error=error)


def _claimable(monitor: str, at: datetime) -> Any:
    c = batches.c
    is_free = or_(c.state == "pending", and_(c.state == "running", c.lease_until < at))
    # Where rows can be locked a second worker skips this one; SQLite admits one writer at a time anyway.
    return (
        select(batches).where(c.monitor == monitor, is_free).order_by(c.id).limit(1).with_for_update(skip_locked=True)
    )


def _change(connection: Connection, batch: Batch, **values: Any) -> None:
    """Change the row of a claimed batch, whose token says that it is still ours."""
    is_ours = and_(batches.c.id == batch.id, batches.c.token == batch.token, batches.c.state == "running")
    change: Update = update(batches).where(is_ours).values(**values)
    if connection.execute(change).rowcount != 1:
        raise LostLease(batch.id)


def _key_range(row: RowMapping) -> KeyRange:
    after = row["after_key"]
    return KeyRange(None if after == _START else load_key(after), load_key(row["upto_key"]))
