"""Route of the channels of an incident: measured and expected values, computed on demand."""

from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Request
from pydantic import AwareDatetime, BaseModel, Field

from jobs.api.dependencies import Service
from jobs.api.incidents import show_incident
from jobs.api.pages.incident_picture import incident_channels
from jobs.api.pages.slow_work import ResultCache
from jobs.api.problems import documented
from jobs.pictures.values import AnnotationKind
from jobs.store import StoredIncident
from schemas.errors import SourceError

router = APIRouter()


class ChannelValues(BaseModel):
    """A channel over time; null for a record without a value."""

    name: str
    unit: str
    is_truth: bool = Field(description="Whether the values are no and yes, as 0 and 1.")
    measured: list[float | None]
    expected: list[float | None]
    low: list[float | None] = Field(description="The lower end of what is normal.")
    high: list[float | None] = Field(description="The upper end of what is normal.")


class ChannelAnnotation(BaseModel):
    """A maintenance window, another champion, a label, or a fault by the label column."""

    kind: AnnotationKind
    text: str
    start: AwareDatetime
    end: AwareDatetime


class IncidentChannels(BaseModel):
    """The records of an incident and around it, in the order of time."""

    times: list[AwareDatetime]
    channels: list[ChannelValues] = Field(description="The main causes; empty for monitors of single records.")
    scores: list[float | None]
    thresholds: list[float | None]
    flagged: list[bool]
    incidents: list[tuple[AwareDatetime, AwareDatetime]] = Field(description="Start and end of each, this one first.")
    gap: float | None = Field(description="Seconds between two records from which on some are missing.")
    annotations: list[ChannelAnnotation]


async def _pictures(request: Request) -> ResultCache[bytes]:
    cache: ResultCache[bytes] = request.app.state.pictures
    return cache


@router.get("/incidents/{incident_id}/channels", responses=documented(404, 409, 422))
async def show_channels(
    incident: Annotated[StoredIncident, Depends(show_incident)],
    service: Service,
    pictures: Annotated[ResultCache[bytes], Depends(_pictures)],
) -> IncidentChannels:
    """Show the records around an incident with their scores and, for series, what was expected. Nothing is written."""
    try:
        return IncidentChannels.model_validate_json(await incident_channels(pictures, service, incident))
    except SourceError as exc:
        detail = f"The table of monitor {incident.monitor!r} cannot be read. Check its database, then try again."
        raise HTTPException(409, detail) from exc
