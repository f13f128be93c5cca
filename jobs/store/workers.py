"""The processes that serve, as rows of the store: who lives, and what it will run next."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import Engine, and_, delete, insert, select, update

from jobs.databases import reading, writing
from schemas.tables import runs, workers


@dataclass(frozen=True)
class Worker:
    """A process that serves."""

    id: str
    host: str
    pid: int
    version: str
    started_at: datetime


class Workers:
    """The processes that serve.

    Args:
        engine: the store's.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def beat(self, worker: Worker, next_runs: Mapping[str, datetime], at: datetime) -> None:
        """Record that a process lives, and when it runs each monitor next."""
        change = {"seen_at": at, "next_runs": {name: time.isoformat() for name, time in next_runs.items()}}
        with writing(self.engine) as connection:
            seen = connection.execute(update(workers).where(workers.c.id == worker.id).values(change))
            if not seen.rowcount:
                connection.execute(insert(workers).values(asdict(worker) | change))

    def stop(self, worker_id: str, at: datetime) -> None:
        """Record that a process has ended as it was asked to."""
        with writing(self.engine) as connection:
            change = {"stopped_at": at, "seen_at": at, "next_runs": {}}
            connection.execute(update(workers).where(workers.c.id == worker_id).values(change))

    def forget(self, seen_before: datetime) -> int:
        """Delete processes that were last seen before a time; how many."""
        with writing(self.engine) as connection:
            return connection.execute(delete(workers).where(workers.c.seen_at < seen_before)).rowcount

    def close_lost_runs(self, seen_before: datetime, at: datetime) -> int:
        """Record as interrupted the open runs of processes that were last seen before a time; how many."""
        lives = select(workers.c.id).where(workers.c.seen_at >= seen_before, workers.c.stopped_at.is_(None))
        is_lost = and_(runs.c.finished_at.is_(None), runs.c.worker.is_not(None), runs.c.worker.not_in(lives))
        change = {"outcome": "interrupted", "finished_at": at, "message": "The process that ran it has ended."}
        with writing(self.engine) as connection:
            return connection.execute(update(runs).where(is_lost).values(change)).rowcount

    def alive(self, seen_since: datetime) -> list[Worker]:
        """The processes that live: not stopped, and seen since a time."""
        columns = [workers.c[name] for name in Worker.__dataclass_fields__]
        lives = and_(workers.c.seen_at >= seen_since, workers.c.stopped_at.is_(None))
        with reading(self.engine) as connection:
            rows = connection.execute(select(*columns).where(lives).order_by(workers.c.started_at, workers.c.id))
            return [Worker(**row) for row in rows.mappings()]

    def next_runs(self, seen_since: datetime) -> dict[str, datetime]:
        """When each monitor is run next, by whichever process that was seen since a time."""
        lives = and_(workers.c.seen_at >= seen_since, workers.c.stopped_at.is_(None))
        with reading(self.engine) as connection:
            planned = connection.scalars(select(workers.c.next_runs).where(lives)).all()
        times = [(name, datetime.fromisoformat(time)) for runs in planned for name, time in runs.items()]
        return dict(sorted(times, key=lambda item: item[1], reverse=True))
