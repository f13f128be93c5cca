"""Who did what, such as labels, promotions and keys: written in the transaction of the act."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from operator import eq
from typing import Any

from sqlalchemy import Connection, Engine, insert

from jobs.store.paging import is_among, read_page
from schemas.tables import audit

SERVICE = "plumbline"
"""The actor of what the service does by itself."""


@dataclass(frozen=True)
class Act:
    """Something that was done, before it has a row."""

    actor: str
    action: str
    """label, promote, roll back, retrain, add key, revoke key, rename monitor, delete monitor, retire entity or watch
    entity."""
    subject: str
    """What it was done to, such as "anomaly 7"."""
    monitor: str | None = None
    detail: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class RecordedAct:
    """A recorded act."""

    id: int
    at: datetime
    actor: str
    action: str
    monitor: str | None
    subject: str
    detail: Mapping[str, Any] | None


@dataclass(frozen=True)
class AuditQuery:
    """A filter of acts; a field that is None does not restrict.

    The next page has `before_id` set to the last id of this one.
    """

    monitor: str | None = None
    actor: str | None = None
    limit: int = 50
    before_id: int | None = None
    monitors: Collection[str] | None = None
    """Only these; None for all."""


class Audit:
    """The recorded acts.

    Args:
        engine: of the store's database.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def page(self, query: AuditQuery) -> list[RecordedAct]:
        """Return a page of acts, newest first."""
        c = audit.c
        filters = (
            (c.monitor, eq, query.monitor),
            (c.monitor, is_among, query.monitors),
            (c.actor, eq, query.actor),
        )
        return read_page(self.engine, audit, RecordedAct, query, filters)


def record_act(connection: Connection, act: Act, at: datetime) -> None:
    """Record an act in the open transaction; what the service does by itself has events instead."""
    if act.actor != SERVICE:
        connection.execute(insert(audit).values({**vars(act), "at": at}))
