"""Writes into a watched table while it is scored: new and late records, corrections, deletions."""

import random
import threading
from datetime import UTC, datetime

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.exc import DBAPIError

from schemas.tables import batches

_MAX_WAITING_RECORDS = 240
_LATE_SHARE = 0.06  # of records, which commit after later records
_DIALECTS = {"postgresql": postgresql, "sqlite": sqlite, "mysql": mysql}


class Feeder:
    """A thread that writes until it is finished, with all randomness from one seed.

    Args:
        store: engine of the store, whose ledger shows how far the table is scored.
        source: engine of the database with the watched table.
        fed: the table; records are only appended if its monitor has no column to change.
        seed: of its writes.
    """

    def __init__(self, store, source, fed, seed):
        self._store, self._source, self._rng = store, source, random.Random(seed)
        self._watched, self._table, self._step = fed.watched, fed.watched.table, fed.step
        self._rows, self._first = fed.make(seed), fed.first
        self._next, self._late, self._keys = 0, [], []
        self.counts = {"inserted": 0, "late": 0, "corrected": 0, "deleted": 0}
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="feeder")
        self._failure, self._is_abandoned = None, False

    def __enter__(self):
        with self._source.begin() as connection:
            self._table.create(connection)
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
        changes = [self._insert_late, self._correct, self._delete, None, None, None]
        try:
            self._insert_new(self._first)
            while not self._is_over.wait(0.02):
                if self._waiting() < _MAX_WAITING_RECORDS:
                    self._insert_new(self._rng.randint(10, self._step))
                action = self._rng.choice(changes) if self._watched.changes else None
                if action is not None and self._keys:
                    action(self._rng.randint(1, 3))
        except Exception as exc:  # noqa: BLE001 - raised in `finish`
            self._failure = exc

    def _waiting(self):
        """Return the number of records that are not scored yet."""
        is_scored = (batches.c.state == "done") & (batches.c.monitor == self._watched.name)
        scored = select(func.coalesce(func.sum(batches.c.records), 0)).where(is_scored)
        return len(self._keys) - int(self._do(lambda connection: connection.scalar(scored), self._store))

    def _insert_new(self, count):
        rows = self._rows[self._next : self._next + count]
        self._next += len(rows)
        late_share = _LATE_SHARE if self._watched.changes else 0
        is_late = [self._rng.random() < late_share for _ in rows]
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
        statement = _DIALECTS[self._source.dialect.name].insert(self._table)
        # A crash may hide a commit; the insert is then repeated.
        is_mysql = self._source.dialect.name == "mysql"
        statement = statement.prefix_with("IGNORE") if is_mysql else statement.on_conflict_do_nothing()
        self._do(lambda connection: connection.execute(statement, values))
        self._keys += [row["id"] for row in rows]
        self.counts["inserted"] += len(rows)

    def _correct(self, count):
        keys = self._some(count)
        change = {self._watched.changes: round(self._rng.uniform(0, 12), 3)}
        change["changed_at"] = self._stored(datetime.now(UTC))
        is_chosen = self._table.c.id.in_(keys)
        self._do(lambda connection: connection.execute(update(self._table).where(is_chosen).values(change)))
        self.counts["corrected"] += len(keys)

    def _delete(self, count):
        keys = self._some(count)
        is_chosen = self._table.c.id.in_(keys)
        self._do(lambda connection: connection.execute(delete(self._table).where(is_chosen)))
        self._keys = [key for key in self._keys if key not in keys]
        self.counts["deleted"] += len(keys)

    def _some(self, count):
        """Return keys to change; the first records stay, for trainings."""
        keys = [key for key in self._keys if key > self._first]
        return self._rng.sample(keys, min(count, len(keys)))

    def _do(self, action, engine=None):
        """Run an action in a transaction of the source unless another engine is given; repeat it until it succeeds."""
        engine = engine or self._source
        while True:
            try:
                with engine.begin() as connection:
                    return action(connection)
            except DBAPIError:
                if self._is_abandoned:
                    raise
                engine.dispose()
                threading.Event().wait(0.1)

    def _stored(self, time):
        return time if self._source.dialect.name == "postgresql" else time.replace(tzinfo=None)
