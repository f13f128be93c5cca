"""Turns: batches that go in order are scored side by side, and decide one after another which records are flagged.

The order is that of claims: new records before those to rescore, and older batches before newer ones.
"""

from datetime import datetime
from typing import Literal, TypeAlias

from sqlalchemy import Connection, Engine, and_, func, or_, select, update

from jobs.databases import reading, writing
from jobs.store.ledger import Batch, change_claimed, is_free, precedes
from jobs.store.locking import lock_monitor
from schemas.errors import LostLease
from schemas.tables import batches

Answer: TypeAlias = Literal["taken", "wait", "give_way"]
"""wait: workers have batches that come before; give_way: no worker has one of them, so it has to be scored first."""


class Turns:
    """The turns of batches that continue from the state of the batch before.

    Args:
        engine: of the store's database.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def take(self, batch: Batch, at: datetime) -> Answer:
        """Take the turn of a claimed batch if all batches before it are done and no other batch has its turn.

        The turn ends with the claim. A worker whose lease has run out loses its turn, and its batch.

        Raises:
            LostLease: If another worker has claimed the batch.
        """
        with reading(self.engine) as connection:
            answer = _answer(connection, batch, at)
        if answer != "taken":
            return answer
        with writing(self.engine) as connection:
            lock_monitor(connection, batch.monitor)
            _end_expired_turns(connection, batch, at)  # before the answer: a holder may renew its lease meanwhile
            answer = _answer(connection, batch, at)
            if answer == "taken":
                change_claimed(connection, batch, has_turn=True)
        return answer

    def count_unfinished(self, monitor: str) -> int:
        """Return the number of batches that are not done."""
        c = batches.c
        count = select(func.count()).where(c.monitor == monitor, c.state.in_(("pending", "running")))
        with reading(self.engine) as connection:
            return int(connection.scalar(count) or 0)


def _answer(connection: Connection, batch: Batch, at: datetime) -> Answer:
    c = batches.c
    ours = select(c.id).where(c.id == batch.id, c.token == batch.token, c.state == "running")
    others = select(c.id).where(c.monitor == batch.monitor, c.id != batch.id)
    before = others.where(c.state.in_(("pending", "running")), precedes(batch))
    in_turn = others.where(c.state == "running", c.has_turn, c.lease_until >= at)
    free = before.where(is_free(at))
    questions = select(ours.exists(), free.exists(), or_(before.exists(), in_turn.exists()))
    is_ours, has_to_give_way, has_to_wait = connection.execute(questions).one()
    if not is_ours:
        raise LostLease(batch.id)
    if has_to_give_way:
        return "give_way"
    return "wait" if has_to_wait else "taken"


def _end_expired_turns(connection: Connection, batch: Batch, at: datetime) -> None:
    """Take their batches from other workers that are too late, so that none finishes during the turn of another."""
    c = batches.c
    is_other = and_(c.monitor == batch.monitor, c.id != batch.id)
    is_expired = and_(is_other, c.state == "running", c.has_turn, c.lease_until < at)
    connection.execute(update(batches).where(is_expired).values(state="pending", token=None))
