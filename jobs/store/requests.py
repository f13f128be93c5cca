"""Retrain requests: every inserted row requests a training, and one training serves all that are pending."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import eq
from typing import Any
from uuid import uuid4

from sqlalchemy import ColumnElement, Connection, Engine, and_, func, literal, or_, select, update

from jobs.databases import reading, writing
from jobs.store.audit import SERVICE, Act, record_act
from jobs.store.chunks import chunks
from jobs.store.events import EventLog, NewEvent
from jobs.store.locking import register_monitor
from jobs.store.numbering import insert_numbered
from jobs.store.paging import read_page
from schemas.errors import LostRequest, NoSuchMonitor, TooManyRequests
from schemas.request_guard import MAX_REQUESTS_PER_HOUR
from schemas.tables import models, retrain_requests

MAX_ATTEMPTS = 3
"""Number of processes that may die while they train for a request."""

RETRY_DELAYS = tuple(timedelta(minutes=4**number) for number in range(5))
"""Times between the attempts to train on a source that cannot be reached: six attempts within six hours."""

_HOUR = timedelta(hours=1)
_ROWS_PER_TRANSACTION = 1_000
_TOKEN_LENGTH = 36
_SHARED = frozenset({"state", "finished_at", "model_id", "message", "not_before"})  # with the requests that it serves
_NAME = "{name}"  # in a message for any monitor

_GIVEN_UP = (
    f"Given up after {MAX_ATTEMPTS} attempts that ended without an error: the process was killed or ran out of memory. "
    "See the log or lower max_training_records, then request a training again."
)


@dataclass(frozen=True)
class RetrainRequest:
    """A stored request."""

    id: int
    monitor: str
    reason: str
    requested_at: datetime
    state: str
    attempts: int
    finished_at: datetime | None
    model_id: int | None
    served_by: int | None
    """The request whose training served this one too."""
    message: str | None


@dataclass(frozen=True)
class RequestQuery:
    """A filter of requests; a field that is None does not restrict.

    The next page has `before_id` set to the last id of this one.
    """

    monitor: str | None = None
    reason: str | None = None
    state: str | None = None
    limit: int = 50
    before_id: int | None = None


@dataclass(frozen=True)
class ClaimedRequest:
    """A request that this worker has claimed."""

    id: int
    monitor: str
    reason: str
    token: str
    attempts: int
    failures: int = 0
    """Number of trainings for it whose source was away."""


class RetrainRequests:
    """The retrain requests of every monitor.

    Args:
        engine: of the store's database.
        event_log: writes events.
    """

    def __init__(self, engine: Engine, event_log: EventLog) -> None:
        self.engine = engine
        self._event_log = event_log

    def add(self, monitor: str, reason: str, at: datetime, actor: str = SERVICE) -> int:
        """Request a training, and return the id of the request.

        Raises:
            TooManyRequests: If the monitor has had as many requests within an hour as the store accepts.
        """
        with writing(self.engine) as connection:
            request_id = add_request(connection, monitor, reason, at)
            if request_id is not None:
                record_act(connection, Act(actor, "retrain", f"request {request_id}", monitor, {"reason": reason}), at)
        if request_id is None:
            raise TooManyRequests(monitor, MAX_REQUESTS_PER_HOUR)
        return request_id

    def page(self, query: RequestQuery) -> list[RetrainRequest]:
        """Return a page of requests, newest first."""
        c = retrain_requests.c
        filters = ((c.monitor, eq, query.monitor), (c.reason, eq, query.reason), (c.state, eq, query.state))
        return read_page(self.engine, retrain_requests, RetrainRequest, query, filters)

    def has_claimable(self, monitors: Iterable[str], at: datetime) -> bool:
        """Return whether a request of one of the monitors is pending, or its worker has died."""
        c = retrain_requests.c
        with reading(self.engine) as connection:
            leased = select(c.monitor).where(c.state == "running", c.lease_until >= at)
            claimable = select(c.id).where(c.monitor.in_(list(monitors)), c.monitor.not_in(leased), _is_free(at))
            return connection.execute(claimable.limit(1)).first() is not None

    def claim(
        self, monitor: str, at: datetime, lease: timedelta, claimant: str = "", channels: Iterable[str] = ()
    ) -> ClaimedRequest | None:
        """Claim a monitor's oldest request, which then serves all pending ones.

        A request whose workers died `MAX_ATTEMPTS` times fails instead, with an event, and the next is claimed.

        Args:
            monitor: the monitor.
            at: the time now.
            lease: the duration of the claim.
            claimant: up to 12 characters that the token begins with, for `release_all`.
            channels: that are alerted of a request that fails.

        Returns:
            The request; None if none is due, or a worker holds one.
        """
        with writing(self.engine) as connection:
            if _is_leased(connection, monitor, at) or not _is_due(connection, monitor, at):
                return None
            while (row := _lock_oldest(connection, monitor)) is not None:
                if row["lease_until"] is not None and row["lease_until"] >= at:  # another worker was first
                    return None
                if row["attempts"] < MAX_ATTEMPTS:
                    return _claim(connection, row, at + lease, claimant)
                self._fail(connection, (row["id"], monitor), _GIVEN_UP, at, channels)
        return None

    def renew(self, claim: ClaimedRequest, at: datetime, lease: timedelta) -> None:
        """Renew the lease of a claimed request.

        Raises:
            LostRequest: If another worker has claimed it.
        """
        with writing(self.engine) as connection:
            _lock_claimed(connection, claim)
            _change(connection, claim.id, lease_until=at + lease)

    def fail(self, claim: ClaimedRequest, message: str, at: datetime, channels: Iterable[str] = ()) -> None:
        """Record a failed training, for the request and all that it serves, with an event that channels are alerted of.

        Raises:
            LostRequest: If another worker has claimed it.
        """
        with writing(self.engine) as connection:
            _lock_claimed(connection, claim)
            self._fail(connection, (claim.id, claim.monitor), message, at, channels)

    def _fail(
        self, connection: Connection, request: tuple[int, str], message: str, at: datetime, channels: Iterable[str]
    ) -> None:
        """Fail a request, named by its id and its monitor, and all that it serves, and write the event."""
        request_id, monitor = request
        _change(connection, request_id, state="failed", finished_at=at, message=message)
        text = f"A training of monitor {monitor!r} failed. {message}"
        event = NewEvent("training_failed", text, monitor, counts={"request_id": request_id})
        self._event_log.write(connection, event, at, channels)

    def put_off(self, claim: ClaimedRequest, message: str, until: datetime) -> None:
        """Return a claimed request, and all that it serves, to the queue until its next attempt.

        A new request for the monitor is not put off, and its training serves them all.

        Raises:
            LostRequest: If another worker has claimed it.
        """
        with writing(self.engine) as connection:
            _lock_claimed(connection, claim)
            counts = {"attempts": claim.attempts - 1, "failures": claim.failures + 1}
            _change(connection, claim.id, state="pending", not_before=until, message=message, **counts)

    def release(self, claim: ClaimedRequest) -> None:
        """Return a claimed request to the queue; the attempt does not count.

        Raises:
            LostRequest: If another worker has claimed it.
        """
        with writing(self.engine) as connection:
            _lock_claimed(connection, claim)
            _change(connection, claim.id, state="pending", attempts=claim.attempts - 1)

    def release_all(self, claimant: str) -> int:
        """Return to the queue what a claimant that has ended still holds, and return the number of requests."""
        c = retrain_requests.c
        is_held = and_(c.state == "running", c.token.startswith(claimant, autoescape=True))
        with writing(self.engine) as connection:
            held = connection.execute(select(c.id, c.attempts).where(is_held).with_for_update()).all()
            for request_id, attempts in held:
                _change(connection, request_id, state="pending", attempts=attempts - 1)
        return len(held)

    def fail_unknown(self, monitors: Iterable[str], at: datetime) -> int:
        """Fail the requests for monitors that are neither among `monitors` nor have a model; return their number."""
        names, failed = sorted(monitors), 0
        while ids := self._unknown(names):
            with writing(self.engine) as connection:
                failed += sum(_fail_unknown(connection, chunk, names, at) for chunk in chunks(ids))
        return failed

    def _unknown(self, names: Sequence[str]) -> list[int]:
        """Return the ids of the oldest pending requests for unknown monitors, as many as one transaction changes."""
        c = retrain_requests.c
        is_unknown = and_(c.state == "pending", c.monitor.not_in(names), c.monitor.not_in(select(models.c.monitor)))
        with reading(self.engine) as connection:
            oldest = select(c.id).where(is_unknown).order_by(c.id).limit(_ROWS_PER_TRANSACTION)
            return list(connection.scalars(oldest))


def add_request(connection: Connection, monitor: str, reason: str, at: datetime) -> int | None:
    """Insert a request in the open transaction, and return its id; None if the monitor has had too many in an hour."""
    register_monitor(connection, monitor)
    c = retrain_requests.c
    recent = select(func.count()).where(c.monitor == monitor, c.requested_at > at - _HOUR)
    if (connection.scalar(recent) or 0) >= MAX_REQUESTS_PER_HOUR:
        return None
    row = {"monitor": monitor, "reason": reason, "requested_at": at, "state": "pending"}
    return insert_numbered(connection, retrain_requests, row)


def serve_request(connection: Connection, claim: ClaimedRequest, model_id: int, message: str, at: datetime) -> None:
    """Record in the open transaction the model that serves a request, and all that it serves.

    Raises:
        LostRequest: If another worker has claimed it.
    """
    _lock_claimed(connection, claim)
    _change(connection, claim.id, state="done", finished_at=at, model_id=model_id, message=message)


def _lock_claimed(connection: Connection, claim: ClaimedRequest) -> None:
    """Lock the row of a claimed request, if its token shows that it is still ours.

    Raises:
        LostRequest: If it is not.
    """
    c = retrain_requests.c
    ours = select(c.id).where(c.id == claim.id, c.token == claim.token, c.state == "running").with_for_update()
    if connection.execute(ours).first() is None:
        raise LostRequest(claim.id)


def _is_free(at: datetime) -> Any:
    c = retrain_requests.c
    is_over = or_(c.lease_until.is_(None), c.lease_until < at)
    is_pending = and_(c.state == "pending", or_(c.not_before.is_(None), c.not_before <= at))
    return or_(is_pending, and_(c.state == "running", c.served_by.is_(None), is_over))


def _is_leased(connection: Connection, monitor: str, at: datetime) -> bool:
    """Return whether a worker trains for a request of the monitor."""
    c = retrain_requests.c
    leased = select(c.id).where(_is_open(monitor), c.state == "running", c.lease_until >= at)
    return connection.scalar(leased.limit(1)) is not None


def _is_due(connection: Connection, monitor: str, at: datetime) -> bool:
    """Return whether a request of the monitor is not put off."""
    due = select(retrain_requests.c.id).where(_is_open(monitor), _is_free(at))
    return connection.scalar(due.limit(1)) is not None


def _lock_oldest(connection: Connection, monitor: str) -> Any:
    """Lock and return a monitor's oldest open request: a second worker waits for the changes of the first."""
    c = retrain_requests.c
    oldest = select(retrain_requests).where(_is_open(monitor)).order_by(c.id).limit(1).with_for_update()
    return connection.execute(oldest).mappings().first()


