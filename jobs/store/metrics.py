"""Numbers of every monitor and of the service, for Prometheus."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, Select, func, select

from jobs.databases import reading
from jobs.store.labelled import is_labelled
from schemas.labels import JUDGED_LABELS
from schemas.tables import (
    alerts,
    anomalies,
    batches,
    events,
    incidents,
    models,
    monitors,
    pruned_events,
    retrain_requests,
    runs,
)

_RUN_HISTORY = timedelta(days=1)
_RUN_KINDS = ("score", "train")


@dataclass(frozen=True)
class FinishedRun:
    """The outcome of a run that began within the last day."""

    kind: str
    outcome: str
    seconds: float


@dataclass
class MonitorMeasures:
    """The numbers of a monitor."""

    records: int = 0
    anomalies: int = 0
    late_records: int = 0
    too_late_records: int = 0
    rescorings: int = 0
    scored_until: datetime | None = None
    open_incidents: int = 0
    realised_rate: float | None = None
    batches: dict[str, int] = field(default_factory=dict)
    """Unfinished batches by state: pending and running."""
    labels: dict[str, int] = field(default_factory=dict)
    """The champion's anomalies by label."""
    events: dict[str, int] = field(default_factory=dict)
    """All events by kind."""
    ongoing: dict[str, int] = field(default_factory=dict)
    """Ongoing events by kind."""
    requests: dict[str, int] = field(default_factory=dict)
    """Open retrain requests by state: pending and running."""
    last_success: dict[str, datetime] = field(default_factory=dict)
    """End of the last successful run of each kind."""
    runs: list[FinishedRun] = field(default_factory=list)
    """Finished runs that began within the last day."""


@dataclass(frozen=True)
class Measures:
    """The numbers of the service and of its monitors."""

    monitors: Mapping[str, MonitorMeasures]
    events: Mapping[str, int]
    """Events of the service itself by kind."""
    alerts: Mapping[tuple[str, str], int]
    """Alerts by channel and state: pending, sending and failed."""
    alerts_since: Mapping[str, datetime]
    """Creation of the oldest unsent alert of each channel."""


def realised_rate(records: int, flagged: int, labels: Mapping[str, int]) -> float | None:
    """Return the false-positive rate by labels: the share of records flagged, times the share of them judged false.

    It is None if no anomaly was judged, and exact if all were. Otherwise the judged anomalies count as a fair sample.

    >>> realised_rate(10_000, 100, {"open": 80, "false_positive": 15, "confirmed": 5})
    0.0075
    """
    judged = sum(labels.get(label, 0) for label in JUDGED_LABELS)
    if not judged or not records:
        return None
    return flagged / records * labels.get("false_positive", 0) / judged


