"""Old runs, events, alerts, retrain requests, drift assessments, incidents with their notes, and flagged rows."""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    exists,
    func,
    insert,
    or_,
    select,
    update,
)

from jobs.store.chunks import chunks
from jobs.store.locking import lock_monitor
from jobs.store.portions import Deletion, Recheck, deletion
from jobs.store.retention_limits import RetentionLimits
from schemas.tables import (
    alerts,
    anomalies,
    batches,
    drifts,
    events,
    incident_notes,
    incidents,
    maintenance_windows,
    models,
    pruned_events,
    retrain_requests,
    runs,
)

_RUN_KINDS = ("score", "train")
_SERVICE = ""  # the monitor of the service's own events in `pruned_events`


def expired_rows(limits: RetentionLimits) -> Iterator[Deletion]:
    """Yield the deletions of the old rows of a monitor."""
    monitor, keep_after = limits.monitor, limits.keep_after
    yield deletion("runs", runs, _expired_runs(limits))
    yield deletion("alerts", alerts, and_(alerts.c.monitor == monitor, _is_expired_alert(keep_after)))
    yield deletion("retrain requests", retrain_requests, _expired_requests(limits))
    yield deletion("drift assessments", drifts, _expired_drifts(limits))
    yield deletion("events", events, _expired_events(limits), _count_events)
    yield deletion("incidents without records", incidents, _expired_empty_incidents(limits))
    if limits.flagged_after is not None:
        yield from _expired_flagged(limits, limits.flagged_after)
    yield deletion("notes", incident_notes, _orphaned_notes(monitor))
    is_over = and_(maintenance_windows.c.monitor == monitor, maintenance_windows.c.end_time < keep_after)
    yield deletion("maintenance windows", maintenance_windows, is_over)


def expired_rows_of_service(keep_after: datetime) -> Iterator[Deletion]:
    """Yield the deletions of the old rows of the service itself."""
    yield deletion("alerts", alerts, and_(alerts.c.monitor.is_(None), _is_expired_alert(keep_after)))
    is_expired = and_(events.c.monitor.is_(None), events.c.at < keep_after, _is_over())
    yield deletion("events", events, is_expired, _count_events)


def _expired_runs(limits: RetentionLimits) -> ColumnElement[bool]:
    """Return the condition for old runs; scheduling and metrics need the newest of each kind."""
    c = runs.c
    newest = [run for kind in _RUN_KINDS for run in _newest_runs(limits.monitor, kind)]
    is_detail = and_(c.kind == "score", c.outcome == "done", c.started_at < limits.details_after)
    is_old = or_(is_detail, c.started_at < limits.keep_after)
    is_newest = or_(*(c.id.is_not_distinct_from(run) for run in newest))
    return and_(c.monitor == limits.monitor, c.finished_at.is_not(None), is_old, ~is_newest)


def _newest_runs(monitor: str, kind: str) -> Iterator[Any]:
    """Yield the ids of the newest run of a kind, the newest successful one, and the newest one by `serve`."""
    r = runs.alias("newest").c
    of_kind = select(r.id).where(r.monitor == monitor, r.kind == kind).limit(1)
    by_start = of_kind.order_by(r.started_at.desc(), r.id.desc())
    yield by_start.scalar_subquery()
    yield of_kind.where(r.outcome == "done").order_by(r.finished_at.desc(), r.id.desc()).scalar_subquery()
    yield by_start.where(r.worker.is_not(None)).scalar_subquery()


def _is_expired_alert(keep_after: datetime) -> ColumnElement[bool]:
    """Return the condition for old alerts; those of open incidents stay, so that none is sent twice."""
    c, i, target = alerts.c, incidents.c, incidents.alias("target").c
    is_open = and_(i.id == c.incident_id, i.state == "open")
    is_merged = and_(i.id == c.incident_id, i.merged_into == target.id, target.state == "open")
    is_needed = or_(exists().where(is_open), exists().where(is_merged))
    return and_(c.state.in_(("sent", "failed")), c.created_at < keep_after, ~is_needed)


def _expired_requests(limits: RetentionLimits) -> ColumnElement[bool]:
    """Return the condition for old requests; the newest for each reason are those that schedules start from."""
    c, r = retrain_requests.c, retrain_requests.alias("newest").c
    newest = select(func.max(r.id)).where(r.monitor == limits.monitor).group_by(r.reason)
    is_over = and_(c.state.in_(("done", "failed")), c.finished_at < limits.keep_after)
    return and_(c.monitor == limits.monitor, is_over, c.id.not_in(newest))


def _expired_drifts(limits: RetentionLimits) -> ColumnElement[bool]:
    """Return the condition for old assessments; the newest of each model, and the newest with drift, stay."""
    c, d = drifts.c, drifts.alias("newest").c
    of_models = select(func.max(d.id)).where(d.monitor == limits.monitor).group_by(d.model_id)
    is_old = and_(c.monitor == limits.monitor, c.assessed_at < limits.keep_after)
    return and_(is_old, c.id.not_in(of_models), c.id.not_in(of_models.where(d.is_drift)))


def _is_over() -> ColumnElement[bool]:
    """Return the condition for events that have ended, or have no duration."""
    return or_(events.c.since.is_(None), events.c.until.is_not(None))


