"""Routes of trained models: list, show."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, Field

from jobs.api.dependencies import CallerOf, MonitorName, Service
from jobs.api.paging import Page, Paging, page
from jobs.api.parameters import Id
from jobs.api.problems import documented
from jobs.store import StoredModel
from jobs.store.models import no_model

router = APIRouter()


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


@router.get("/monitors/{name}/models", responses=documented(404, 422))
def list_models(name: MonitorName, paging: Annotated[Paging, Query()], service: Service) -> Page[ModelSummary]:
    """List the models of a monitor, newest first."""
    earlier = [model for model in service.store.models.all(name) if paging.before is None or model.id < paging.before]
    summaries = [ModelSummary.model_validate(model, from_attributes=True) for model in earlier[: paging.limit]]
    return Page[ModelSummary](**page(summaries, paging.limit))


def find_model(model_id: Annotated[Id, Path()], service: Service, caller: CallerOf) -> StoredModel:
    """Return a model that the caller may see.

    Raises:
        UsageError: If there is no such model.
    """
    model = service.store.models.get(model_id)
    if not caller.sees(model.monitor):
        raise no_model(model_id)
    return model


@router.get("/models/{model_id}", responses=documented(404, 422))
def show_model(model: Annotated[StoredModel, Depends(find_model)], service: Service) -> ModelDetail:
    """Show a model with its card and its comparison with the champion at training time."""
    comparison = None if model.comparison is None else model.comparison.to_json()
    return ModelDetail(
        **vars(model) | {"card": model.card.to_json(), "comparison": comparison},
        card_markdown=service.store.models.card_markdown(model.id),
    )