class MetricsReader:
    """The numbers of the service.

    Args:
        engine: of the store's database.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def read(self, names: Collection[str], at: datetime) -> Measures:
        """Return the numbers of the service and of its monitors, read in one transaction."""
        measures = {name: MonitorMeasures() for name in names}
        service_events: dict[str, int] = {}
        with reading(self.engine) as connection:
            scored = _measure_ledger(connection, measures)
            _measure_champions(connection, measures, scored)
            _measure_open_work(connection, measures)
            _measure_events(connection, {"": service_events} | {name: m.events for name, m in measures.items()})
            _measure_runs(connection, measures, at)
            return Measures(measures, service_events, *_measure_outbox(connection))


def _measure_ledger(connection: Connection, measures: Mapping[str, MonitorMeasures]) -> dict[int, tuple[int, int]]:
    """Read the totals of the ledger in one pass over their index; return scored and flagged records by model."""
    c = batches.c
    sums = [func.coalesce(func.sum(column), 0) for column in (c.records, c.anomalies, c.late_records, c.rescorings)]
    totals = select(c.monitor, c.state, c.model_id, func.count(), *sums).where(c.monitor.in_(measures))
    by_model: dict[int, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for monitor, state, model_id, count, *numbers in connection.execute(
        totals.group_by(c.monitor, c.state, c.model_id)
    ):
        records, flagged, late, again = map(int, numbers)
        item = measures[monitor]
        item.records += records
        item.anomalies += flagged
        item.late_records += late
        item.rescorings += again
        by_model[model_id] = (by_model[model_id][0] + records, by_model[model_id][1] + flagged)
        if state != "done":
            item.batches[state] = item.batches.get(state, 0) + count
    m = monitors.c
    for row in connection.execute(select(m.monitor, m.scored_until, m.too_late_records).where(m.monitor.in_(measures))):
        measures[row.monitor].scored_until = row.scored_until
        measures[row.monitor].too_late_records = row.too_late_records
    return by_model


def _measure_champions(
    connection: Connection, measures: Mapping[str, MonitorMeasures], scored: Mapping[int, tuple[int, int]]
) -> None:
    """Count the current anomalies of each champion by label, and compute its false-positive rate."""
    a, m = anomalies.c, models.c
    champions = connection.execute(select(m.id, m.monitor).where(m.state == "champion", m.monitor.in_(measures))).all()
    is_counted = is_labelled() & a.monitor.in_(measures) & a.superseded_at.is_(None)  # of a partial index
    counts = select(a.model_id, a.label, func.count()).where(is_counted).group_by(a.monitor, a.label, a.model_id)
    labels: dict[int, dict[str, int]] = defaultdict(dict)
    for model_id, label, count in connection.execute(counts):
        labels[model_id][label] = count
    for model_id, monitor in champions:
        records, flagged = scored.get(model_id, (0, 0))
        if unlabelled := max(0, flagged - sum(labels[model_id].values())):
            labels[model_id]["open"] = unlabelled
        measures[monitor].labels = labels[model_id]
        measures[monitor].realised_rate = realised_rate(records, flagged, labels[model_id])


def _measure_open_work(connection: Connection, measures: Mapping[str, MonitorMeasures]) -> None:
    i, e, r = incidents.c, events.c, retrain_requests.c
    is_ongoing = e.since.is_not(None) & e.until.is_(None)
    is_waiting = r.state.in_(("pending", "running"))
    for monitor, _, count in connection.execute(_counted(i.monitor, i.state, i.state == "open", measures)):
        measures[monitor].open_incidents = count
    for monitor, kind, count in connection.execute(_counted(e.monitor, e.kind, is_ongoing, measures)):
        measures[monitor].ongoing[kind] = count
    for monitor, state, count in connection.execute(_counted(r.monitor, r.state, is_waiting, measures)):
        measures[monitor].requests[state] = count


def _measure_events(connection: Connection, events_of: Mapping[str, dict[str, int]]) -> None:
    """Count all events by kind, deleted ones included, as a counter never decreases; the service has the name ''.

    Without a list of names every row costs half as much.
    """
    c = events.c
    present = connection.execute(select(c.monitor, c.kind, func.count()).group_by(c.monitor, c.kind)).all()
    pruned = connection.execute(select(pruned_events.c.monitor, pruned_events.c.kind, pruned_events.c.events)).all()
    for monitor, kind, count in (*present, *pruned):
        kinds = events_of.get(monitor or "")
        if kinds is not None:
            kinds[kind] = kinds.get(kind, 0) + int(count)


def _measure_runs(connection: Connection, measures: Mapping[str, MonitorMeasures], at: datetime) -> None:
    c = runs.c
    recent = select(c.monitor, c.kind, c.outcome, c.started_at, c.finished_at).where(
        c.monitor.in_(measures), c.started_at >= at - _RUN_HISTORY, c.outcome.is_not(None)
    )
    for monitor, kind, outcome, started_at, finished_at in connection.execute(recent):
        measures[monitor].runs.append(FinishedRun(kind, outcome, (finished_at - started_at).total_seconds()))
    m = monitors.c
    # One index look-up for each monitor and kind, however many runs there were.
    last = [
        select(func.max(c.finished_at))
        .where(c.monitor == m.monitor, c.kind == kind, c.outcome == "done")
        .scalar_subquery()
        .label(kind)
        for kind in _RUN_KINDS
    ]
    for row in connection.execute(select(m.monitor, *last).where(m.monitor.in_(measures))).mappings():
        success = measures[row["monitor"]].last_success
        success.update({kind: row[kind] for kind in _RUN_KINDS if row[kind] is not None})


def _measure_outbox(connection: Connection) -> tuple[dict[tuple[str, str], int], dict[str, datetime]]:
    c = alerts.c
    unsent = select(c.channel, c.state, func.count(), func.min(c.created_at)).where(c.state != "sent")
    rows = connection.execute(unsent.group_by(c.channel, c.state)).all()
    waiting = [(channel, oldest) for channel, state, _, oldest in rows if state != "failed"]
    since = {channel: min(oldest for of, oldest in waiting if of == channel) for channel, _ in waiting}
    return {(channel, state): count for channel, state, count, _ in rows}, since


def _counted(monitor: Any, column: Any, condition: Any, monitors: Collection[str]) -> Select[Any]:
    """Count the rows by monitor and another column."""
    counts = select(monitor, column, func.count()).where(monitor.in_(monitors), condition)
    return counts.group_by(monitor, column)
