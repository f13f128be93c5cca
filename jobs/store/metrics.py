"""How every monitor does in numbers, for the metrics of the service."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, Select, func, select

from jobs.databases import reading
from jobs.store.schema import refuse_other_revision
from schemas.tables import (
    alerts,
    anomalies,
    batches,
    events,
    incidents,
    models,
    monitors,
    retrain_requests,
    runs,
)

_RECENT = timedelta(days=1)
_JUDGED = ("confirmed", "false_positive", "known")
_KINDS = ("score", "train")


@dataclass(frozen=True)
class FinishedRun:
    """How a run of the last day ended."""

    kind: str
    outcome: str
    seconds: float


@dataclass
class MonitorMeasures:
    """A monitor in numbers."""

    records: int = 0
    anomalies: int = 0
    late_records: int = 0
    too_late_records: int = 0
    rescorings: int = 0
    scored_until: datetime | None = None
    open_incidents: int = 0
    realised_rate: float | None = None
    batches: dict[str, int] = field(default_factory=dict)
    """By state: pending and running."""
    labels: dict[str, int] = field(default_factory=dict)
    """Of the champion's anomalies."""
    events: dict[str, int] = field(default_factory=dict)
    """By kind, ever."""
    ongoing: dict[str, int] = field(default_factory=dict)
    """Events that go on, by kind."""
    requests: dict[str, int] = field(default_factory=dict)
    """For retraining, by state: pending and running."""
    last_success: dict[str, datetime] = field(default_factory=dict)
    """By kind of run."""
    runs: list[FinishedRun] = field(default_factory=list)
    """Those that began within the last day, and ended."""


@dataclass(frozen=True)
class Measures:
    """The service in numbers."""

    monitors: Mapping[str, MonitorMeasures]
    events: Mapping[str, int]
    """Of the service itself, by kind."""
    alerts: Mapping[tuple[str, str], int]
    """By channel and state: pending, sending and failed."""
    alerts_since: Mapping[str, datetime]
    """The oldest alert of each channel that is not sent yet."""


def realised_rate(records: int, flagged: int, labels: Mapping[str, int]) -> float | None:
    """The false-positive rate as people's labels tell it: the share of records flagged, of it the part judged false.

    None where nothing was judged. It is exact where everything was; else it takes what was judged for a fair sample.

    >>> realised_rate(10_000, 100, {"open": 80, "false_positive": 15, "confirmed": 5})
    0.0075
    """
    judged = sum(labels.get(label, 0) for label in _JUDGED)
    if not judged or not records:
        return None
    return flagged / records * labels.get("false_positive", 0) / judged


