"""Routes of monitors: settings and status, retrain requests, scores of submitted records."""

from datetime import datetime
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field, create_model

from jobs.api.dependencies import TAKES_JSON, WRITES, CallerOf, MonitorName, Service
from jobs.api.parameters import Body, Text
from jobs.api.problems import documented
from jobs.api.scoring import RecordsToScore, ScoredRecords, score_records
from jobs.settings_in_force import config_in_force
from jobs.store import MonitorOverview
from schemas.config import MonitorConfig
from schemas.frames import FORMS, Form

router = APIRouter()

_JSON_FORMS: dict[Form, str] = {
    "number": "JSON numbers or null.",
    "truth": "true, false or null.",
    "text": "Texts, whole numbers or null.",
    "time": "RFC 3339 texts or null.",
}
_FIELDS: dict[str, Any] = {kind: (list[str], Field(description=_JSON_FORMS[form])) for kind, form in FORMS.items()}
FeatureNames = create_model("FeatureNames", __doc__="The watched columns by type.", **_FIELDS)


class Monitor(BaseModel):
    """A watched table with its settings."""

    name: str
    table: str | None = Field(description="Null if the monitor watches a query.")
    key: list[str]
    time: str | None
    entity: str | None
    features: FeatureNames
    false_positive_rate: float = Field(description="The rate in force: as configured, or as stored in its place.")
    score_every: str | None
    time_zone: str


class MonitorDetail(Monitor):
    """A watched table with its settings and status."""

    status: MonitorOverview


class RetrainOrder(Body):
    """The reason for a retrain request."""

    reason: Text = "api"


class MonitoredEntity(BaseModel):
    """An entity of a monitor."""

    entity: str
    last_record_at: datetime
    usual_pause_seconds: float = Field(description="Geometric mean of the pauses between its records.")
    silent_since: datetime | None = Field(description="Its last record, if its silence is an ongoing event.")
    is_retired: bool = Field(description="Whether its silence is no event.")


class EntityChange(Body):
    """Whether an entity no longer sends."""

    entity: Text
    is_retired: bool


class Requested(BaseModel):
    """A pending retrain request."""

    id: int
    monitor: str
    state: str


@router.get("/monitors")
def list_monitors(service: Service) -> list[Monitor]:
    """List the monitors of the configuration."""
    return [
        Monitor(**_settings(name, monitor))
        for name, monitor in config_in_force(service.store, service.config).monitors.items()
    ]


@router.get("/monitors/{name}", responses=documented(404, 422))
def show_monitor(name: MonitorName, service: Service) -> MonitorDetail:
    """Show a monitor's settings and status."""
    settings = _settings(name, service.settings(name))
    return MonitorDetail(**settings, status=service.store.overviews.get(name, service.clock()))


@router.post(
    "/monitors/{name}/retrain",
    status_code=202,
    dependencies=WRITES,
    responses=documented(400, 403, 404, 408, 413, 415, 422, 429),
)
def retrain(name: MonitorName, order: RetrainOrder, service: Service, caller: CallerOf) -> Requested:
    """Queue a retrain request. Pending requests for the same monitor become one training."""
    request_id = service.store.requests.add(name, order.reason, service.clock(), caller.name)
    return Requested(id=request_id, monitor=name, state="pending")


@router.get("/monitors/{name}/entities", responses=documented(404, 422))
def list_entities(name: MonitorName, service: Service) -> list[MonitoredEntity]:
    """List the entities of a monitor, with their last records and usual pauses."""
    retired = service.config.monitor(name).retired
    return [
        MonitoredEntity(
            entity=item.name,
            last_record_at=item.rhythm.last_at,
            usual_pause_seconds=item.rhythm.usual_seconds,
            silent_since=item.silent_since,
            is_retired=item.retired_at is not None or item.name in retired,
        )
        for item in service.store.entities.activity(name).entities
    ]


@router.post(
    "/monitors/{name}/entities/retired",
    status_code=204,
    dependencies=WRITES,
    responses=documented(400, 403, 404, 408, 413, 415, 422),
)
def change_entity(name: MonitorName, change: EntityChange, service: Service, caller: CallerOf) -> None:
    """Retire an entity, so that its silence is no event, or watch it again."""
    if change.is_retired:
        service.store.entities.retire(name, change.entity, service.clock(), caller.name)
    else:
        service.store.entities.watch(name, change.entity, service.clock(), caller.name)


@router.post("/monitors/{name}/score", dependencies=TAKES_JSON, responses=documented(400, 404, 408, 409, 413, 415, 422))
def score(name: MonitorName, sent: RecordsToScore, service: Service) -> ScoredRecords:
    """Score records without storing anything."""
    return score_records(name, sent, service)


def _settings(name: str, monitor: MonitorConfig) -> dict[str, Any]:
    settings = monitor.model_dump(include={"table", "key", "time", "entity", "false_positive_rate", "score_every"})
    return {**settings, "name": name, "time_zone": monitor.time_zone, "features": vars(monitor.features)}
