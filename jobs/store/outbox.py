"""The outbox: alerts claimed for delivery, within the rate of their channel."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import eq
from typing import Any
from uuid import uuid4

from sqlalchemy import ColumnElement, Connection, Engine, Row, and_, func, or_, select, update

from jobs.databases import reading, writing
from jobs.store.alerts import Message
from jobs.store.paging import is_among, read_page
from schemas.tables import alerts

_RATE_PERIOD = timedelta(hours=1)
_GIVE_UP_AFTER = timedelta(hours=24)
_MIN_ATTEMPTS = 10  # which take four hours: an alert may have waited for a day because nothing served
_FIRST_PAUSE = timedelta(seconds=30)
_LONGEST_PAUSE = timedelta(hours=1)
_MAX_MESSAGES_READ = 20


@dataclass(frozen=True)
class Delivery:
    """Alerts that this worker has claimed, to be sent as one message."""

    token: str
    channel: str
    messages: tuple[Message, ...]
    """The texts of the oldest alerts."""
    alerts: int
    """The number of alerts."""
    attempts: int
    is_digest: bool = False
    """Whether they are about different things; otherwise the text of the newest has everything."""


@dataclass(frozen=True)
class AlertQuery:
    """A filter of alerts; a field that is None does not restrict.

    The next page has `before_id` set to the last id of this one.
    """

    monitors: Collection[str] | None = None
    """Only alerts of these monitors, and none of the service itself."""
    incident_id: int | None = None
    state: str | None = None
    """pending, sending, sent or failed."""
    limit: int = 50
    before_id: int | None = None


@dataclass(frozen=True)
class StoredAlert:
    """An alert to one channel."""

    id: int
    monitor: str | None
    incident_id: int | None
    event_id: int | None
    reason: str
    channel: str
    state: str
    title: str
    created_at: datetime
    attempts: int
    sent_at: datetime | None
    not_before: datetime | None
    """The end of quiet hours, until which it is held back."""
    error: str | None
    """Why the last try failed."""


class Outbox:
    """The alerts of every monitor.

    Args:
        engine: of the store's database.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def page(self, query: AlertQuery) -> list[StoredAlert]:
        """Return a page of alerts, newest first."""
        c = alerts.c
        filters = (
            (c.monitor, is_among, query.monitors),
            (c.incident_id, eq, query.incident_id),
            (c.state, eq, query.state),
        )
        return read_page(self.engine, alerts, StoredAlert, query, filters)

    def due_channels(self, at: datetime) -> list[str]:
        """Return the channels that have an alert to be sent now."""
        statement = select(alerts.c.channel).where(_is_due(at)).distinct().order_by(alerts.c.channel)
        with reading(self.engine) as connection:
            return list(connection.scalars(statement))

    def claim(self, channel: str, per_hour: int, at: datetime, lease: timedelta) -> Delivery | None:
        """Claim the next delivery to a channel; None if nothing is due, or the messages of the hour are used up.

        Alerts that had to wait, and all that are due at the last message of an hour, go out as one digest. Alerts of
        an incident that waited for each other, in quiet hours or for a channel that was down, are one message.
        """
        is_due = and_(alerts.c.channel == channel, _is_due(at))
        with writing(self.engine) as connection:
            oldest = _oldest_due(connection, is_due)
            if not oldest:
                return None
            sent_times = _sent_times(connection, channel, at)
            if len(sent_times) >= per_hour:
                _hold_back(connection, is_due, min(sent_times) + _RATE_PERIOD)
                return None
            is_digest = len(sent_times) == per_hour - 1 or any(map(_has_waited, oldest))
            if is_digest and len({alert.incident_id or -alert.id for alert in oldest}) > 1:
                return _claim(connection, is_due, oldest, at + lease, is_digest=True)
            waiting = _waiting_with(connection, oldest[0], at)
            return _claim(connection, alerts.c.id.in_([alert.id for alert in waiting]), waiting, at + lease)

    def finish(self, delivery: Delivery, at: datetime) -> None:
        """Record that a delivery was sent."""
        change = {"state": "sent", "sent_at": at, "lease_until": None, "error": None}
        with writing(self.engine) as connection:
            connection.execute(update(alerts).where(_is_ours(delivery)).values(change))

    def fail(self, delivery: Delivery, error: str, at: datetime) -> None:
        """Record that a delivery failed; it is retried for a day and at least nine times, after pauses that double."""
        pause = min(_FIRST_PAUSE * 2 ** min(delivery.attempts - 1, 10), _LONGEST_PAUSE)
        is_old = and_(alerts.c.created_at <= at - _GIVE_UP_AFTER, alerts.c.attempts >= _MIN_ATTEMPTS)
        change = {"lease_until": None, "error": error}
        with writing(self.engine) as connection:
            connection.execute(update(alerts).where(_is_ours(delivery), is_old).values(state="failed", **change))
            retry = update(alerts).where(_is_ours(delivery))
            connection.execute(retry.values(state="pending", next_try_at=at + pause, **change))


