"""Monitors and their models: what is watched, how it goes, retraining, scores of records as they come."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field, create_model

from jobs.api.common import ASKS, CHANGES, Body, Id, MonitorName, Page, Paging, Service, Text, page
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
    table: str | None = Field(description="Null where a query is watched.")
    key: list[str]
    time: str | None
    entity: str | None
    features: FeatureNames
    false_positive_rate: float = Field(description="The rate asked for.")
    score_every: str | None
    time_zone: str


class MonitorDetail(Monitor):
    """A watched table with its settings, and how it goes."""

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
    """A trained model with everything that is known about it."""

    manifest: dict[str, Any]
    card: dict[str, Any]
    card_markdown: str | None
    comparison: dict[str, Any] | None = Field(description="With the champion of its time: the numbers that decided.")


class RetrainOrder(Body):
    """Why a monitor is to be trained again."""

    reason: Text = "api"


class Requested(BaseModel):
    """A retrain request that now waits for its turn."""

    id: int
    monitor: str
    state: str


@router.get("/monitors")
def list_monitors(service: Service) -> list[Monitor]:
    """Every monitor of the configuration."""
    return [Monitor(**_settings(name, monitor)) for name, monitor in service.config.monitors.items()]


@router.get("/monitors/{name}", responses=documented(404, 422))
def show_monitor(name: MonitorName, service: Service) -> MonitorDetail:
    """A monitor's settings and status."""
    settings = _settings(name, service.config.monitor(name))
    return MonitorDetail(**settings, status=service.store.overviews.get(name, service.clock()))


@router.get("/monitors/{name}/models", responses=documented(404, 422))
def list_models(name: MonitorName, asked: Annotated[Paging, Query()], service: Service) -> Page[ModelSummary]:
    """The models of a monitor, newest first."""
    earlier = [model for model in service.store.models.all(name) if asked.before is None or model.id < asked.before]
    shown = [ModelSummary.model_validate(model, from_attributes=True) for model in earlier[: asked.limit]]
    return Page[ModelSummary](**page(shown, asked.limit))


@router.get("/models/{model_id}", responses=documented(404, 422))
def show_model(model_id: Annotated[Id, Path()], service: Service) -> ModelDetail:
    """A model with its card, and how it compared with the champion of its time."""
    model = service.store.models.get(model_id)
    comparison = None if model.comparison is None else model.comparison.to_json()
    return ModelDetail(
        **vars(model) | {"card": model.card.to_json(), "comparison": comparison},
        card_markdown=service.store.models.card_markdown(model_id),
    )


@router.post(
    "/monitors/{name}/retrain",
    status_code=202,
    dependencies=CHANGES,
    responses=documented(400, 403, 404, 408, 413, 415, 422),
)
def retrain(name: MonitorName, order: RetrainOrder, service: Service) -> Requested:
    """Ask for a training. Requests that wait for the same monitor become one training."""
    request_id = service.store.requests.add(name, order.reason, service.clock())
    return Requested(id=request_id, monitor=name, state="pending")


@router.post("/monitors/{name}/score", dependencies=ASKS, responses=documented(400, 404, 408, 409, 413, 415, 422))
def score(name: MonitorName, sent: RecordsToScore, service: Service) -> ScoredRecords:
    """Scores of records as they come; nothing is stored."""
    return score_records(name, sent, service)


def _settings(name: str, monitor: MonitorConfig) -> dict[str, Any]:
    shown = monitor.model_dump(include={"table", "key", "time", "entity", "false_positive_rate", "score_every"})
    return {**shown, "name": name, "time_zone": monitor.time_zone, "features": vars(monitor.features)}
