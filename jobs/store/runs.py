"""Runs of jobs in the store, and the state of a monitor at a glance."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, func, insert, select, update

from jobs.databases import reading, writing
from schemas.keys import Key, load_key
from schemas.tables import anomalies, batches, models, runs


@dataclass(frozen=True)
class Run:
    """One execution of a job; without outcome while it goes on."""

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
    """A monitor at a glance."""

    monitor: str
    champion_id: int | None
    champion_since: datetime | None
    watermark: Key | None
    records: int
    """Records scored."""
    anomalies: int
    open_anomalies: int
    late_records: int
    """Records that came late into batches, and were scored with them again."""
    pending_batches: int
    running_batches: int
    last_runs: Mapping[str, Run]
    """The newest run of each kind."""


class Runs:
    """The runs of every monitor.

    Args:
        engine: the store's.
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
        """Record that a job starts, for which time of its schedule and in which process; the run's id."""
        row = {"monitor": monitor, "kind": kind, "started_at": at, "scheduled_for": scheduled_for, "worker": worker}
        with writing(self.engine) as connection:
            return int(connection.execute(insert(runs).values(row).returning(runs.c.id)).scalar_one())

    def finish(
        self, run_id: int, outcome: str, message: str | None, counts: Mapping[str, Any] | None, at: datetime
    ) -> None:
        """Record how a job ended."""
        change = {"outcome": outcome, "message": message, "counts": counts, "finished_at": at}
        with writing(self.engine) as connection:
            connection.execute(update(runs).where(runs.c.id == run_id).values(change))

    def last_started(self, monitor: str, kind: str) -> datetime | None:
        """When the newest run of a kind started; None where there was none."""
        wanted = select(runs.c.started_at).where(runs.c.monitor == monitor, runs.c.kind == kind)
        with reading(self.engine) as connection:
            return connection.scalar(wanted.order_by(runs.c.started_at.desc()).limit(1))

    def was_served(self, monitor: str) -> bool:
        """Whether a process that serves has ever begun to score a monitor."""
        c = runs.c
        wanted = select(c.id).where(c.monitor == monitor, c.kind == "score", c.worker.is_not(None))
        with reading(self.engine) as connection:
            return connection.scalar(wanted.limit(1)) is not None

    def status(self, monitor: str) -> MonitorStatus:
        """A monitor's champion, progress, anomalies and last runs."""
        with reading(self.engine) as connection:
            champion = _champion(connection, monitor)
            states = _batch_counts(connection, monitor)
            labels = _label_counts(connection, monitor)
            return MonitorStatus(
                monitor=monitor,
                champion_id=champion[0],
                champion_since=champion[1],
                watermark=_watermark(connection, monitor),
                records=states.get("done", (0, 0, 0))[1],
                anomalies=sum(labels.values()),
                open_anomalies=labels.get("open", 0),
                late_records=sum(late for _, _, late in states.values()),
                pending_batches=states.get("pending", (0, 0, 0))[0],
                running_batches=states.get("running", (0, 0, 0))[0],
                last_runs=_last_runs(connection, monitor),
            )


def _champion(connection: Connection, monitor: str) -> tuple[int | None, datetime | None]:
    c = models.c
    wanted = select(c.id, c.promoted_at).where(c.monitor == monitor, c.state == "champion")
    row = connection.execute(wanted).first()
    return (None, None) if row is None else (row.id, row.promoted_at)


def _batch_counts(connection: Connection, monitor: str) -> dict[str, tuple[int, int, int]]:
    """Batches, records, and late records by state."""
    c = batches.c
    sums = [func.coalesce(func.sum(column), 0) for column in (c.records, c.late_records)]
    found = connection.execute(select(c.state, func.count(), *sums).where(c.monitor == monitor).group_by(c.state))
    return {state: (count, int(records), int(late)) for state, count, records, late in found}


def _label_counts(connection: Connection, monitor: str) -> dict[str, int]:
    c = anomalies.c
    wanted = select(c.label, func.count()).where(c.monitor == monitor, c.superseded_at.is_(None)).group_by(c.label)
    return {label: int(count) for label, count in connection.execute(wanted)}


def _watermark(connection: Connection, monitor: str) -> Key | None:
    c = batches.c
    upto = connection.scalar(select(c.upto_key).where(c.monitor == monitor).order_by(c.id.desc()).limit(1))
    return None if upto is None else load_key(upto)


def _last_runs(connection: Connection, monitor: str) -> dict[str, Run]:
    newest = select(func.max(runs.c.id)).where(runs.c.monitor == monitor).group_by(runs.c.kind)
    wanted = select(*(runs.c[field.name] for field in fields(Run))).where(runs.c.id.in_(newest))
    return {row["kind"]: Run(**row) for row in connection.execute(wanted).mappings()}
