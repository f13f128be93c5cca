"""The picture of an incident: its records are read and scored on demand, and the newest pictures are kept."""

import json
from collections.abc import Hashable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Literal, TypeAlias

from anyio.to_thread import run_sync

from jobs.api.pages.slow_work import ResultCache
from jobs.api.service_view import ServiceView
from jobs.store import AuditQuery, StoredIncident

if TYPE_CHECKING:
    from jobs.pictures.values import View

ThemeName: TypeAlias = Literal["light", "dark"]
MEDIA_TYPE = "image/svg+xml"
MAX_PICTURES = 64


@dataclass(frozen=True)
class Look:
    """The colours of a picture, and whether it is for a narrow screen."""

    theme: ThemeName
    is_narrow: bool = False


async def incident_picture(
    pictures: ResultCache[bytes], service: ServiceView, incident: StoredIncident, look: Look
) -> bytes:
    """Return the picture of an incident as SVG; one is drawn at a time, since drawing is not thread-safe.

    Raises:
        HTTPException: If too many others wait to be drawn.
        UsageError: If the table no longer has records.
        NoChampion: If the monitor has no model.
        SourceError: If the table cannot be read.
    """
    key = (*await run_sync(picture_version, service, incident), look)
    return await pictures.get(key, partial(_draw, service, incident, look))


async def incident_channels(pictures: ResultCache[bytes], service: ServiceView, incident: StoredIncident) -> bytes:
    """Return the numbers of the picture as JSON.

    Raises:
        HTTPException: If too many others wait.
        UsageError: If the table no longer has records.
        NoChampion: If the monitor has no model.
        SourceError: If the table cannot be read.
    """
    key = await run_sync(picture_version, service, incident)
    return await pictures.get(key, partial(_numbers, service, incident))


def picture_version(service: ServiceView, incident: StoredIncident) -> tuple[Hashable, ...]:
    """Return what a picture depends on: the rate moves thresholds, and labels and windows are recorded acts."""
    champion = service.store.models.require_champion(incident.monitor)
    acts = service.store.audit.page(AuditQuery(incident.monitor, limit=1))
    rate, last_act = service.settings(incident.monitor).asked_rate, acts[0].id if acts else None
    return incident.id, incident.updated_at, champion.model_id, rate, last_act


def _numbers(service: ServiceView, incident: StoredIncident) -> bytes:
    view = _view(service, incident)
    scores, gap = view.scores, view.gap
    numbers = {
        "times": [time.timestamp() for time in scores.times or ()],
        "channels": [vars(channel) for channel in view.channels] if scores.times else [],
        "scores": scores.scores,
        "thresholds": scores.thresholds,
        "flagged": scores.is_flagged,
        "incidents": [(span.start.timestamp(), span.end.timestamp()) for span in view.incidents],
        "gap": None if gap is None else gap.total_seconds(),
        "annotations": [
            {"kind": item.kind, "text": item.text, "start": item.start.timestamp(), "end": item.end.timestamp()}
            for item in view.annotations
        ],
    }
    return json.dumps(numbers).encode()


def _view(service: ServiceView, incident: StoredIncident) -> "View":
    from jobs.reporting.views import ViewReader

    with service.open_source(incident.monitor) as source:
        reader = ViewReader(source, service.store, lambda *_: service.scorer_for(incident.monitor)[1])
        return reader.of_incident(incident)


def _draw(service: ServiceView, incident: StoredIncident, look: Look) -> bytes:
    from jobs.pictures import draw_view
    from jobs.pictures.files import NARROW, WIDE, rendered
    from jobs.pictures.style import THEMES

    view = _view(service, incident)
    return rendered(draw_view(view, replace(NARROW if look.is_narrow else WIDE, theme=THEMES[look.theme])), "svg")
