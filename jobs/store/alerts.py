"""Alerts, written to the outbox in the transaction of the incident or event that they report."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, insert, select

from jobs.store.chunks import chunks
from jobs.store.incident_summary import IncidentSummary
from schemas.tables import alerts, events


@dataclass(frozen=True)
class Message:
    """The text of an alert."""

    title: str
    body: str


@dataclass(frozen=True)
class IncidentNews:
    """The news that an alert of an incident brings.

    Attributes:
        monitor: its name.
        incident_id: the incident.
        summary: of the incident.
        reason: opened, escalated, worse, new_cause, ended or reminder.
        new_causes: features that no earlier alert named as a main cause.
        link: the address of the incident's page.
        is_again: whether the same news was alerted before.
        raised_by: the confirmed row that it resembles; None if there is none.
    """

    monitor: str
    incident_id: int
    summary: IncidentSummary
    reason: str
    new_causes: tuple[str, ...] = ()
    link: str | None = None
    is_again: bool = False
    raised_by: int | None = None


@dataclass(frozen=True)
class AlertTexts:
    """The functions that write the texts of alerts.

    Attributes:
        incident: from the news of an incident.
        event: from monitor, entity, kind of event, its message, and its start.
    """

    incident: Callable[[IncidentNews], Message]
    event: Callable[[str | None, str | None, str, str, datetime | None], Message]


def add_event_alerts(
    connection: Connection, event_id: int, channels: Iterable[str], texts: AlertTexts, at: datetime
) -> None:
    """Alert an event, once for each channel."""
    event = connection.execute(select(events).where(events.c.id == event_id)).one()
    alerted = set(connection.scalars(select(alerts.c.channel).where(alerts.c.event_id == event_id)))
    message = texts.event(event.monitor, event.entity, event.kind, event.message, event.since)
    subject = {"monitor": event.monitor, "event_id": event_id, "reason": "event"}
    new = (channel for channel in dict.fromkeys(channels) if channel not in alerted)
    insert_alerts(connection, [alert_row(subject, channel, message, at) for channel in new])


def alert_row(subject: Mapping[str, object], channel: str, message: Message, at: datetime) -> dict[str, object]:
    """Return an alert as a row of the outbox."""
    text = {"channel": channel, "title": message.title, "body": message.body, "created_at": at, "next_try_at": at}
    return {**subject, **text}


def insert_alerts(connection: Connection, rows: Sequence[dict[str, object]]) -> None:
    """Write alerts to the outbox; all rows must have the same columns."""
    for chunk in chunks(rows):
        connection.execute(insert(alerts), chunk)