def _is_open(monitor: str) -> ColumnElement[bool]:
    c = retrain_requests.c
    return and_(c.monitor == monitor, c.state.in_(("pending", "running")), c.served_by.is_(None))


def _fail_unknown(connection: Connection, ids: Sequence[int], names: Sequence[str], at: datetime) -> int:
    """Fail requests in one statement; the message of each names its monitor."""
    c = retrain_requests.c
    first, *rest = str(NoSuchMonitor(_NAME, names)).split(_NAME)
    message: ColumnElement[str] = literal(first)
    for part in rest:
        message = message.concat(c.monitor).concat(part)
    change = {"state": "failed", "finished_at": at, "message": message, "token": None, "lease_until": None}
    is_pending = and_(c.id.in_(ids), c.state == "pending")
    return connection.execute(update(retrain_requests).where(is_pending).values(change)).rowcount


def _claim(connection: Connection, row: Any, lease_until: datetime, claimant: str) -> ClaimedRequest:
    c = retrain_requests.c
    token = f"{claimant}{uuid4()}"[:_TOKEN_LENGTH]
    claim = ClaimedRequest(row["id"], row["monitor"], row["reason"], token, row["attempts"] + 1, row["failures"])
    change = {"state": "running", "token": claim.token, "lease_until": lease_until, "attempts": claim.attempts}
    connection.execute(update(retrain_requests).where(c.id == claim.id).values(change))
    is_pending = and_(c.monitor == claim.monitor, c.id != claim.id, c.state == "pending")
    connection.execute(update(retrain_requests).where(is_pending).values(state="running", served_by=claim.id))
    return claim


def _change(connection: Connection, request_id: int, **values: Any) -> None:
    """Change a request; its state and outcome apply to the requests that it serves as well."""
    c = retrain_requests.c
    if values.get("state", "running") != "running":
        values |= {"token": None, "lease_until": None}
    connection.execute(update(retrain_requests).where(c.id == request_id).values(values))
    shared = {name: value for name, value in values.items() if name in _SHARED}
    if shared:
        shared |= {"served_by": None} if shared["state"] == "pending" else {}
        connection.execute(update(retrain_requests).where(c.served_by == request_id).values(shared))
