"""Runs of jobs, and the status of a monitor."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, and_, func, select, update

from jobs.databases import reading, writing
from jobs.store.labelled import is_labelled
from jobs.store.numbering import insert_numbered
from jobs.store.paging import columns_of
from schemas.keys import Key, load_key
from schemas.tables import anomalies, batches, models, runs

_KINDS = ("train", "score")


@dataclass(frozen=True)
class Run:
    """One execution of a job; it has no outcome until it ends."""

    id: int
    monitor: str
    kind: str
    started_at: datetime
    finished_at: datetime | None
    outcome: str | None
    message: str | None
    counts: Mapping[str, Any] | None


@dataclass(frozen=True)
class MonitorStatus:
    """The status of a monitor."""

    monitor: str
    champion_id: int | None
    champion_since: datetime | None
    watermark: Key | None
    records: int
    """Number of records scored."""
    anomalies: int
    open_anomalies: int
    late_records: int
    """Number of records that came late, and were scored when their batches were rescored."""
    pending_batches: int
    running_batches: int
    last_runs: Mapping[str, Run]
    """The newest run of each kind."""


@dataclass(frozen=True)
class _BatchCounts:
    """Totals of the batches of a monitor in one state."""

    batches: int = 0
    records: int = 0
    anomalies: int = 0
    late_records: int = 0


class Runs:
    """The runs of every monitor.

    Args:
        engine: of the store's database.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def start(
        self,
        monitor: str,
        kind: str,
        at: datetime,
        *,
        scheduled_for: datetime | None = None,
        worker: str | None = None,
    ) -> int:
        """Record the start of a job, with its scheduled time and its process, and return the id of the run."""
        row = {"monitor": monitor, "kind": kind, "started_at": at, "scheduled_for": scheduled_for, "worker": worker}
        with writing(self.engine) as connection:
            return insert_numbered(connection, runs, row)

    def finish(
        self, run_id: int, outcome: str, message: str | None, counts: Mapping[str, Any] | None, at: datetime
    ) -> None:
        """Record the outcome of a run."""
        change = {"outcome": outcome, "message": message, "counts": counts, "finished_at": at}
        with writing(self.engine) as connection:
            connection.execute(update(runs).where(runs.c.id == run_id).values(change))

    def last_started(self, monitor: str, kind: str) -> datetime | None:
        """Return the start of the newest run of a kind, or None if there was none."""
        statement = select(runs.c.started_at).where(runs.c.monitor == monitor, runs.c.kind == kind)
        with reading(self.engine) as connection:
            return connection.scalar(statement.order_by(runs.c.started_at.desc()).limit(1))

    def was_served(self, monitor: str) -> bool:
        """Return whether a process that serves has ever begun to score a monitor."""
        c = runs.c
        statement = select(c.id).where(c.monitor == monitor, c.kind == "score", c.worker.is_not(None))
        with reading(self.engine) as connection:
            return connection.scalar(statement.limit(1)) is not None

    def status(self, monitor: str) -> MonitorStatus:
        """Return the champion, progress, anomalies and last runs of a monitor."""
        with reading(self.engine) as connection:
            champion = _champion(connection, monitor)
            states = _batch_counts(connection, monitor)
            flagged = sum(state.anomalies for state in states.values())
            return MonitorStatus(
                monitor=monitor,
                champion_id=champion[0],
                champion_since=champion[1],
                watermark=_watermark(connection, monitor),
                records=states.get("done", _BatchCounts()).records,
                anomalies=flagged,
                open_anomalies=max(0, flagged - _labelled(connection, monitor)),
                late_records=sum(state.late_records for state in states.values()),
                pending_batches=states.get("pending", _BatchCounts()).batches,
                running_batches=states.get("running", _BatchCounts()).batches,
                last_runs=_last_runs(connection, monitor),
            )


def _champion(connection: Connection, monitor: str) -> tuple[int | None, datetime | None]:
    c = models.c
    statement = select(c.id, c.promoted_at).where(c.monitor == monitor, c.state == "champion")
    row = connection.execute(statement).first()
    return (None, None) if row is None else (row.id, row.promoted_at)


def _batch_counts(connection: Connection, monitor: str) -> dict[str, _BatchCounts]:
    """Return the totals of the batches by state."""
    c = batches.c
    sums = [func.coalesce(func.sum(column), 0) for column in (c.records, c.anomalies, c.late_records)]
    rows = connection.execute(select(c.state, func.count(), *sums).where(c.monitor == monitor).group_by(c.state))
    return {state: _BatchCounts(*map(int, totals)) for state, *totals in rows}


def _labelled(connection: Connection, monitor: str) -> int:
    """Return the number of current flagged rows that have a label."""
    c = anomalies.c
    is_counted = and_(c.monitor == monitor, is_labelled(), c.superseded_at.is_(None))
    return int(connection.scalar(select(func.count()).where(is_counted)) or 0)


def _watermark(connection: Connection, monitor: str) -> Key | None:
    c = batches.c
    upto = connection.scalar(select(c.upto_key).where(c.monitor == monitor).order_by(c.id.desc()).limit(1))
    return None if upto is None else load_key(upto)


def _last_runs(connection: Connection, monitor: str) -> dict[str, Run]:
    """Return the newest run of each kind, by one look-up in an index for each."""
    newest = {}
    for kind in _KINDS:
        of_kind = select(*columns_of(runs, Run)).where(runs.c.monitor == monitor, runs.c.kind == kind)
        row = (
            connection.execute(of_kind.order_by(runs.c.started_at.desc(), runs.c.id.desc()).limit(1)).mappings().first()
        )
        if row is not None:
            newest[kind] = Run(**row)
    return newest
