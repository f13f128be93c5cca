"""Writes into the watched table while it is scored: new and late records, corrections, deletions."""

import random
import threading
from datetime import UTC, datetime

import numpy as np
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Double,
    Integer,
    MetaData,
    Table,
    Text,
    delete,
    func,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError

from schemas.tables import batches
from tests.workspace import readings

_RECORDS = 40_000  # more than the processes can score
_MAX_WAITING_BATCHES = 12
_LATE_SHARE = 0.06  # of records, which commit after later records

TABLE = Table(
    "pump_readings",
    MetaData(),
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("read_at", DateTime(timezone=True)),
    Column("pump", Text),
    Column("flow", Double),
    Column("pressure", Double),
    Column("is_open", Boolean),
    Column("mode", Text),
    Column("is_fault", Integer),
    Column("changed_at", DateTime(timezone=True)),
)


class Feeder:
    """A thread that writes until it is finished, with all randomness from one seed.

    Args:
        engine: of the database with the watched table.
        seed: of its writes.
    """

    def __init__(self, engine, seed):
        self._engine, self._rng = engine, random.Random(seed)
        self._rows = _rows(seed)
        self._next, self._late, self._keys = 0, [], []
        self.counts = {"inserted": 0, "late": 0, "corrected": 0, "deleted": 0}
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="feeder")
        self._failure, self._is_abandoned = None, False

    def __enter__(self):
        with self._engine.begin() as connection:
            TABLE.create(connection)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._is_abandoned = True
        self._is_over.set()
        self._thread.join()

    def finish(self):
        """End the thread, and write the late records that remain."""
        self._is_over.set()
        self._thread.join()
        if self._failure is not None:
            raise self._failure
        self._insert_late(len(self._late))

    def _run(self):
        try:
            while not self._is_over.wait(0.02):
                if self._waiting() < _MAX_WAITING_BATCHES:
                    self._insert_new(self._rng.randint(10, 60))
                action = self._rng.choice([self._insert_late, self._correct, self._delete, None, None, None])
                if action is not None and self._keys:
                    action(self._rng.randint(1, 3))
        except Exception as exc:  # noqa: BLE001 - raised in `finish`
            self._failure = exc

    def _waiting(self):
        waiting = select(func.count()).select_from(batches).where(batches.c.state != "done")
        return self._do(lambda connection: connection.scalar(waiting))

    def _insert_new(self, count):
        rows = self._rows[self._next : self._next + count]
        self._next += len(rows)
        is_late = [self._rng.random() < _LATE_SHARE for _ in rows]
        self._late += [row for row, late in zip(rows, is_late, strict=True) if late]
        self._insert([row for row, late in zip(rows, is_late, strict=True) if not late])

    def _insert_late(self, count):
        self._rng.shuffle(self._late)
        rows, self._late = self._late[:count], self._late[count:]
        self._insert(rows)
        self.counts["late"] += len(rows)

    def _insert(self, rows):
        if not rows:
            return
        now = self._stored(datetime.now(UTC))
        values = [row | {"read_at": self._stored(row["read_at"]), "changed_at": now} for row in rows]
        dialect = postgresql if self._engine.dialect.name == "postgresql" else sqlite
        # A crash may hide a commit; the insert is then repeated.
        statement = dialect.insert(TABLE).on_conflict_do_nothing()
        self._do(lambda connection: connection.execute(statement, values))
        self._keys += [row["id"] for row in rows]
        self.counts["inserted"] += len(rows)

    def _correct(self, count):
        keys = self._some(count)
        change = {"pressure": round(self._rng.uniform(0, 12), 3), "changed_at": self._stored(datetime.now(UTC))}
        self._do(lambda connection: connection.execute(update(TABLE).where(TABLE.c.id.in_(keys)).values(change)))
        self.counts["corrected"] += len(keys)

    def _delete(self, count):
        keys = self._some(count)
        self._do(lambda connection: connection.execute(delete(TABLE).where(TABLE.c.id.in_(keys))))
        self._keys = [key for key in self._keys if key not in keys]
        self.counts["deleted"] += len(keys)

    def _some(self, count):
        return self._rng.sample(self._keys, min(count, len(self._keys)))

    def _do(self, action):
        """Run an action in a transaction, and repeat it while the database is unavailable."""
        while True:
            try:
                with self._engine.begin() as connection:
                    return action(connection)
            except DBAPIError:
                if self._is_abandoned:
                    raise
                self._engine.dispose()
                threading.Event().wait(0.1)

    def _stored(self, time):
        return time if self._engine.dialect.name == "postgresql" else time.replace(tzinfo=None)


def _rows(seed):
    """Return readings with faults, alone and in bursts."""
    rng = np.random.default_rng(seed)
    starts = rng.choice(np.arange(1, _RECORDS - 20), size=_RECORDS // 100, replace=False)
    bursts = [start + 2 * step for start in starts for step in range(rng.integers(1, 6))]
    frame = readings(_RECORDS, bursts, seed=int(rng.integers(1 << 30)))
    return [row | {"read_at": row["read_at"].to_pydatetime()} for row in frame.to_dict("records")]
