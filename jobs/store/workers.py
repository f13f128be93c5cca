"""Processes that serve: their heartbeats, and their next scheduled runs."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, Engine, and_, delete, insert, select, update

from jobs.databases import reading, writing
from jobs.store.paging import columns_of
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
        engine: of the store's database.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def record_heartbeat(self, worker: Worker, next_runs: Mapping[str, datetime], at: datetime) -> None:
        """Record a heartbeat and the next scheduled run of each monitor."""
        change = {"seen_at": at, "next_runs": {name: time.isoformat() for name, time in next_runs.items()}}
        with writing(self.engine) as connection:
            result = connection.execute(update(workers).where(workers.c.id == worker.id).values(change))
            if not result.rowcount:
                connection.execute(insert(workers).values(asdict(worker) | change))

    def record_stop(self, worker_id: str, at: datetime) -> None:
        """Record that a process has shut down as requested."""
        with writing(self.engine) as connection:
            change = {"stopped_at": at, "seen_at": at, "next_runs": {}}
            connection.execute(update(workers).where(workers.c.id == worker_id).values(change))

    def forget(self, seen_before: datetime) -> int:
        """Delete the processes whose last heartbeat was before a time, and return their number."""
        with writing(self.engine) as connection:
            return connection.execute(delete(workers).where(workers.c.seen_at < seen_before)).rowcount

    def close_lost_runs(self, seen_before: datetime, at: datetime) -> int:
        """Record as interrupted the open runs of processes with no heartbeat since a time, and return their number."""
        alive = select(workers.c.id).where(_is_alive(seen_before))
        is_lost = and_(runs.c.finished_at.is_(None), runs.c.worker.is_not(None), runs.c.worker.not_in(alive))
        change = {"outcome": "interrupted", "finished_at": at, "message": "The process that ran it has ended."}
        with writing(self.engine) as connection:
            return connection.execute(update(runs).where(is_lost).values(change)).rowcount

    def alive(self, seen_since: datetime) -> list[Worker]:
        """Return the processes that have not stopped, and have sent a heartbeat since a time."""
        statement = select(*columns_of(workers, Worker)).where(_is_alive(seen_since))
        with reading(self.engine) as connection:
            rows = connection.execute(statement.order_by(workers.c.started_at, workers.c.id))
            return [Worker(**row) for row in rows.mappings()]

    def next_runs(self, seen_since: datetime) -> dict[str, datetime]:
        """Return the next run of each monitor, by whichever process that has sent a heartbeat since a time."""
        with reading(self.engine) as connection:
            return read_next_runs(connection, seen_since)


def read_next_runs(connection: Connection, seen_since: datetime) -> dict[str, datetime]:
    """Return the next run of each monitor, by whichever process that has sent a heartbeat since a time."""
    schedules = connection.scalars(select(workers.c.next_runs).where(_is_alive(seen_since))).all()
    times = [(name, datetime.fromisoformat(time)) for schedule in schedules for name, time in schedule.items()]
    return dict(sorted(times, key=lambda item: item[1], reverse=True))


def _is_alive(seen_since: datetime) -> ColumnElement[bool]:
    return and_(workers.c.seen_at >= seen_since, workers.c.stopped_at.is_(None))
