"""Routes of tuning: settings in force, previews of others, and those that are stored in place of the configuration."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Request
from pydantic import BaseModel, Field

from jobs.api.dependencies import TAKES_JSON, TUNES, TUNES_WITHOUT_BODY, CallerOf, MonitorName, Service
from jobs.api.parameters import Body
from jobs.api.previews import Previews
from jobs.api.problems import documented
from jobs.api.service_view import ServiceView
from jobs.champions import load_scorer
from jobs.tuning.comparison import Comparison
from jobs.tuning.lines import config_lines, stored_lines
from jobs.tuning.storing import refuse_unfit, store_tuning
from schemas.config import MonitorConfig
from schemas.errors import ConfigError, RateTooSmall, UsageError
from schemas.tuning import Tuning

if TYPE_CHECKING:
    from detector.core.scorer import Scorer

router = APIRouter()


class StoredSettings(BaseModel):
    """The settings of a monitor that are stored in place of those of the configuration."""

    monitor: str
    settings: dict[str, Any] = Field(description="Only those that differ from config.toml; empty if none is stored.")
    changed_at: datetime | None
    changed_by: str | None
    lines: str = Field(description="The same as lines of config.toml.")


class Preview(Body):
    """Settings to try on the newest scored records."""

    tuning: Tuning = Tuning()
    """What differs from config.toml."""
    days: int = Field(7, ge=1, le=366)
    """Length of the history, up to the newest scored record; at most 20,000 records are read."""


class Previewed(BaseModel):
    """Settings in force and proposed ones, side by side on the same history."""

    comparison: Comparison
    lines: str = Field(description="The proposed settings as lines of config.toml.")


async def previews_of(request: Request) -> Previews:
    """Return what computes previews."""
    previews: Previews = request.app.state.previews
    return previews


PreviewsOf = Annotated[Previews, Depends(previews_of)]


def checked(service: ServiceView, name: str, tuning: Tuning) -> MonitorConfig:
    """Return the settings that a tuning would put in force.

    Raises:
        HTTPException: If they do not fit the monitor.
    """
    try:
        return refuse_unfit(name, service.config.monitor(name), tuning, lambda: _scorer(service, name, tuning))
    except (ConfigError, UsageError) as exc:
        raise HTTPException(409, str(exc)) from exc


def _scorer(service: ServiceView, name: str, tuning: Tuning) -> "Scorer":
    """Return the champion; at the rate of a tuning if it cannot resolve that in force."""
    try:
        return service.scorer_for(name)[1]
    except RateTooSmall:
        rate = {"false_positive_rate": tuning.false_positive_rate}
        champion = service.store.models.require_champion(name)
        return load_scorer(service.store, champion, service.config.monitor(name).model_copy(update=rate))


@router.get("/monitors/{name}/tuning", responses=documented(404, 422))
def show_tuning(name: MonitorName, service: Service) -> StoredSettings:
    """Show the settings of a monitor that are stored in place of those of the configuration."""
    stored = service.store.tunings.get(name)
    if stored is None:
        return StoredSettings(monitor=name, settings={}, changed_at=None, changed_by=None, lines="")
    lines = stored_lines(name, stored.settings)
    return StoredSettings(**{**vars(stored), "settings": dict(stored.settings)}, lines=lines)


@router.post(
    "/monitors/{name}/tuning/preview",
    dependencies=TAKES_JSON,
    responses=documented(400, 404, 408, 409, 413, 415, 422),
)
async def preview_tuning(name: MonitorName, sent: Preview, service: Service, previews: PreviewsOf) -> Previewed:
    """Report what settings would have made of the newest scored records, next to those in force. Nothing is written."""
    comparison = await previews.compare(service, name, lambda: checked(service, name, sent.tuning), sent.days)
    return Previewed(comparison=comparison, lines=config_lines(name, sent.tuning))


@router.post(
    "/monitors/{name}/tuning",
    dependencies=TUNES,
    responses=documented(400, 403, 404, 408, 409, 413, 415, 422),
)
def put_tuning(name: MonitorName, tuning: Tuning, service: Service, caller: CallerOf) -> StoredSettings:
    """Store settings of a monitor in place of those of the configuration; the next run uses them."""
    checked(service, name, tuning)
    try:
        store_tuning(service.store, name, tuning, service.clock(), caller.name)
    except UsageError as exc:  # nothing differs from the configuration
        raise HTTPException(409, str(exc)) from exc
    return show_tuning(name, service)


@router.delete("/monitors/{name}/tuning", dependencies=TUNES_WITHOUT_BODY, responses=documented(403, 404, 422))
def clear_tuning(name: MonitorName, service: Service, caller: CallerOf) -> StoredSettings:
    """Remove the stored settings, so that those of the configuration are in force."""
    service.store.tunings.clear(name, service.clock(), caller.name)
    return show_tuning(name, service)
