"""Retrain requests: whoever inserts a row asks for a training, and one training serves all that wait."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from operator import eq, lt
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, Engine, Select, and_, insert, or_, select, update

from jobs.databases import reading, writing
from schemas.errors import LostRequest, NoSuchMonitor
from schemas.tables import models, retrain_requests

MOST_ATTEMPTS = 3
"""A process that dies while it trains is followed by another this often in all."""

_GIVEN_UP = (
    f"Given up after {MOST_ATTEMPTS} attempts, each of which ended without a word, as a process does that is killed "
    "or runs out of memory. Lower max_training_records, or see the log; then ask again."
)


@dataclass(frozen=True)
class RetrainRequest:
    """A request as the store holds it."""

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
    """Which requests are asked for; a part that is None does not restrict."""

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


_STORED = [retrain_requests.c[field.name] for field in fields(RetrainRequest)]


class Requests:
    """The retrain requests of every monitor.

    Args:
        engine: the store's.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def add(self, monitor: str, reason: str, at: datetime) -> int:
        """Ask for a training; the request's id."""
        with writing(self.engine) as connection:
            return add_request(connection, monitor, reason, at)

    def page(self, query: RequestQuery) -> list[RetrainRequest]:
        """A page of requests, newest first."""
        with reading(self.engine) as connection:
            return [RetrainRequest(**row) for row in connection.execute(_page(query)).mappings()]

    def has_claimable(self, monitors: Iterable[str], at: datetime) -> bool:
        """Whether a request of one of these monitors waits, or was left behind by a worker that died."""
        c = retrain_requests.c
        with reading(self.engine) as connection:
            held = select(c.monitor).where(c.state == "running", c.lease_until >= at)
            wanted = select(c.id).where(c.monitor.in_(list(monitors)), c.monitor.not_in(held), _is_free(at))
            return connection.execute(wanted.limit(1)).first() is not None

    def claim(self, monitor: str, at: datetime, lease: timedelta) -> ClaimedRequest | None:
        """Take a monitor's oldest request with all that wait beside it; None where there is none, or one is held.

        A request whose workers died `MOST_ATTEMPTS` times fails instead, and the next is taken.
        """
        with writing(self.engine) as connection:
            live = _locked(connection, monitor)
            if any(row["lease_until"] is not None and row["lease_until"] >= at for row in live):
                return None
            for row in live:
                if row["attempts"] < MOST_ATTEMPTS:
                    return _claimed(connection, row, at + lease)
                _close(connection, row["id"], state="failed", finished_at=at, message=_GIVEN_UP)
        return None

    def renew(self, claim: ClaimedRequest, at: datetime, lease: timedelta) -> None:
        """Hold a claimed request for longer.

        Raises:
            LostRequest: where another worker has taken it over.
        """
        with writing(self.engine) as connection:
            refuse_lost(connection, claim)
            _close(connection, claim.id, lease_until=at + lease)

    def fail(self, claim: ClaimedRequest, message: str, at: datetime) -> None:
        """Record that a training failed, for the request and all that it serves.

        Raises:
            LostRequest: where another worker has taken it over.
        """
        with writing(self.engine) as connection:
            refuse_lost(connection, claim)
            _close(connection, claim.id, state="failed", finished_at=at, message=message)

    def release(self, claim: ClaimedRequest) -> None:
        """Give a claimed request back, as if it had not been tried.

        Raises:
            LostRequest: where another worker has taken it over.
        """
        with writing(self.engine) as connection:
            refuse_lost(connection, claim)
            _close(connection, claim.id, state="pending", attempts=claim.attempts - 1)

    def fail_unknown(self, known: Iterable[str], at: datetime) -> int:
        """Fail the requests that name a monitor which neither this configuration nor any model has; how many."""
        names = sorted(known)
        c = retrain_requests.c
        is_unknown = and_(c.state == "pending", c.monitor.not_in(names), c.monitor.not_in(select(models.c.monitor)))
        with writing(self.engine) as connection:
            found = connection.execute(select(c.id, c.monitor).where(is_unknown)).all()
            for request_id, monitor in found:
                message = str(NoSuchMonitor(monitor, names))
                _close(connection, request_id, state="failed", finished_at=at, message=message)
        return len(found)


