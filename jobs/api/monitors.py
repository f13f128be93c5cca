"""Monitors and their models: settings, status, retrain requests, scores of submitted records."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field, create_model

from jobs.api.dependencies import TAKES_JSON, WRITES, MonitorName, Service
from jobs.api.paging import Page, Paging, page
from jobs.api.parameters import Body, Id, Text
from jobs.api.problems import documented
from jobs.api.scoring import RecordsToScore, ScoredRecords, score_records
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
    false_positive_rate: float = Field(description="The configured rate.")
    score_every: str | None
    time_zone: str


class MonitorDetail(Monitor):
    """A watched table with its settings and status."""

    status: MonitorOverview


class ModelSummary(BaseModel):
    """A trained model."""

    id: int
    monitor: str
    state: str = Field(description="champion, challenger or retired.")
    created_at: datetime
    promoted_at: datetime | None
    retired_at: datetime | None
    sha256: str


class ModelDetail(ModelSummary):
    """A trained model with its manifest, card and comparison."""

    manifest: dict[str, Any]
    card: dict[str, Any]
    card_markdown: str | None
    comparison: dict[str, Any] | None = Field(description="Comparison with the champion at training time.")


class RetrainOrder(Body):
    """The reason for a retrain request."""

    reason: Text = "api"


class Requested(BaseModel):
    """A pending retrain request."""

    id: int
    monitor: str
    state: str


@router.get("/monitors")
def list_monitors(service: Service) -> list[Monitor]:
    """List the monitors of the configuration."""
    return [Monitor(**_settings(name, monitor)) for name, monitor in service.config.monitors.items()]


@router.get("/monitors/{name}", responses=documented(404, 422))
def show_monitor(name: MonitorName, service: Service) -> MonitorDetail:
    """Show a monitor's settings and status."""
    settings = _settings(name, service.config.monitor(name))
    return MonitorDetail(**settings, status=service.store.overviews.get(name, service.clock()))


@router.get("/monitors/{name}/models", responses=documented(404, 422))
def list_models(name: MonitorName, paging: Annotated[Paging, Query()], service: Service) -> Page[ModelSummary]:
    """List the models of a monitor, newest first."""
    earlier = [model for model in service.store.models.all(name) if paging.before is None or model.id < paging.before]
    summaries = [ModelSummary.model_validate(model, from_attributes=True) for model in earlier[: paging.limit]]
    return Page[ModelSummary](**page(summaries, paging.limit))


@router.get("/models/{model_id}", responses=documented(404, 422))
def show_model(model_id: Annotated[Id, Path()], service: Service) -> ModelDetail:
    """Show a model with its card and its comparison with the champion at training time."""
    model = service.store.models.get(model_id)
    comparison = None if model.comparison is None else model.comparison.to_json()
    return ModelDetail(
        **vars(model) | {"card": model.card.to_json(), "comparison": comparison},
        card_markdown=service.store.models.card_markdown(model_id),
    )


@router.post(
    "/monitors/{name}/retrain",
    status_code=202,
    dependencies=WRITES,
    responses=documented(400, 403, 404, 408, 413, 415, 422),
)
def retrain(name: MonitorName, order: RetrainOrder, service: Service) -> Requested:
    """Queue a retrain request. Pending requests for the same monitor become one training."""
    request_id = service.store.requests.add(name, order.reason, service.clock())
    return Requested(id=request_id, monitor=name, state="pending")


@router.post("/monitors/{name}/score", dependencies=TAKES_JSON, responses=documented(400, 404, 408, 409, 413, 415, 422))
def score(name: MonitorName, sent: RecordsToScore, service: Service) -> ScoredRecords:
    """Score records without storing anything."""
    return score_records(name, sent, service)


def _settings(name: str, monitor: MonitorConfig) -> dict[str, Any]:
    settings = monitor.model_dump(include={"table", "key", "time", "entity", "false_positive_rate", "score_every"})
    return {**settings, "name": name, "time_zone": monitor.time_zone, "features": vars(monitor.features)}
