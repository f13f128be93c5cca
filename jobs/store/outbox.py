"""The outbox: alerts written in the transaction of what they tell about, and claimed to be delivered."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import ColumnElement, Connection, Engine, Row, and_, delete, func, insert, or_, select, update

from jobs.databases import reading, writing
from jobs.store.incident_summary import IncidentSummary
from jobs.store.messages import Message, digest_message, event_message, incident_message
from schemas.config import MonitorConfig
from schemas.tables import alerts, events, incidents

_HOUR = timedelta(hours=1)
_GIVE_UP_AFTER = timedelta(hours=24)
_FIRST_PAUSE = timedelta(seconds=30)
_LOOKED_AT = 20


@dataclass(frozen=True)
class AlertRule:
    """Which incidents are told, and to whom."""

    channels: tuple[str, ...] = ()
    severity: float = 0.0
    escalate_severity: float = 80.0
    newest: timedelta = timedelta(days=1)


def alert_rule(monitor: MonitorConfig) -> AlertRule:
    """The rule of a monitor."""
    asked = monitor.alert
    return AlertRule(monitor.channels, asked.severity, asked.escalate_severity, asked.newest)


@dataclass(frozen=True)
class Growth:
    """An incident as it is now, and how severe it was before."""

    incident_id: int
    monitor: str
    extent: IncidentSummary
    severity_before: float | None
    """None where it is new."""


def tell_incident(connection: Connection, growth: Growth, rule: AlertRule, at: datetime) -> None:
    """Put into the outbox that an incident opened, or that it has become severe, once for each channel."""
    extent = growth.extent
    if extent.is_muted or extent.peak_severity < rule.severity or extent.end_time < at - rule.newest:
        return
    told = _told(connection, growth.incident_id)
    has_escalated = (
        growth.severity_before is not None and growth.severity_before < rule.escalate_severity <= extent.peak_severity
    )
    for channel in rule.channels:
        reason = "escalated" if (channel, "opened") in told else "opened"
        if (channel, reason) in told or (reason == "escalated" and not has_escalated):
            continue
        message = incident_message(growth.monitor, growth.incident_id, extent, reason)
        about = {"monitor": growth.monitor, "incident_id": growth.incident_id, "reason": reason}
        _put(connection, about, channel, message, at)


def untell_incidents(connection: Connection, incident_ids: Sequence[int]) -> None:
    """Take back what nobody has been told yet of incidents that are no more."""
    c = alerts.c
    connection.execute(delete(alerts).where(c.incident_id.in_(incident_ids), c.state == "pending"))


def tell_event(connection: Connection, event_id: int, channels: Iterable[str], at: datetime) -> None:
    """Put an event into the outbox, once for each channel."""
    event = connection.execute(select(events).where(events.c.id == event_id)).one()
    told = set(connection.scalars(select(alerts.c.channel).where(alerts.c.event_id == event_id)))
    message = event_message(event.monitor, event.entity, event.kind, event.message, event.since)
    about = {"monitor": event.monitor, "event_id": event_id, "reason": "event"}
    for channel in channels:
        if channel not in told:
            _put(connection, about, channel, message, at)


def _told(connection: Connection, incident_id: int) -> set[tuple[str, str]]:
    """Channel and reason of what was put out about an incident, and about those that merged into it."""
    c = incidents.c
    merged = select(c.id).where(c.merged_into == incident_id)
    is_about = or_(alerts.c.incident_id == incident_id, alerts.c.incident_id.in_(merged))
    found = connection.execute(select(alerts.c.channel, alerts.c.reason).where(is_about))
    return {(channel, reason) for channel, reason in found}


def _put(connection: Connection, about: dict[str, object], channel: str, message: Message, at: datetime) -> None:
    row = {"channel": channel, "title": message.title, "body": message.body, "created_at": at, "next_try_at": at}
    connection.execute(insert(alerts).values(about | row))


@dataclass(frozen=True)
class Delivery:
    """A message that this worker has claimed: one alert, or several as a digest."""

    token: str
    channel: str
    message: Message
    alerts: int
    attempts: int


class Outbox:
    """The alerts of every monitor.

    Args:
        engine: the store's.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def channels_due(self, at: datetime) -> list[str]:
        """The channels that have a message to be sent now."""
        wanted = select(alerts.c.channel).where(_is_due(at)).distinct().order_by(alerts.c.channel)
        with reading(self.engine) as connection:
            return list(connection.scalars(wanted))

    def claim(self, channel: str, per_hour: int, at: datetime, lease: timedelta) -> Delivery | None:
        """Take the next message for a channel; None where there is none, or the hour has had its share.

        What has had to wait, and what the last message of an hour can take along, goes out as one digest.
        """
        is_due = and_(alerts.c.channel == channel, _is_due(at))
        with writing(self.engine) as connection:
            first = _first_due(connection, is_due)
            if not first:
                return None
            sent = _sent_times(connection, channel, at)
            if len(sent) >= per_hour:
                _hold_back(connection, is_due, min(sent) + _HOUR)
                return None
            is_digest = len(sent) == per_hour - 1 or any(map(_has_waited, first))
            claimed = is_due if is_digest else alerts.c.id == first[0].id
            return _claim(connection, claimed, first if is_digest else first[:1], at + lease)

    def finish(self, delivery: Delivery, at: datetime) -> None:
        """Record that a message was sent."""
        change = {"state": "sent", "sent_at": at, "lease_until": None, "error": None}
        with writing(self.engine) as connection:
            connection.execute(update(alerts).where(_is_ours(delivery)).values(change))

    def fail(self, delivery: Delivery, error: str, at: datetime) -> None:
        """Record that a message was not taken; it is tried again after a pause that doubles, for a day."""
        pause = min(_FIRST_PAUSE * 2 ** min(delivery.attempts - 1, 10), _HOUR)
        is_old = and_(_is_ours(delivery), alerts.c.created_at <= at - _GIVE_UP_AFTER)
        change = {"lease_until": None, "error": error}
        with writing(self.engine) as connection:
            connection.execute(update(alerts).where(is_old).values(state="failed", **change))
            again = update(alerts).where(_is_ours(delivery))
            connection.execute(again.values(state="pending", next_try_at=at + pause, **change))