def add_request(connection: Connection, monitor: str, reason: str, at: datetime) -> int:
    """Insert a request into the open transaction; its id."""
    row = {"monitor": monitor, "reason": reason, "requested_at": at, "state": "pending"}
    return int(connection.execute(insert(retrain_requests).values(row).returning(retrain_requests.c.id)).scalar_one())


def serve_request(connection: Connection, claim: ClaimedRequest, model_id: int, message: str, at: datetime) -> None:
    """Record in the open transaction what came of a request, and of all that its training served.

    Raises:
        LostRequest: where another worker has taken it over.
    """
    refuse_lost(connection, claim)
    _close(connection, claim.id, state="done", finished_at=at, model_id=model_id, message=message)


def refuse_lost(connection: Connection, claim: ClaimedRequest) -> None:
    """Lock the row of a claimed request, whose token says that it is still ours.

    Raises:
        LostRequest: where it is not.
    """
    c = retrain_requests.c
    ours = select(c.id).where(c.id == claim.id, c.token == claim.token, c.state == "running").with_for_update()
    if connection.execute(ours).first() is None:
        raise LostRequest(claim.id)


def _is_free(at: datetime) -> Any:
    c = retrain_requests.c
    is_over = or_(c.lease_until.is_(None), c.lease_until < at)
    return or_(c.state == "pending", and_(c.state == "running", c.served_by.is_(None), is_over))


def _locked(connection: Connection, monitor: str) -> list[Any]:
    """A monitor's requests that wait or run, oldest first, locked: a second worker sees what the first made of them."""
    c = retrain_requests.c
    is_live = and_(c.monitor == monitor, c.state.in_(("pending", "running")), c.served_by.is_(None))
    return list(connection.execute(select(retrain_requests).where(is_live).order_by(c.id).with_for_update()).mappings())


def _claimed(connection: Connection, row: Any, lease_until: datetime) -> ClaimedRequest:
    c = retrain_requests.c
    claim = ClaimedRequest(row["id"], row["monitor"], row["reason"], str(uuid4()), row["attempts"] + 1)
    change = {"state": "running", "token": claim.token, "lease_until": lease_until, "attempts": claim.attempts}
    connection.execute(update(retrain_requests).where(c.id == claim.id).values(change))
    waits = and_(c.monitor == claim.monitor, c.id != claim.id, c.state == "pending")
    connection.execute(update(retrain_requests).where(waits).values(state="running", served_by=claim.id))
    return claim


def _close(connection: Connection, request_id: int, **values: Any) -> None:
    """Change a request; its state, and what came of it, go for the requests that it serves as well."""
    c = retrain_requests.c
    if values.get("state", "running") != "running":
        values |= {"token": None, "lease_until": None}
    connection.execute(update(retrain_requests).where(c.id == request_id).values(values))
    shared = {name: value for name, value in values.items() if name in {"state", "finished_at", "model_id", "message"}}
    if shared:
        shared |= {"served_by": None} if shared["state"] == "pending" else {}
        connection.execute(update(retrain_requests).where(c.served_by == request_id).values(shared))


def _page(query: RequestQuery) -> Select[Any]:
    c = retrain_requests.c
    conditions = (
        (c.monitor, eq, query.monitor),
        (c.reason, eq, query.reason),
        (c.state, eq, query.state),
        (c.id, lt, query.before_id),
    )
    asked = [compare(column, value) for column, compare, value in conditions if value is not None]
    return select(*_STORED).where(*asked).order_by(c.id.desc()).limit(query.limit)