class MetricsReader:
    """What the metrics of the service are made of.

    Args:
        engine: the store's.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def refuse_unready(self) -> None:
        """Ask the database whether it answers and has this version's tables.

        Raises:
            StoreError: where it does not.
        """
        with reading(self.engine) as connection:
            refuse_other_revision(connection)

    def read(self, names: Collection[str], at: datetime) -> Measures:
        """These monitors in numbers, all of one moment."""
        found = {name: MonitorMeasures() for name in names}
        with reading(self.engine) as connection:
            _measure_ledger(connection, found)
            _measure_findings(connection, found)
            _measure_champions(connection, found)
            _measure_runs(connection, found, at)
            e = events.c
            of_service = connection.execute(select(e.kind, func.count()).where(e.monitor.is_(None)).group_by(e.kind))
            own = {row.kind: int(row[1]) for row in of_service}
            return Measures(found, own, *_measure_outbox(connection))


def _measure_ledger(connection: Connection, found: Mapping[str, MonitorMeasures]) -> None:
    c = batches.c
    sums = [func.coalesce(func.sum(column), 0) for column in (c.records, c.anomalies, c.late_records, c.rescorings)]
    by_state = select(c.monitor, c.state, func.count(), *sums).where(c.monitor.in_(found)).group_by(c.monitor, c.state)
    for monitor, state, count, records, flagged, late, again in connection.execute(by_state):
        measures = found[monitor]
        measures.records += int(records)
        measures.anomalies += int(flagged)
        measures.late_records += int(late)
        measures.rescorings += int(again)
        if state != "done":
            measures.batches[state] = count
    m = monitors.c
    for row in connection.execute(select(m.monitor, m.scored_until, m.too_late_records).where(m.monitor.in_(found))):
        found[row.monitor].scored_until = row.scored_until
        found[row.monitor].too_late_records = row.too_late_records


def _measure_findings(connection: Connection, found: Mapping[str, MonitorMeasures]) -> None:
    i, e, r = incidents.c, events.c, retrain_requests.c
    is_ongoing = e.since.is_not(None) & e.until.is_(None)
    is_waiting = r.state.in_(("pending", "running"))
    for monitor, _, count in connection.execute(_counted(i.monitor, i.state, i.state == "open", found)):
        found[monitor].open_incidents = count
    for monitor, kind, count in connection.execute(_counted(e.monitor, e.kind, True, found)):
        found[monitor].events[kind] = count
    for monitor, kind, count in connection.execute(_counted(e.monitor, e.kind, is_ongoing, found)):
        found[monitor].ongoing[kind] = count
    for monitor, state, count in connection.execute(_counted(r.monitor, r.state, is_waiting, found)):
        found[monitor].requests[state] = count


def _measure_champions(connection: Connection, found: Mapping[str, MonitorMeasures]) -> None:
    a, b, m = anomalies.c, batches.c, models.c
    champions = select(m.id).where(m.state == "champion", m.monitor.in_(found))
    is_theirs = a.model_id.in_(champions) & a.superseded_at.is_(None)
    for monitor, label, count in connection.execute(_counted(a.monitor, a.label, is_theirs, found)):
        found[monitor].labels[label] = count
    scored = select(b.monitor, func.sum(b.records)).where(b.model_id.in_(champions), b.monitor.in_(found))
    for monitor, records in connection.execute(scored.group_by(b.monitor)):
        labels = found[monitor].labels
        found[monitor].realised_rate = realised_rate(int(records or 0), sum(labels.values()), labels)


def _measure_runs(connection: Connection, found: Mapping[str, MonitorMeasures], at: datetime) -> None:
    c = runs.c
    recent = select(c.monitor, c.kind, c.outcome, c.started_at, c.finished_at).where(
        c.monitor.in_(found), c.started_at >= at - _RECENT, c.outcome.is_not(None)
    )
    for monitor, kind, outcome, started_at, finished_at in connection.execute(recent):
        found[monitor].runs.append(FinishedRun(kind, outcome, (finished_at - started_at).total_seconds()))
    for monitor, measures in found.items():
        for kind in _KINDS:
            # One look into an index each, however many runs there were.
            is_success = (c.monitor == monitor) & (c.kind == kind) & (c.outcome == "done")
            last = connection.scalar(select(func.max(c.finished_at)).where(is_success))
            if last is not None:
                measures.last_success[kind] = last


def _measure_outbox(connection: Connection) -> tuple[dict[tuple[str, str], int], dict[str, datetime]]:
    c = alerts.c
    unsent = select(c.channel, c.state, func.count(), func.min(c.created_at)).where(c.state != "sent")
    rows = connection.execute(unsent.group_by(c.channel, c.state)).all()
    waiting = [(channel, oldest) for channel, state, _, oldest in rows if state != "failed"]
    since = {channel: min(oldest for of, oldest in waiting if of == channel) for channel, _ in waiting}
    return {(channel, state): count for channel, state, count, _ in rows}, since


def _counted(monitor: Any, column: Any, condition: Any, found: Collection[str]) -> Select[Any]:
    """How many rows there are by monitor and another column."""
    wanted = select(monitor, column, func.count()).where(monitor.in_(found), condition)
    return wanted.group_by(monitor, column)