def _is_due(at: datetime) -> ColumnElement[bool]:
    """Only what failed has to wait for its next try; what was held back goes as soon as the limit in force allows."""
    c = alerts.c
    may_be_tried = or_(c.attempts == 0, c.next_try_at <= at)
    return or_(and_(c.state == "pending", may_be_tried), and_(c.state == "sending", c.lease_until < at))


def _is_ours(delivery: Delivery) -> ColumnElement[bool]:
    return and_(alerts.c.token == delivery.token, alerts.c.state == "sending")


def _first_due(connection: Connection, is_due: ColumnElement[bool]) -> Sequence[Row[Any]]:
    """The oldest alerts that are due, locked: a second worker waits here, so that both count what was sent."""
    wanted = select(alerts).where(is_due).order_by(alerts.c.id).limit(_LOOKED_AT)
    return connection.execute(wanted.with_for_update()).all()


def _sent_times(connection: Connection, channel: str, at: datetime) -> list[datetime]:
    """When each message of the last hour was sent; those under way count as sent when they were due."""
    c = alerts.c
    is_sent = and_(c.state == "sent", c.sent_at > at - _HOUR)
    is_under_way = and_(c.state == "sending", c.lease_until >= at)
    time = func.coalesce(c.sent_at, c.next_try_at)
    wanted = select(func.max(time)).where(c.channel == channel, or_(is_sent, is_under_way)).group_by(c.token)
    return list(connection.scalars(wanted))


def _hold_back(connection: Connection, is_due: ColumnElement[bool], until: datetime) -> None:
    """Note until when alerts wait under the limit of now: those that have waited go out together."""
    is_new = alerts.c.next_try_at <= alerts.c.created_at
    connection.execute(update(alerts).where(is_due, is_new).values(next_try_at=until))


def _has_waited(alert: Row[Any]) -> bool:
    return bool(alert.next_try_at > alert.created_at)


def _claim(
    connection: Connection, claimed: ColumnElement[bool], first: Sequence[Row[Any]], until: datetime
) -> Delivery:
    token = str(uuid4())
    change = {"state": "sending", "token": token, "lease_until": until, "attempts": alerts.c.attempts + 1}
    count = connection.execute(update(alerts).where(claimed).values(change)).rowcount
    single = Message(first[0].title, first[0].body)
    message = single if count == 1 else digest_message([alert.title for alert in first], count)
    return Delivery(token, first[0].channel, message, count, max(alert.attempts for alert in first) + 1)
