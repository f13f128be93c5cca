"""The page of a monitor: its incidents in lanes over time, and the list of the same incidents."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import Field

from jobs.api.pages.swimlane import Lane, LaneKind, Span, Tick, lane_name, lanes_of, ticks_of
from jobs.api.parameters import FIRST_TIME, LAST_TIME, Body, Text, Time
from jobs.api.service_view import ServiceView
from jobs.store import IncidentQuery, StoredIncident

DAY_CHOICES = (1, 7, 30, 90)
MAX_INCIDENTS = 1_000
LANES_PER_PAGE = 20
INCIDENTS_PER_PAGE = 100
_HOUR = timedelta(hours=1)


class MonitorView(Body):
    """What the address of the page selects."""

    days: int = Field(7, ge=1, le=366)
    """Length of the span of time."""
    until: Time | None = None
    """Its end; None for the newest records."""
    since: Time | None = None
    """Its start, in place of its length."""
    by: LaneKind = "entity"
    """What a lane stands for."""
    lane: Text | None = None
    """The only lane whose incidents are listed; None for all."""
    page: int = Field(0, ge=0, le=10_000)
    """Of the lanes, from 0."""
    list_page: int = Field(0, ge=0, le=10_000)
    """Of the list, from 0."""


@dataclass(frozen=True)
class MonitorIncidents:
    """The incidents of a span of time; lanes and list hold the same ones."""

    span: Span
    lanes: Sequence[Lane]
    n_lanes: int
    ticks: Sequence[Tick]
    incidents: Sequence[StoredIncident]
    """Those on the page of the list."""
    n_listed: int
    is_cut: bool
    """Whether there are more incidents than are read."""


def monitor_incidents(service: ServiceView, name: str, view: MonitorView) -> MonitorIncidents:
    """Return the newest incidents in a view of a monitor."""
    until = view.until or _end_of_records(service, name)
    span = _span(view, until)
    query = IncidentQuery(monitor=name, since=span.since, until=span.until, limit=MAX_INCIDENTS)
    incidents = service.store.incidents.page(query)
    lanes = lanes_of(incidents, span, view.by)
    first = view.page * LANES_PER_PAGE
    first_listed = view.list_page * INCIDENTS_PER_PAGE
    listed = [item for item in incidents if view.lane is None or lane_name(item, view.by) == view.lane]
    return MonitorIncidents(
        span=span,
        lanes=lanes[first : first + LANES_PER_PAGE],
        n_lanes=len(lanes),
        ticks=ticks_of(span),
        incidents=listed[first_listed : first_listed + INCIDENTS_PER_PAGE],
        n_listed=len(listed),
        is_cut=len(incidents) == MAX_INCIDENTS,
    )


def _span(view: MonitorView, until: datetime) -> Span:
    """Return the span of a view, whose start counts if it is before the end."""
    if view.since is not None and view.since < until:
        return Span(view.since, until)
    return Span(until - min(timedelta(days=view.days), until - FIRST_TIME), until)


def _end_of_records(service: ServiceView, name: str) -> datetime:
    """Return the end of the newest hour with scored records, or now."""
    newest = service.store.history.newest_hour(name)
    return service.clock() if newest is None else newest + min(_HOUR, LAST_TIME - newest)
