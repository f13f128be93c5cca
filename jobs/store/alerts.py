"""Alerts, written to the outbox in the transaction of the incident or event that they report."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, insert, or_, select, update

from jobs.store.incident_summary import IncidentSummary
from schemas.tables import alerts, events, incidents


@dataclass(frozen=True)
class Message:
    """The text of an alert."""

    title: str
    body: str


@dataclass(frozen=True)
class AlertTexts:
    """The functions that write the texts of alerts.

    Attributes:
        incident: from monitor, incident id, summary, and the reason: opened or escalated.
        event: from monitor, entity, kind of event, its message, and its start.
    """

    incident: Callable[[str, int, IncidentSummary, str], Message]
    event: Callable[[str | None, str | None, str, str, datetime | None], Message]


@dataclass(frozen=True)
class AlertRule:
    """The incidents that are alerted, and the channels."""

    channels: tuple[str, ...] = ()
    severity: float = 0.0
    """The minimum peak severity."""
    escalate_severity: float = 80.0
    """The peak severity from which an incident is alerted again."""
    newest: timedelta = timedelta(days=1)
    """The maximum age of an incident."""


@dataclass(frozen=True)
class IncidentChange:
    """An incident as it is now, and its severity before."""

    incident_id: int
    monitor: str
    summary: IncidentSummary
    severity_before: float | None
    """None if the incident is new."""

    def escalates(self, severity: float) -> bool:
        """Return whether the incident has just reached a severity."""
        return self.severity_before is not None and self.severity_before < severity <= self.summary.peak_severity


def add_incident_alerts(
    connection: Connection, change: IncidentChange, rule: AlertRule, texts: AlertTexts, at: datetime
) -> None:
    """Alert that an incident opened or became severe, once for each channel."""
    summary = change.summary
    if summary.is_muted or summary.peak_severity < rule.severity:
        return
    if summary.end_time < at - rule.newest:
        _mark_unannounced(connection, change.incident_id)
        return
    alerted = _alerted(connection, change.incident_id)
    for channel in rule.channels:
        reason = "escalated" if (channel, "opened") in alerted else "opened"
        if (channel, reason) in alerted or (reason == "escalated" and not change.escalates(rule.escalate_severity)):
            continue
        message = texts.incident(change.monitor, change.incident_id, summary, reason)
        subject = {"monitor": change.monitor, "incident_id": change.incident_id, "reason": reason}
        _insert(connection, subject, channel, message, at)


def _mark_unannounced(connection: Connection, incident_id: int) -> None:
    """Mark an incident that ended too long ago to be alerted, unless an event has summed it up already."""
    c = incidents.c
    change = update(incidents).where(c.id == incident_id, c.not_announced.is_(None))
    connection.execute(change.values(not_announced="pending"))


def withdraw_incident_alerts(connection: Connection, incident_ids: Sequence[int]) -> None:
    """Delete the pending alerts of incidents that no longer exist."""
    c = alerts.c
    connection.execute(delete(alerts).where(c.incident_id.in_(incident_ids), c.state == "pending"))


def add_event_alerts(
    connection: Connection, event_id: int, channels: Iterable[str], texts: AlertTexts, at: datetime
) -> None:
    """Alert an event, once for each channel."""
    event = connection.execute(select(events).where(events.c.id == event_id)).one()
    alerted = set(connection.scalars(select(alerts.c.channel).where(alerts.c.event_id == event_id)))
    message = texts.event(event.monitor, event.entity, event.kind, event.message, event.since)
    subject = {"monitor": event.monitor, "event_id": event_id, "reason": "event"}
    for channel in dict.fromkeys(channels):
        if channel not in alerted:
            _insert(connection, subject, channel, message, at)


def _alerted(connection: Connection, incident_id: int) -> set[tuple[str, str]]:
    """Return channel and reason of each alert of an incident, and of the incidents that were merged into it."""
    c = incidents.c
    merged = select(c.id).where(c.merged_into == incident_id)
    is_about = or_(alerts.c.incident_id == incident_id, alerts.c.incident_id.in_(merged))
    rows = connection.execute(select(alerts.c.channel, alerts.c.reason).where(is_about))
    return {(channel, reason) for channel, reason in rows}


def _insert(connection: Connection, subject: dict[str, object], channel: str, message: Message, at: datetime) -> None:
    row = {"channel": channel, "title": message.title, "body": message.body, "created_at": at, "next_try_at": at}
    connection.execute(insert(alerts).values(subject | row))
