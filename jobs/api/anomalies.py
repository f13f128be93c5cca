"""Routes of anomalies: list, show, label."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from jobs.api.dependencies import WRITES, CallerOf, Service
from jobs.api.paging import Page, Paging, page
from jobs.api.parameters import Body, Id, Text, Time
from jobs.api.problems import documented
from jobs.store import AnomalyQuery, StoredAnomaly
from jobs.store.anomalies import no_anomaly
from schemas.labels import Label

router = APIRouter()


class AnomalyFilter(Paging):
    """The filters of a list of anomalies."""

    monitor: Text | None = None
    """Only anomalies of this monitor."""
    entity: Text | None = None
    """Only anomalies of this entity."""
    label: Label | None = None
    """Only anomalies with this label."""
    incident: Id | None = None
    """Only anomalies of this incident."""
    since: Time | None = None
    """Only records from this time on."""
    until: Time | None = None
    """Only records before this time."""
    current: bool = True
    """Exclude anomalies that a later scoring superseded."""


class Judgement(Body):
    """A person's verdict."""

    label: Label
    """open removes an earlier label."""


@router.get("/anomalies", responses=documented(422))
def list_anomalies(
    filters: Annotated[AnomalyFilter, Query()], service: Service, caller: CallerOf
) -> Page[StoredAnomaly]:
    """List anomalies, newest first."""
    query = AnomalyQuery(
        monitor=filters.monitor,
        monitors=caller.monitors,
        label=filters.label,
        entity=filters.entity,
        since=filters.since,
        until=filters.until,
        incident_id=filters.incident,
        is_current=True if filters.current else None,
        limit=filters.limit,
        before_id=filters.before,
    )
    return Page[StoredAnomaly](**page(service.store.anomalies.page(query), filters.limit))


@router.get("/anomalies/{anomaly_id}", responses=documented(404, 422))
def show_anomaly(anomaly_id: Annotated[Id, Path()], service: Service, caller: CallerOf) -> StoredAnomaly:
    """Show one anomaly with its causes."""
    anomaly = service.store.anomalies.get(anomaly_id)
    if not caller.sees(anomaly.monitor):
        raise no_anomaly(anomaly_id)
    return anomaly


@router.post(
    "/anomalies/{anomaly_id}/label",
    dependencies=WRITES,
    responses=documented(400, 403, 404, 408, 413, 415, 422),
)
def label_anomaly(
    anomaly_id: Annotated[Id, Path()], judgement: Judgement, service: Service, caller: CallerOf
) -> StoredAnomaly:
    """Label an anomaly; the next training and comparison use the label."""
    show_anomaly(anomaly_id, service, caller)
    service.store.anomalies.label(anomaly_id, judgement.label, service.clock(), caller.name)
    return service.store.anomalies.get(anomaly_id)
