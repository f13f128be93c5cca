"""Runs of jobs, and the status of a monitor."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, and_, func, select, update

from jobs.databases import reading, writing
from jobs.store.labelled import is_labelled
from jobs.store.numbering import insert_numbered
from jobs.store.paging import columns_of
from jobs.store.unions import rows_of_each
from schemas.keys import Key, load_key
from schemas.tables import anomalies, batches, models, monitors, runs

_KINDS = ("train", "score")
_BATCH_STATES = ("pending", "running", "done")


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
            return statuses_of(connection, [monitor])[monitor]


def statuses_of(connection: Connection, names: Collection[str]) -> dict[str, MonitorStatus]:
    """Return the status of monitors by name, read by as many statements for 200 monitors as for one."""
    champions = _champions(connection, names)
    states = _batch_counts(connection, names)
    labelled = _labelled(connection, names)
    watermarks = _watermarks(connection, names)
    last_runs = _last_runs(connection, names)
    statuses = {}
    for name in names:
        champion_id, champion_since = champions.get(name, (None, None))
        flagged = sum(state.anomalies for state in states[name].values())
        statuses[name] = MonitorStatus(
            monitor=name,
            champion_id=champion_id,
            champion_since=champion_since,
            watermark=watermarks.get(name),
            records=states[name]["done"].records,
            anomalies=flagged,
            open_anomalies=max(0, flagged - labelled[name]),
            late_records=sum(state.late_records for state in states[name].values()),
            pending_batches=states[name]["pending"].batches,
            running_batches=states[name]["running"].batches,
            last_runs=last_runs[name],
        )
    return statuses


def _champions(connection: Connection, names: Collection[str]) -> dict[str, tuple[int, datetime | None]]:
    c = models.c
    champions = select(c.monitor, c.id, c.promoted_at).where(c.monitor.in_(names), c.state == "champion")
    return {name: (model_id, promoted_at) for name, model_id, promoted_at in connection.execute(champions)}


def _batch_counts(connection: Connection, names: Collection[str]) -> dict[str, dict[str, _BatchCounts]]:
    """Return the totals of the batches of each monitor by state."""
    c = batches.c
    sums = [func.coalesce(func.sum(column), 0) for column in (c.records, c.anomalies, c.late_records)]
    totals = select(c.monitor, c.state, func.count(), *sums).where(c.monitor.in_(names))
    counts = {name: dict.fromkeys(_BATCH_STATES, _BatchCounts()) for name in names}
    for name, state, *numbers in connection.execute(totals.group_by(c.monitor, c.state)):
        counts[name][state] = _BatchCounts(*map(int, numbers))
    return counts


def _labelled(connection: Connection, names: Collection[str]) -> Counter[str]:
    """Return the number of current flagged rows of each monitor that have a label."""
    c = anomalies.c
    is_counted = and_(c.monitor.in_(names), is_labelled(), c.superseded_at.is_(None))
    by_label = select(c.monitor, c.label, func.count()).where(is_counted).group_by(c.monitor, c.label)
    labelled: Counter[str] = Counter()
    for name, _, number in connection.execute(by_label):  # by label, as SQLite then reads only rows with a label
        labelled[name] += int(number)
    return labelled


def _watermarks(connection: Connection, names: Collection[str]) -> dict[str, Key]:
    """Return the end of the newest batch of each monitor, by one look-up in an index for each state of its batches."""
    b, m = batches.c, monitors.c  # every monitor that has a batch has a row
    newest_of_states = [
        select(b.id).where(b.monitor == m.monitor, b.state == state).order_by(b.id.desc()).limit(1).scalar_subquery()
        for state in _BATCH_STATES
    ]
    rows = connection.execute(select(*newest_of_states).where(m.monitor.in_(names)))
    newest = [max(ids) for row in rows if (ids := [batch_id for batch_id in row if batch_id is not None])]
    ends = connection.execute(select(b.monitor, b.upto_key).where(b.id.in_(newest)))
    return {name: load_key(upto) for name, upto in ends}


def _last_runs(connection: Connection, names: Collection[str]) -> dict[str, dict[str, Run]]:
    """Return the newest run of each monitor and kind, by one look-up in an index for each."""
    c = runs.c
    of_monitors = [
        select(*columns_of(runs, Run))
        .where(c.monitor == name, c.kind == kind)
        .order_by(c.started_at.desc(), c.id.desc())
        .limit(1)
        for name in names
        for kind in _KINDS
    ]
    newest = {(row["monitor"], row["kind"]): Run(**row) for row in rows_of_each(connection, of_monitors)}
    return {name: {kind: newest[name, kind] for kind in _KINDS if (name, kind) in newest} for name in names}