def _expired_events(limits: RetentionLimits) -> ColumnElement[bool]:
    """Return the condition for old events; new entities of the champion stay, so that they are reported once."""
    c, m = events.c, models.c
    since = select(m.created_at).where(m.monitor == limits.monitor, m.state == "champion").scalar_subquery()
    is_old = and_(c.monitor == limits.monitor, c.at < limits.keep_after, _is_over())
    return and_(is_old, or_(c.kind != "new_entity", c.at < since))


def _count_events(connection: Connection, ids: Sequence[int]) -> None:
    """Add the events to the number of deleted events of their monitor and kind."""
    c, p = events.c, pruned_events.c
    numbers: Counter[tuple[str, str]] = Counter()
    for chunk in chunks(ids):
        counts = select(c.monitor, c.kind, func.count()).where(c.id.in_(chunk)).group_by(c.monitor, c.kind)
        for monitor, kind, count in connection.execute(counts):
            numbers[monitor or _SERVICE, kind] += count
    for (monitor, kind), number in numbers.items():
        if monitor:
            lock_monitor(connection, monitor)
        is_same = and_(p.monitor == monitor, p.kind == kind)
        change = update(pruned_events).where(is_same).values(events=p.events + number)
        if not connection.execute(change).rowcount:
            connection.execute(insert(pruned_events).values(monitor=monitor, kind=kind, events=number))


def _expired_empty_incidents(limits: RetentionLimits) -> ColumnElement[bool]:
    """Return the condition for old incidents that were merged or withdrawn, and so hold no record.

    Alerts and notes of one that is part of another incident count for that one.
    """
    c, n, target = incidents.c, incident_notes.c, incidents.alias("target").c
    is_empty = and_(c.state.in_(("merged", "withdrawn")), ~exists().where(anomalies.c.incident_id == c.id))
    has_alerts = exists().where(alerts.c.incident_id == c.id)
    has_notes = exists().where(n.incident_id == c.id, target.id == c.merged_into)
    return and_(c.monitor == limits.monitor, c.updated_at < limits.keep_after, is_empty, ~has_alerts, ~has_notes)


def _orphaned_notes(monitor: str) -> ColumnElement[bool]:
    """Return the condition for notes whose incident was deleted."""
    c = incident_notes.c
    return and_(c.monitor == monitor, ~exists().where(incidents.c.id == c.incident_id))


def _expired_flagged(limits: RetentionLimits, flagged_after: datetime) -> Iterator[Deletion]:
    """Yield the deletions of old flagged rows and incidents without labels; an incident is deleted as a whole."""
    a, i = anomalies.c, incidents.c
    of_monitor, is_old = a.monitor == limits.monitor, a.flagged_at < flagged_after
    is_kept = or_(i.state == "open", i.updated_at >= flagged_after, i.id.in_(_needed_incidents(limits, flagged_after)))
    kept = select(i.id).where(i.monitor == limits.monitor, is_kept)
    is_free = or_(a.incident_id.is_(None), a.incident_id.not_in(kept))
    is_expired = and_(of_monitor, is_old, _is_unlabelled(a), is_free)
    recheck = Recheck(limits.monitor, and_(_is_unlabelled(a), ~_is_of_kept(flagged_after)))
    yield deletion("flagged rows", anomalies, is_expired, _uncount_flagged, recheck=recheck)
    is_empty = ~exists().where(a.incident_id == i.id)
    is_ended = and_(i.monitor == limits.monitor, i.state == "ended", i.updated_at < flagged_after)
    is_over = and_(is_ended, is_empty)
    yield deletion("incidents", incidents, is_over, recheck=Recheck(limits.monitor, is_over))


def _uncount_flagged(connection: Connection, ids: Sequence[int]) -> None:
    """Subtract flagged rows from the number that their batches have."""
    a, b = anomalies.c, batches.c
    for chunk in chunks(ids):
        is_current = and_(a.id.in_(chunk), a.superseded_at.is_(None))
        counts = connection.execute(select(a.batch_id, func.count()).where(is_current).group_by(a.batch_id)).all()
        for batch_id, count in counts:
            connection.execute(update(batches).where(b.id == batch_id).values(anomalies=b.anomalies - count))


def _needed_incidents(limits: RetentionLimits, flagged_after: datetime) -> Select[tuple[Any]]:
    """Return the select of incidents that hold a row which is labelled or new."""
    a = anomalies.alias("needed").c
    is_of_monitor = a.monitor == limits.monitor
    return select(a.incident_id).where(is_of_monitor, a.incident_id.is_not(None), _is_needed(a, flagged_after))


def _is_of_kept(flagged_after: datetime) -> ColumnElement[bool]:
    """Return the condition of a flagged row whose incident is kept, looked up for the row."""
    i, needed = incidents.c, anomalies.alias("needed").c
    holds_needed = exists().where(needed.incident_id == i.id, _is_needed(needed, flagged_after))
    is_kept = or_(i.state == "open", i.updated_at >= flagged_after, holds_needed)
    return exists().where(i.id == anomalies.c.incident_id, is_kept)


def _is_needed(a: Any, flagged_after: datetime) -> ColumnElement[bool]:
    return or_(a.label != "open", a.labelled_at.is_not(None), a.flagged_at >= flagged_after)


def _is_unlabelled(a: Any) -> ColumnElement[bool]:
    return and_(a.label == "open", a.labelled_at.is_(None))
