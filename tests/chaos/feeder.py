"""Writes into the watched table while it is scored: new records, late ones, corrections, deletions."""

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

_RECORDS = 40_000  # more than the processes get through
_AHEAD = 12  # batches that wait are enough
_HELD_BACK = 0.06  # share of records that commit after later ones

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
    """A thread that writes, from one seed, until it is finished.

    Args:
        engine: of the database with the watched table.
        seed: of what it does.
    """

    def __init__(self, engine, seed):
        self._engine, self._rng = engine, random.Random(seed)
        self._rows = _rows(seed)
        self._next, self._late, self._there = 0, [], []
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
        """Write what was held back, and end."""
        self._is_over.set()
        self._thread.join()
        if self._failure is not None:
            raise self._failure
        self._insert_late(len(self._late))

    def _run(self):
        try:
            while not self._is_over.wait(0.02):
                if self._waiting() < _AHEAD:
                    self._insert_new(self._rng.randint(10, 60))
                action = self._rng.choice([self._insert_late, self._correct, self._delete, None, None, None])
                if action is not None and self._there:
                    action(self._rng.randint(1, 3))
        except Exception as exc:  # noqa: BLE001 - it is raised where the feeder is finished
            self._failure = exc

    def _waiting(self):
        wanted = select(func.count()).select_from(batches).where(batches.c.state != "done")
        return self._do(lambda connection: connection.scalar(wanted))

    def _insert_new(self, count):
        rows = self._rows[self._next : self._next + count]
        self._next += len(rows)
        is_late = [self._rng.random() < _HELD_BACK for _ in rows]
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
        # A crash may hide that it was committed; it is then done again.
        statement = dialect.insert(TABLE).on_conflict_do_nothing()
        self._do(lambda connection: connection.execute(statement, values))
        self._there += [row["id"] for row in rows]
        self.counts["inserted"] += len(rows)

    def _correct(self, count):
        keys = self._some(count)
        change = {"pressure": round(self._rng.uniform(0, 12), 3), "changed_at": self._stored(datetime.now(UTC))}
        self._do(lambda connection: connection.execute(update(TABLE).where(TABLE.c.id.in_(keys)).values(change)))
        self.counts["corrected"] += len(keys)

    def _delete(self, count):
        keys = self._some(count)
        self._do(lambda connection: connection.execute(delete(TABLE).where(TABLE.c.id.in_(keys))))
        self._there = [key for key in self._there if key not in keys]
        self.counts["deleted"] += len(keys)

    def _some(self, count):
        return self._rng.sample(self._there, min(count, len(self._there)))

    def _do(self, action):
        """Do something in a transaction, again and again while the database is away."""
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
    """Readings with faults, alone and in bursts."""
    rng = np.random.default_rng(seed)
    starts = rng.choice(np.arange(1, _RECORDS - 20), size=_RECORDS // 100, replace=False)
    bursts = [start + 2 * step for start in starts for step in range(rng.integers(1, 6))]
    frame = readings(_RECORDS, bursts, seed=int(rng.integers(1 << 30)))
    return [row | {"read_at": row["read_at"].to_pydatetime()} for row in frame.to_dict("records")]