def _is_due(at: datetime) -> ColumnElement[bool]:
    """Return the condition for alerts to send now.

    Only a failed alert waits for its next try; one that was held back goes as soon as the present rate allows.
    """
    c = alerts.c
    may_be_tried = or_(c.attempts == 0, c.next_try_at <= at)
    is_quiet_over = or_(c.not_before.is_(None), c.not_before <= at)
    is_pending = and_(c.state == "pending", may_be_tried, is_quiet_over)
    return or_(is_pending, and_(c.state == "sending", c.lease_until < at))


def _is_ours(delivery: Delivery) -> ColumnElement[bool]:
    return and_(alerts.c.token == delivery.token, alerts.c.state == "sending")


def _oldest_due(connection: Connection, is_due: ColumnElement[bool]) -> Sequence[Row[Any]]:
    """Return the oldest alerts that are due, locked: a second worker waits here, so both count the same messages."""
    statement = select(alerts).where(is_due).order_by(alerts.c.id).limit(_MAX_MESSAGES_READ)
    return connection.execute(statement.with_for_update()).all()


def _waiting_with(connection: Connection, alert: Row[Any], at: datetime) -> Sequence[Row[Any]]:
    """Return the unsent alerts of the incident of an alert to its channel, oldest first; else the alert alone."""
    if alert.incident_id is None:
        return [alert]
    c = alerts.c
    is_waiting = or_(c.state == "pending", and_(c.state == "sending", c.lease_until < at))
    is_same = and_(c.channel == alert.channel, c.incident_id == alert.incident_id, is_waiting)
    return connection.execute(select(alerts).where(is_same).order_by(c.id).with_for_update()).all()


def _sent_times(connection: Connection, channel: str, at: datetime) -> list[datetime]:
    """Return the time of each message of the last hour; one that is being sent counts with the time it was due."""
    c = alerts.c
    is_sent = and_(c.state == "sent", c.sent_at > at - _RATE_PERIOD)
    is_being_sent = and_(c.state == "sending", c.lease_until >= at)
    time = func.coalesce(c.sent_at, c.next_try_at)
    statement = select(func.max(time)).where(c.channel == channel, or_(is_sent, is_being_sent)).group_by(c.token)
    return list(connection.scalars(statement))


def _hold_back(connection: Connection, is_due: ColumnElement[bool], until: datetime) -> None:
    """Record until when new alerts wait under the present rate: alerts that have waited go out together."""
    is_new = alerts.c.next_try_at <= alerts.c.created_at
    connection.execute(update(alerts).where(is_due, is_new).values(next_try_at=until))


def _has_waited(alert: Row[Any]) -> bool:
    return bool(alert.next_try_at > alert.created_at)


def _claim(
    connection: Connection,
    is_claimed: ColumnElement[bool],
    oldest: Sequence[Row[Any]],
    until: datetime,
    *,
    is_digest: bool = False,
) -> Delivery:
    token = str(uuid4())
    change = {"state": "sending", "token": token, "lease_until": until, "attempts": alerts.c.attempts + 1}
    count = connection.execute(update(alerts).where(is_claimed).values(change)).rowcount
    messages = tuple(Message(alert.title, alert.body) for alert in oldest)
    attempts = max(alert.attempts for alert in oldest) + 1
    return Delivery(token, oldest[0].channel, messages, count, attempts, is_digest)
