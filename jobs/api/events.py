"""Routes of events: list."""

from typing import Annotated

from fastapi import APIRouter, Query

from jobs.api.dependencies import CallerOf, Service
from jobs.api.paging import Page, Paging, page
from jobs.api.parameters import Text, Time
from jobs.api.problems import documented
from jobs.store import EventQuery, StoredEvent
from jobs.store.event_kinds import EventKind

router = APIRouter()


class EventFilter(Paging):
    """The filters of a list of events."""

    monitor: Text | None = None
    """Only events of this monitor."""
    kind: EventKind | None = None
    """Only events of this kind."""
    since: Time | None = None
    """Only events from this time on."""
    until: Time | None = None
    """Only events before this time."""


@router.get("/events", responses=documented(422))
def list_events(filters: Annotated[EventFilter, Query()], service: Service, caller: CallerOf) -> Page[StoredEvent]:
    """List events other than anomalies: gaps, late records, missed runs, drift, refused models; newest first."""
    query = EventQuery(
        monitor=filters.monitor,
        monitors=caller.monitors,
        kind=filters.kind,
        since=filters.since,
        until=filters.until,
        limit=filters.limit,
        before_id=filters.before,
    )
    return Page[StoredEvent](**page(service.store.events.page(query), filters.limit))
